// Keeps a camera's last seconds as segments, and cuts clips of events from them without encoding.
import { randomBytes } from "node:crypto";
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
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

/** A segment's name: its connection's prefix and its number. */
export const SEGMENT_NAME = /^(.+)-(\d+)\.mkv$/;
/**
 * Ends the name of a file that stands for an event without a clip. It holds the name of the first
 * segment of the clip, for the next process if this one is killed.
 */
export const MARKER = ".event";
/** Seconds of an event that a clip shows: one that does not end must not fill the disk. */
export const LONGEST_CLIP = 600;
/** Seconds of segments that are kept besides what clips need. */
const MARGIN = 20;

/** The recording of a camera. */
export class Recorder {
  private segments: KeptSegment[] = [];
  private readonly orders = new Set<Order>();
  /** From where on an event that goes on needs the recording. */
  private readonly held = new Map<string, Stretch>();
  private marking: Promise<void> = Promise.resolve();
  private connection = 0;
  /** How names of the connection's segments begin. */
  private prefix = "";
  private isOver = false;
  /** Whether nothing will be recorded for a while. */
  private rests = false;

  /**
   * @param folder of the segments, which holds nothing else
   * @param before seconds before an event that clips begin
   */
  constructor(
    readonly folder: string,
    private readonly before: number,
  ) {}

  /** Removes what an earlier process has left. */
  static async open(folder: string, before: number): Promise<Recorder> {
    await mkdirs(folder);
    const old = (await readdir(folder)).filter((name) => /\.(mkv|tmp|event)$/.test(name));
    await Promise.all(old.map((name) => rm(join(folder, name), { force: true })));
    return new Recorder(folder, before);
  }

  /** A connection begins. @returns its number, and how names of its segments begin */
  connect(): { connection: number; prefix: string } {
    this.connection++;
    this.isOver = false;
    this.rests = false;
    this.prefix = `${this.connection}-${randomBytes(4).toString("hex")}`;
    return { connection: this.connection, prefix: this.prefix };
  }

  /** Nothing is recorded for a while: what no event needs is deleted. */
  rest(): void {
    this.rests = true;
    this.prune();
  }

  /** The connection has ended: its recording will not grow. */
  async disconnect(): Promise<void> {
    this.isOver = true;
    this.serve();
    await this.removeUnfinished(this.prefix);
  }

  /** Removes the segment that was being written when the connection was lost. */
  private async removeUnfinished(prefix: string): Promise<void> {
    const kept = new Set(this.segments.map(({ path }) => path));
    const names = await readdir(this.folder).catch(() => []);
    const paths = names.filter((name) => name.startsWith(prefix)).map((name) => join(this.folder, name));
    await Promise.all(paths.filter((path) => !kept.has(path)).map((path) => rm(path, { force: true }).catch(() => {})));
  }

  /** Takes in a segment that is complete. */
  add(segment: Segment): void {
    this.segments.push({ ...segment, connection: this.connection });
    this.serve();
    this.prune();
  }

  /**
   * Keeps the recording from a moment on, until {@link clip} or {@link release} is called for this
   * event.
   * @param isRescued whether the next process makes the clip if this one is killed; then it is kept
   *   for {@link LONGEST_CLIP} at most
   */
  hold(event: string, connection: number, time: number, isRescued = true): void {
    const to = isRescued ? time + LONGEST_CLIP : Number.POSITIVE_INFINITY;
    const stretch = { connection, from: time - this.before, to };
    this.held.set(event, stretch);
    if (!isRescued) return;
    const [first] = this.touched(stretch);
    const name = first ? basename(first.path) : `${this.prefix}-0.mkv`;
    this.mark(() => writeFile(this.marker(event), name));
  }

  /** Writes and removes markers in turn. Without one, a process that is killed loses the clip. */
  private mark(work: () => Promise<void>): void {
    this.marking = this.marking.then(work).catch(() => {});
  }

  private marker(event: string): string {
    return join(this.folder, `${event}${MARKER}`);
  }

  /** Nothing holds the recording for this event any longer. */
  release(event: string): void {
    this.held.delete(event);
    this.mark(() => rm(this.marker(event), { force: true }));
    this.prune();
  }

  /**
   * Makes a clip: the segments that a stretch touches, joined into an MP4 file, or into a Matroska
   * file if its name ends in .mkv. It waits until they are complete.
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
      await joinSegments(
        segments.map((segment) => segment.path),
        path,
      );
      return true;
    } finally {
      this.mark(() => rm(this.marker(event), { force: true }));
      await this.marking;
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
      (!this.rests && one.connection === newest.connection && one.end > since) ||
      wanted.some(({ connection, from, to }) => one.connection === connection && one.end > from && one.start < to);
    const old = this.segments.filter((one) => !isNeeded(one));
    this.segments = this.segments.filter(isNeeded);
    for (const { path } of old) void rm(path, { force: true }).catch(() => {});
  }
}

/** Codecs that browsers play in an MP4 file. */
const PLAYABLE = /Video: (h264|hevc|av1)\b/;

/**
 * Joins segments into a file, which appears whole or not at all. The packets are copied, but an MP4
 * file is encoded as H.264 if browsers cannot play their codec.
 * @param segments paths, at least one
 * @throws InputError if ffmpeg fails
 */
export async function joinSegments(segments: readonly string[], path: string): Promise<void> {
  const program = await findFfmpeg();
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
  const list = `${temporary}.list`;
  // Quotes end before a quote in the name, and begin again behind it.
  const lines = segments.map((segment) => `file 'file:${resolve(segment).replaceAll("'", "'\\''")}'`);
  try {
    await writeFile(list, `${lines.join("\n")}\n`);
    const input = ["-f", "concat", "-safe", "0", "-protocol_whitelist", "file,pipe", "-i", `file:${resolve(list)}`];
    const how = path.endsWith(".mkv") ? matroska : await mp4(program, segments[0]);
    const output = ["-an", ...how, "-y", `file:${resolve(temporary)}`];
    const { child, ended, log } = startFfmpeg(program, ["-v", "repeat+level+error", ...input, ...output]);
    child.stdout.resume();
    const end = await ended;
    if (end.code !== 0) throw new InputError(`${path} cannot be made: ${ffmpegReason(log, end, list)}`);
    await rename(temporary, path);
  } finally {
    await rm(list, { force: true });
    await rm(temporary, { force: true });
  }
}

const matroska = ["-c", "copy", "-f", "matroska"];

async function mp4(program: string, first: string): Promise<string[]> {
  const codec = await ffmpegCodec(program, first);
  const copy = ["-c", "copy", ...(codec === "hevc" ? ["-tag:v", "hvc1"] : [])];
  const encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p"];
  return [...(codec === undefined ? encode : copy), "-movflags", "+faststart", "-f", "mp4"];
}

/** The codec of a segment, if browsers play it. */
async function ffmpegCodec(program: string, path: string): Promise<string | undefined> {
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
