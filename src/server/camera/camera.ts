// A camera: connects again and again, shows its pictures, and makes events of frames and scores.
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ScoreSettings } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import { makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { reasonOf } from "../../node/files/messages.js";
import type { CameraMode } from "../../watch/scene_change.js";
import { Backoff } from "../backoff.js";
import { type CapturedFrame, capture } from "../capture.js";
import type { CameraConfig } from "../config/config.js";
import type { EngineFrame, EngineScore } from "../engine/messages.js";
import type { CameraEvent, ChangeKind, EventChange } from "../records.js";
import { Decisions, type Outcome } from "./decisions.js";
import { FrameTimes, type MachineClock, machineClock } from "./frame_time.js";
import type { NormalState } from "./learner.js";
import { Recorder } from "./recorder.js";

/** What a camera needs of the process around it. */
export interface CameraHost {
  /** The data folder. */
  data: string;
  /** Size of the frames that are scored, in pixels. */
  size: { width: number; height: number };
  newId(camera: string, time: Date): string;
  /** Sends a frame to the engine. @returns false if it was dropped */
  send(frame: Omit<EngineFrame, "camera">): boolean;
  /** Keeps a change of an event; resolves once it is safe. */
  keep(change: EventChange): Promise<unknown>;
  /** Keeps what was learnt. */
  learnt(mode: CameraMode, state: NormalState): void;
  /** Shows a frame's outcome. */
  show?(outcome: Outcome): void;
  /** Takes in a line about a problem that ends nothing. */
  warn(line: string): void;
  clock?: MachineClock;
}

/** How a source that is no camera is played; for tests and demonstrations. */
export interface PlayOptions {
  loop?: boolean;
  fast?: boolean;
  /** Seconds of video until the first threshold. */
  learnFirst?: number;
}

/** Whether frames come: `ended` is a file that was played to its end. */
export type CameraStatus = "connecting" | "online" | "offline" | "ended" | "off";

/** What is counted of a camera. */
export interface CameraCounts {
  /** Frames that came. */
  frames: number;
  /** Frames that the engine did not take, or left out. */
  dropped: number;
  scored: number;
  reconnects: number;
}

/** Numbers between two connections: no frame of one is a neighbour of the other's. */
const GAP = 1000;
/** Seconds of frames after which a connection counts as good. */
const GOOD = 60;
/** Seconds without any change of the picture after which the stream is frozen. */
const FROZEN = 20;

/** A camera that is watched. */
export class Camera {
  status: CameraStatus = "connecting";
  /** Why it is offline. */
  problem: string | undefined;
  /** The last picture, as JPEG. */
  picture: Uint8Array | undefined;
  /** The last frame's outcome. */
  outcome: Outcome | undefined;
  readonly counts: CameraCounts = { frames: 0, dropped: 0, scored: 0, reconnects: 0 };
  /** Milliseconds since 1970 of the last frame. */
  lastFrame = Number.NaN;
  /** Seconds from a frame's arrival to its score, the last one. */
  latency = Number.NaN;
  readonly decisions: Decisions;
  private readonly clock: MachineClock;
  private readonly backoff = new Backoff({ first: 1, most: 60 });
  private readonly arrivals = new Map<number, number>();
  private readonly begins = new Map<string, { connection: number; stream: number }>();
  /** Ids of events that have a snapshot. */
  private readonly snapshots = new Set<string>();
  private recorder: Recorder | undefined;
  private connection = 0;
  private number = 0;
  private seen: number;
  private unchanged = { since: Number.NaN, sample: 0 };
  /** Changes are kept in their order. */
  private keeping: Promise<void> = Promise.resolve();
  private readonly clips = new Set<Promise<void>>();

  /** @throws InputError if the schedule is wrong */
  constructor(
    readonly config: CameraConfig,
    private readonly host: CameraHost,
    private readonly play: PlayOptions = {},
  ) {
    this.clock = host.clock ?? machineClock;
    this.seen = this.clock.steady();
    this.decisions = new Decisions(config, {
      newId: host.newId,
      emit: (change, event, time) => this.emit(change, event, time.stream),
      learnt: (mode, state) => host.learnt(mode, state),
      ...(play.learnFirst !== undefined && { learnFirst: play.learnFirst }),
    });
  }

  /** The folder of its recording. */
  private get segments(): string {
    return join(this.host.data, "segments", this.config.id);
  }

  /** Watches until the signal ends it, or a file ends. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { clip } = this.config;
    if (clip) {
      this.recorder = await Recorder.open(this.segments, clip.before).catch((error: unknown) => {
        this.host.warn(`nothing is recorded: ${reasonOf(error)}`);
        return undefined;
      });
    }
    while (!signal.aborted) {
      const why = await this.connect(signal);
      if (signal.aborted) break;
      if (why === undefined) {
        this.status = "ended";
        break;
      }
      this.counts.reconnects++;
      await sleep(1000 * this.backoff.next(), undefined, { signal }).catch(() => {});
    }
    this.decisions.close();
    await this.keeping;
    await Promise.all(this.clips);
  }

  /** The engine is ready. @param known what was learnt with this model and these settings */
  ready(settings: ScoreSettings, known: Partial<Record<CameraMode, NormalState>>): void {
    this.decisions.ready(settings, known);
  }

  /** Takes in a frame's score. */
  score(score: EngineScore): void {
    const arrival = this.arrivals.get(score.number);
    for (const number of this.arrivals.keys()) {
      if (number > score.number) break;
      if (number < score.number) this.counts.dropped++;
      this.arrivals.delete(number);
    }
    if (arrival !== undefined) this.latency = this.clock.steady() - arrival;
    this.counts.scored++;
    const outcome = this.decisions.score(score);
    if (!outcome) return;
    this.outcome = outcome;
    this.host.show?.(outcome);
  }

  /** One connection. @returns why it is over; undefined if a file has ended */
  private async connect(signal: AbortSignal): Promise<string | undefined> {
    const { config, host, recorder, clock } = this;
    const connected = recorder?.connect();
    this.connection = connected?.connection ?? this.connection + 1;
    this.number += GAP;
    this.decisions.connected(this.number);
    const times = new FrameTimes(config.fps, !this.play.fast, clock);
    const stop = new AbortController();
    const began = clock.steady();
    const listener = {
      onFrame: (frame: CapturedFrame) => {
        if (clock.steady() - began > GOOD) this.backoff.reset();
        if (this.isFrozen(frame)) stop.abort(new InputError(`the picture does not change for ${FROZEN} s`));
        else this.take(frame, times);
      },
      onPicture: (jpeg: Uint8Array) => {
        this.picture = jpeg;
      },
      onSegment: (segment: { path: string; start: number; end: number }) => recorder?.add(segment),
    };
    const options = {
      ...{ source: config.source, fps: config.fps, ...host.size, privacy: config.privacy, ...this.play },
      ...(recorder && { segments: recorder.folder }),
    };
    try {
      await capture(options, connected?.prefix ?? "", listener, AbortSignal.any([signal, stop.signal]));
      return undefined;
    } catch (error) {
      const why = reasonOf(error);
      this.status = "offline";
      this.problem = why;
      const now = { steady: clock.steady(), wall: clock.wall(), stream: Number.NaN };
      if (!signal.aborted) this.decisions.lost(why, now.steady - this.seen, now);
      return why;
    } finally {
      recorder?.disconnect();
    }
  }

  private take({ data, index }: CapturedFrame, times: FrameTimes): void {
    const { host, clock } = this;
    const time = times.of(index);
    this.status = "online";
    this.problem = undefined;
    this.seen = clock.steady();
    this.lastFrame = clock.wall();
    this.counts.frames++;
    const number = this.number++;
    this.decisions.frame(data, host.size, number, time);
    this.arrivals.set(number, this.seen);
    if (host.send({ number, data })) return;
    // A frame that is missing would leave its neighbours with wrong ones.
    this.arrivals.delete(number);
    this.counts.dropped++;
    this.number += GAP;
    this.decisions.gap(this.number);
  }

  /** Whether the picture has been the same for long, over connections too. */
  private isFrozen({ data }: CapturedFrame): boolean {
    const now = this.clock.steady();
    let sample = 0;
    for (let at = 0; at < data.length; at += 97) sample = (Math.imul(sample, 31) + data[at]) | 0;
    if (sample !== this.unchanged.sample || Number.isNaN(this.unchanged.since)) this.unchanged = { since: now, sample };
    return now - this.unchanged.since > FROZEN;
  }

  private emit(change: "new" | "update" | "end", event: CameraEvent, stream: number): void {
    const { recorder, connection } = this;
    if (event.kind === "anomaly" && change === "new" && recorder) {
      this.begins.set(event.id, { connection, stream });
      recorder.hold(event.id, connection, stream);
    }
    const { picture } = this;
    this.keeping = this.keeping.then(async () => {
      const shown = event.kind === "offline" ? event : await this.withSnapshot(change, event, picture);
      await this.keep(change, shown);
      if (change === "end") this.makeClip(shown, stream);
    });
  }

  private async keep(change: ChangeKind, event: CameraEvent): Promise<void> {
    const time = new Date(this.clock.wall()).toISOString();
    await this.host.keep({ change, time, event }).catch((error: unknown) => this.host.warn(reasonOf(error)));
  }

  /** Writes the picture of an event's begin or peak. */
  private async withSnapshot(
    change: ChangeKind,
    event: CameraEvent,
    picture: Uint8Array | undefined,
  ): Promise<CameraEvent> {
    const snapshot = `${clipBase(event)}.jpg`;
    if (change !== "end" && picture) {
      try {
        await makeFolder(dirname(join(this.host.data, snapshot)));
        await writeFileAtomic(join(this.host.data, snapshot), picture);
        this.snapshots.add(event.id);
      } catch (error) {
        this.host.warn(`no snapshot: ${reasonOf(error)}`);
      }
    }
    const shown = this.snapshots.has(event.id) ? { ...event, snapshot } : event;
    if (change === "end") this.snapshots.delete(event.id);
    return shown;
  }

  private makeClip(event: CameraEvent, stream: number): void {
    const { recorder, config, host } = this;
    const begin = this.begins.get(event.id);
    this.begins.delete(event.id);
    if (!begin || !recorder || !config.clip) return;
    const { before, after } = config.clip;
    const clip = `${clipBase(event)}.mp4`;
    const stretch = { connection: begin.connection, from: begin.stream - before, to: stream + after };
    const making = (async () => {
      try {
        await makeFolder(dirname(join(host.data, clip)));
        if (!(await recorder.clip(event.id, stretch, join(host.data, clip)))) return;
        await this.keep("clip", { ...event, clip });
      } catch (error) {
        host.warn(`no clip of ${event.id}: ${reasonOf(error)}`);
      }
    })();
    this.clips.add(making);
    void making.finally(() => this.clips.delete(making));
  }
}

/** Where files of an event are, below the data folder, without their ending. */
function clipBase({ id, camera, start }: CameraEvent): string {
  return `clips/${camera}/${start.slice(0, 10)}/${id}`;
}
