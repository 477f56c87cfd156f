// Keeps pieces of normal video from a camera's recording, for `sdmae learn`, spread over a day.
// People's own clips beside them stay.
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "../../node/files/atomic.js";
import { reasonOf } from "../../node/files/messages.js";
import { type MachineClock, machineClock } from "./frame_time.js";
import { isKept, keptName, keptTime } from "./normal_video.js";
import type { Recorder } from "./recorder.js";

/** A moment of the recording: seconds of a connection's clock. */
export interface RecordedMoment {
  connection: number;
  time: number;
}

/** What a keeper is made with. */
export interface KeeperOptions {
  recorder: Pick<Recorder, "hold" | "release" | "clip">;
  /** The folder of the camera's normal video. */
  folder: string;
  /** Most minutes of video that it keeps. */
  minutes: number;
  /** Seconds between an event and a piece: it may have begun before anybody noticed. */
  margin: number;
  warn(line: string): void;
  clock?: MachineClock;
}

/** Seconds of a piece. */
const LONGEST = 60;
const SHORTEST = 20;
/** Seconds between frames after which they are not one piece. */
const LONGEST_GAP = 2;
/** The first pieces come soon, so that there is something to learn from. Seconds between them. */
const SOON = 10;
const SOON_EVERY = 180;
/** What the recorder knows pieces by. */
const NAME = "normal";

/** Seconds from one piece to the next. */
function interval(minutes: number, count: number): number {
  const spread = Math.max(LONGEST, 86_400 / minutes);
  return count < SOON ? Math.min(spread, SOON_EVERY) : spread;
}

/** Cuts pieces out of what goes on. Calls come in the order of time. */
export class NormalKeeper {
  private readonly clock: MachineClock;
  /** When the next piece is due, on the steady clock. */
  private due: number;
  /** The normal video that goes on, while a piece is due. */
  private run: { connection: number; from: number; to: number } | undefined;
  private making: Promise<void> | undefined;

  private constructor(
    private readonly options: KeeperOptions,
    kept: readonly string[],
  ) {
    this.clock = options.clock ?? machineClock;
    const newest = kept.at(-1);
    const age = newest === undefined ? Number.POSITIVE_INFINITY : (this.clock.wall() - keptTime(newest)) / 1000;
    this.due = this.clock.steady() + Math.max(0, interval(options.minutes, kept.length) - Math.max(0, age));
  }

  /** Goes on where an earlier process was. */
  static async open(options: KeeperOptions): Promise<NormalKeeper> {
    return new NormalKeeper(options, await keptIn(options.folder));
  }

  /**
   * Takes in a frame.
   * @param at its moment; undefined if nothing is recorded
   * @param isNormal whether it was scored, or will be, and no event goes on
   */
  frame(at: RecordedMoment | undefined, isNormal: boolean): void {
    const { options } = this;
    const run = this.run;
    if (!at || !isNormal || (run && (run.connection !== at.connection || at.time - run.to > LONGEST_GAP))) {
      this.interrupt();
      return;
    }
    if (!run) {
      if (this.making || this.clock.steady() < this.due) return;
      this.run = { connection: at.connection, from: at.time, to: at.time };
      options.recorder.hold(NAME, at.connection, at.time, false);
      return;
    }
    run.to = at.time;
    if (run.to - run.from >= LONGEST + 2 * options.margin) this.cut();
  }

  /** The video is interrupted, or is not normal any longer. */
  interrupt(): void {
    const { options } = this;
    const run = this.run;
    if (!run) return;
    if (run.to - run.from >= SHORTEST + 2 * options.margin) this.cut();
    else options.recorder.release(NAME);
    this.run = undefined;
  }

  /** Waits until the last piece is there. */
  async close(): Promise<void> {
    this.interrupt();
    await this.making;
  }

  /** Makes a piece of the run, without what is near its ends. */
  private cut(): void {
    const { options } = this;
    const run = this.run;
    this.run = undefined;
    if (!run) return;
    const { margin, minutes } = options;
    const stretch = { connection: run.connection, from: run.from + margin, to: run.to - margin };
    // Until it is known how many there are.
    this.due = this.clock.steady() + interval(minutes, 0);
    this.making = this.keep(stretch)
      .catch((error: unknown) => options.warn(`no normal video was kept: ${reasonOf(error)}`))
      .finally(() => {
        this.making = undefined;
      });
  }

  private async keep(stretch: RecordedStretch): Promise<void> {
    const { recorder, folder, minutes } = this.options;
    const began = this.clock.steady();
    const path = join(folder, keptName(this.clock.wall()));
    await makeFolder(folder);
    const made = await recorder.clip(NAME, stretch, path);
    const kept = await keptIn(folder);
    for (const old of kept.slice(0, Math.max(0, kept.length - Math.floor(minutes)))) {
      await rm(join(folder, old), { force: true });
    }
    if (made) this.due = began + interval(minutes, kept.length);
  }
}

type RecordedStretch = Parameters<Recorder["clip"]>[1];

/** Deletes pieces that were kept before a time, in milliseconds since 1970. */
export async function removeKept(folder: string, before: number): Promise<void> {
  for (const name of await keptIn(folder)) {
    if (keptTime(name) < before) await rm(join(folder, name), { force: true }).catch(() => {});
  }
}

/** Names of the pieces that a keeper has made, the oldest first. */
async function keptIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).filter(isKept).sort();
}
