// Keeps a camera's last seconds as segments, and cuts clips of events from them without encoding.
import { randomBytes } from "node:crypto";
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { InputError } from "../../errors.js";
import { mkdirs } from "../../node/files/atomic.js";
import { ffmpegReason, findFfmpeg, startFfmpeg } from "../../node/media/ffmpeg.js";
import type { Segment } from "../capture.js";

/** A stretch of a connection's recording, in seconds of its clock. */
export interface Stretch {
  connection: number;
  from: number;
  to: number;
}

/** A clip that is wanted. */
interface Order extends Stretch {
  path: string;
  /** Called once its segments are there, or no more will come. */
  ready: () => void;
}

interface KeptSegment extends Segment {
  connection: number;
}

/** Seconds of segments that are kept besides what clips need. */
const MARGIN = 20;

/** The recording of a camera. */
export class Recorder {
  private segments: KeptSegment[] = [];
  private readonly orders = new Set<Order>();
  /** From where on an event that goes on needs the recording. */
  private readonly held = new Map<string, Stretch>();
  private connection = 0;
  /** How names of the connection's segments begin. */
  private prefix = "";
  private isOver = false;

  /**
   * @param folder of the segments, which holds nothing else
   * @param before seconds before an event that clips begin
   */
  constructor(
    readonly folder: string,
    private readonly before: number,
  ) {}

  /** Removes the segments of an earlier process. */
  static async open(folder: string, before: number): Promise<Recorder> {
    await mkdirs(folder);
    const old = (await readdir(folder)).filter((name) => name.endsWith(".mkv") || name.endsWith(".tmp"));
    await Promise.all(old.map((name) => rm(join(folder, name), { force: true })));
    return new Recorder(folder, before);
  }

  /** A connection begins. @returns its number, and how names of its segments begin */
  connect(): { connection: number; prefix: string } {
    this.connection++;
    this.isOver = false;
    this.prefix = `${this.connection}-${randomBytes(4).toString("hex")}`;
    return { connection: this.connection, prefix: this.prefix };
  }

  /** The connection has ended: its recording will not grow. */
  disconnect(): void {
    this.isOver = true;
    this.serve();
    void this.removeUnfinished(this.prefix).catch(() => {});
  }

  /** A connection that was cut off leaves a segment that was never reported. */
  private async removeUnfinished(prefix: string): Promise<void> {
    const isKnown = (path: string) => this.segments.some((segment) => segment.path === path);
    const paths = (await readdir(this.folder)).filter((name) => name.startsWith(prefix));
    const unfinished = paths.map((name) => join(this.folder, name)).filter((path) => !isKnown(path));
    await Promise.all(unfinished.map((path) => rm(path, { force: true })));
  }

  /** Takes in a segment that is complete. */
  add(segment: Segment): void {
    this.segments.push({ ...segment, connection: this.connection });
    this.serve();
    this.prune();
  }

  /** Keeps the recording from a moment on, until {@link clip} is called for this event. */
  hold(event: string, connection: number, time: number): void {
    this.held.set(event, { connection, from: time - this.before, to: Number.POSITIVE_INFINITY });
  }

  /** The event gets no clip: its recording is kept no longer. */
  release(event: string): void {
    this.held.delete(event);
    this.prune();
  }

  /**
   * Makes a clip: the segments that a stretch touches, joined into an MP4 file. It waits until they
   * are complete.
   * @returns false if nothing of the stretch was recorded
   * @throws InputError if ffmpeg fails; then there is no file
   */
  async clip(event: string, stretch: Stretch, path: string): Promise<boolean> {
    await new Promise<void>((ready) => {
      this.orders.add({ ...stretch, path, ready });
      this.held.delete(event);
      this.serve();
    });
    const segments = this.touched(stretch);
    try {
      if (segments.length === 0) return false;
      await joinSegments(segments, path);
      return true;
    } finally {
      for (const order of this.orders) if (order.path === path) this.orders.delete(order);
      this.prune();
    }
  }

  private touched({ connection, from, to }: Stretch): KeptSegment[] {
    return this.segments.filter((one) => one.connection === connection && one.end > from && one.start < to);
  }

  /** Lets those clips be made whose segments are there. */
  private serve(): void {
    const last = this.segments.at(-1);
    const recorded = last?.connection === this.connection ? last.end : 0;
    for (const { connection, to, ready } of this.orders) {
      if (connection !== this.connection || this.isOver || recorded >= to) ready();
    }
  }

  /** Deletes segments that nothing needs. */
  private prune(): void {
    const newest = this.segments.at(-1);
    if (!newest) return;
    const since = newest.end - this.before - MARGIN;
    const wanted = [...this.held.values(), ...this.orders];
    const isNeeded = (one: KeptSegment) =>
      (one.connection === newest.connection && one.end > since) ||
      wanted.some(({ connection, from, to }) => one.connection === connection && one.end > from && one.start < to);
    const old = this.segments.filter((one) => !isNeeded(one));
    this.segments = this.segments.filter(isNeeded);
    for (const { path } of old) void rm(path, { force: true }).catch(() => {});
  }
}

/** Codecs that browsers play in an MP4 file. */
const PLAYABLE = /Video: (h264|hevc|av1)\b/;

/**
 * Joins segments into an MP4 file, which appears whole or not at all. The packets are copied if
 * browsers can play their codec, else encoded as H.264.
 */
async function joinSegments(segments: readonly Segment[], path: string): Promise<void> {
  const program = await findFfmpeg();
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
  const list = `${temporary}.list`;
  // Quotes end before a quote in the name, and begin again behind it.
  const lines = segments.map((segment) => `file 'file:${resolve(segment.path).replaceAll("'", "'\\''")}'`);
  try {
    await writeFile(list, `${lines.join("\n")}\n`);
    const input = ["-f", "concat", "-safe", "0", "-protocol_whitelist", "file,pipe", "-i", `file:${resolve(list)}`];
    const output = ["-an", "-movflags", "+faststart", "-f", "mp4", "-y", `file:${resolve(temporary)}`];
    const codec = await ffmpegCodec(program, segments[0]);
    const copy = ["-c", "copy", ...(codec === "hevc" ? ["-tag:v", "hvc1"] : [])];
    const encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p"];
    const { child, ended, log } = startFfmpeg(program, [
      ...["-v", "repeat+level+error", ...input, ...(codec === undefined ? encode : copy), ...output],
    ]);
    child.stdout.resume();
    const end = await ended;
    if (end.code !== 0) throw new InputError(`${path} cannot be made: ${ffmpegReason(log, end, list)}`);
    await rename(temporary, path);
  } finally {
    await rm(list, { force: true });
    await rm(temporary, { force: true });
  }
}

/** The codec of a segment, if browsers play it. */
async function ffmpegCodec(program: string, { path }: Segment): Promise<string | undefined> {
  let codec: string | undefined;
  const args = ["-v", "repeat+level+info", "-protocol_whitelist", "file", "-i", `file:${resolve(path)}`];
  const { child, ended } = startFfmpeg(program, args, {
    onLine: ({ text }) => {
      codec ??= PLAYABLE.exec(text)?.[1];
    },
  });
  child.stdout.resume();
  // Without an output it ends with an error, once it has named the streams.
  await ended;
  return codec;
}
