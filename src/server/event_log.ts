// The log of events: a file per UTC day, a change per line, on disk before anyone hears of it.
import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { open, readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as wait } from "node:timers/promises";
import { cannotWrite, isFull, makeFolder, writeFileAtomic } from "../node/files/atomic.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { type EventFilter, mergeEvents } from "./event_query.js";
import {
  changesIn,
  daysOf,
  isChange,
  isDay,
  LONGEST_LINE,
  type LoggedChange,
  type LogPosition,
  linesOf,
  logStart,
  parseLine,
} from "./log_lines.js";
import { takeLock } from "./log_lock.js";
import type { CameraEvent, EventChange } from "./records.js";

/** What the log needs of an open file. Node's FileHandle has it. */
export interface LogFile {
  write(bytes: Uint8Array): Promise<{ bytesWritten: number }>;
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  stat(): Promise<{ size: number }>;
  close(): Promise<void>;
}

/** Settings of an {@link EventLog}. Tests replace what touches the disk and the clock. */
export interface EventLogOptions {
  /** Hears in one line of damaged lines and of a disk that is full or works again. */
  onWarning?(message: string): void;
  /** Most bytes of lines that wait in memory for a full disk. Default: 16 MiB. */
  mostWaiting?: number;
  /** Seconds between attempts to make the reserve again. Default: 60. */
  reserveInterval?: number;
  /** Opens a file to append to it. */
  openFile?(path: string): Promise<LogFile>;
  /** Waits between attempts to write. Ends early, by an error or not, once `signal` is aborted. */
  sleep?(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/** Bytes of the file that is deleted once the disk is full, so that events still fit. */
const RESERVE = 1024 * 1024;
/** The reserve is made again only if so many bytes are free. */
const FREE_ENOUGH = 16 * RESERVE;
/** Most bytes that are written at once. */
const LARGEST_BATCH = 1024 * 1024;
/** Newest files that are searched for events which have not ended. */
const OPEN_DAYS = 31;
/** Milliseconds between attempts to write to a full disk. */
const RETRY = 1000;

interface Waiting {
  day: string;
  line: Buffer;
  change: EventChange;
  resolve(at: LogPosition): void;
  reject(error: Error): void;
}

/**
 * The events of all cameras, `YYYY-MM-DD.jsonl` in a folder. Only one process may have a log open;
 * {@link readEvents} reads beside it.
 *
 * A day's file takes what was written on that day. If the clock steps back, the newest file takes
 * it, so that the order of lines stays the order of appends.
 */
export class EventLog {
  private position: LogPosition = logStart;
  private file: LogFile | undefined;
  private readonly waiting: Waiting[] = [];
  private waitingBytes = 0;
  private writing: Promise<void> | undefined;
  private lastProblem: string | undefined;
  private release: () => Promise<void> = async () => {};
  private readonly closing = new AbortController();
  private readonly lasting = new Map<string, EventChange>();
  private readonly damaged = new Set<string>();
  private reserveTried = Number.NEGATIVE_INFINITY;

  private constructor(
    private readonly folder: string,
    private readonly options: EventLogOptions,
  ) {}

  /**
   * Opens the log of a folder, or begins one. A damaged end, as a power cut leaves it, is moved to
   * `YYYY-MM-DD.damaged`. The newest 31 files are searched for {@link openChanges}: an event that
   * had no change for 31 days with events is taken to be over.
   * @throws LogInUseError if another process has it open; InputError if it cannot be read or
   * written
   */
  static async open(folder: string, options: EventLogOptions = {}): Promise<EventLog> {
    await makeFolder(folder);
    const log = new EventLog(folder, options);
    try {
      await log.start();
    } catch (error) {
      // On a full disk the lock itself may need the reserve's space.
      if (!isFull(error) || !(await log.freeReserve())) throw error;
      await log.start();
    }
    return log;
  }

  private async start(): Promise<void> {
    this.release = await takeLock(this.folder);
    try {
      await this.removeUnfinished();
      const days = await daysOf(this.folder);
      const newest = days.at(-1);
      if (newest !== undefined) this.position = { day: newest, offset: await this.repair(newest) };
      for (const day of days.slice(-OPEN_DAYS)) {
        for await (const { change } of this.changesOf(day, 0)) this.remember(change);
      }
      await this.makeReserve();
    } catch (error) {
      await this.release();
      throw error;
    }
  }

  /** Behind the last line that is on disk. */
  get end(): LogPosition {
    return this.position;
  }

  /** How many damaged lines were met while reading. */
  get damagedLines(): number {
    return this.damaged.size;
  }

  /** Why nothing can be written at present, in one line; undefined if all is well. */
  get problem(): string | undefined {
    return this.lastProblem;
  }

  /** The last change on disk of each event without an end, oldest events first. */
  openChanges(): EventChange[] {
    return [...this.lasting.values()];
  }

  /**
   * Appends a change. On a full disk it waits in memory until there is space.
   * @returns where its line begins, once it is on disk; appends come to lie in the order of calls
   * @throws Error if it is no change, too many wait for a full disk, or the log was closed before
   * it could be written
   */
  append(change: EventChange): Promise<LogPosition> {
    const line = Buffer.from(`${JSON.stringify(change)}\n`);
    const refusal = this.refusalOf(change, line);
    if (refusal !== undefined) return Promise.reject(new Error(refusal));
    this.waitingBytes += line.length;
    const done = new Promise<LogPosition>((resolve, reject) => {
      this.waiting.push({ day: change.time.slice(0, 10), line, change, resolve, reject });
    });
    this.writing ??= this.writeWaiting();
    return done;
  }

  /** Why a change cannot be appended; undefined if it can be. */
  private refusalOf(change: EventChange, line: Buffer): string | undefined {
    if (this.closing.signal.aborted) return `${this.folder}: the event log is closed`;
    if (!isChange(change) || !isDay(change.time.slice(0, 10)) || line.length > LONGEST_LINE) {
      return `not a change of an event: ${oneLine(line.toString("utf8", 0, 300))}`;
    }
    if (this.waitingBytes + line.length <= (this.options.mostWaiting ?? 16 * 1024 * 1024)) return undefined;
    return `${this.lastProblem ?? this.folder}; too many events wait to be written`;
  }

  /**
   * The changes from a position to the log's end as it is when reading begins, in order. Damaged
   * lines are left out.
   * @throws InputError if a file cannot be read
   */
  async *read({ from = logStart }: { from?: LogPosition } = {}): AsyncGenerator<LoggedChange> {
    const end = this.position;
    for (const day of await daysOf(this.folder)) {
      if (day < from.day || day > end.day) continue;
      const until = day === end.day ? end.offset : Number.POSITIVE_INFINITY;
      yield* this.changesOf(day, day === from.day ? from.offset : 0, until);
    }
  }

  /**
   * The latest state of each event that is on disk, newest first.
   * @throws InputError if a file cannot be read, or `since` is no time
   */
  events(filter: EventFilter = {}): Promise<CameraEvent[]> {
    const { day: last, offset } = this.position;
    return mergeEvents(this.folder, filter, (day) =>
      this.changesOf(day, 0, day === last ? offset : Number.POSITIVE_INFINITY),
    );
  }

  /** Writes what waits, once more if the disk is full, and lets other processes open the log. */
  async close(): Promise<void> {
    if (this.closing.signal.aborted) return;
    this.closing.abort();
    await this.writing;
    await this.closeFile();
    await this.release();
  }

  private changesOf(day: string, from: number, until?: number): AsyncGenerator<LoggedChange> {
    return changesIn(this.folder, day, from, until, (at) => {
      const where = `${day}:${at}`;
      if (this.damaged.has(where)) return;
      this.damaged.add(where);
      this.warn(`${join(this.folder, `${day}.jsonl`)}: the line at byte ${at} is damaged; it is left out`);
    });
  }

  private remember(change: EventChange): void {
    const { id, end } = change.event;
    if (end === undefined) this.lasting.set(id, change);
    else this.lasting.delete(id);
  }

  private warn(message: string): void {
    this.options.onWarning?.(message);
  }

  // Writing. One batch is under way at a time.

  private async writeWaiting(): Promise<void> {
    // Appends of the same moment come into one batch.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const batch = this.nextBatch();
      try {
        await this.write(batch);
      } catch (error) {
        await this.recover(error);
        continue;
      }
      this.settle(batch);
      if (this.waiting.length === 0) await this.makeReserve();
    }
    this.writing = undefined;
  }

  /** The first lines that wait for the same file. */
  private nextBatch(): { day: string; lines: Waiting[] } {
    const dayOf = (line: Waiting): string => (line.day > this.position.day ? line.day : this.position.day);
    const day = dayOf(this.waiting[0]);
    let bytes = 0;
    const other = this.waiting.findIndex((line) => {
      bytes += line.line.length;
      return dayOf(line) !== day || bytes > LARGEST_BATCH;
    });
    // A single line always fits.
    return { day, lines: other < 0 ? [...this.waiting] : this.waiting.slice(0, Math.max(1, other)) };
  }

  private async write({ day, lines }: { day: string; lines: Waiting[] }): Promise<void> {
    const file = await this.fileOf(day);
    const bytes = Buffer.concat(lines.map(({ line }) => line));
    const { bytesWritten } = await file.write(bytes);
    if (bytesWritten < bytes.length) throw Object.assign(new Error("the disk is full"), { code: "ENOSPC" });
    await file.sync();
  }

  /** A day's file, which ends behind its last whole line. */
  private async fileOf(day: string): Promise<LogFile> {
    if (this.file && day === this.position.day) return this.file;
    await this.closeFile();
    const path = join(this.folder, `${day}.jsonl`);
    // A file that nobody here has written to is repaired like one of an earlier run.
    if (day !== this.position.day) this.position = { day, offset: await this.repair(day) };
    const file = await (this.options.openFile ?? ((name) => open(name, "a")))(path);
    this.file = file;
    const { size } = await file.stat();
    // What a failed write left.
    if (size > this.position.offset) await file.truncate(this.position.offset);
    if (size < this.position.offset) this.position = { day, offset: size };
    if (size === 0) await syncFolder(this.folder);
    return file;
  }

  private async closeFile(): Promise<void> {
    const { file } = this;
    this.file = undefined;
    await file?.close().catch(() => undefined);
  }

  private settle({ day, lines }: { day: string; lines: Waiting[] }): void {
    this.waiting.splice(0, lines.length);
    if (this.lastProblem !== undefined) this.warn(`${this.folder}: can be written again`);
    this.lastProblem = undefined;
    for (const { line, change, resolve } of lines) {
      const at = this.position;
      this.position = { day, offset: at.offset + line.length };
      this.waitingBytes -= line.length;
      this.remember(change);
      resolve(at);
    }
  }

  /** Makes space, or waits. If the log is being closed, it gives up what waits. */
  private async recover(error: unknown): Promise<void> {
    // The next attempt opens the file anew and cuts off what this one left.
    await this.closeFile();
    const problem = `${this.folder}: cannot be written (${reasonOf(error)})`;
    if (this.lastProblem === undefined) this.warn(`${problem}; events wait in memory`);
    this.lastProblem = problem;
    if (isFull(error) && (await this.freeReserve())) return;
    if (this.closing.signal.aborted) {
      const failure = new Error(problem);
      for (const { reject } of this.waiting.splice(0)) reject(failure);
      this.waitingBytes = 0;
      return;
    }
    const sleep = this.options.sleep ?? ((milliseconds, signal) => wait(milliseconds, undefined, { signal }));
    await sleep(RETRY, this.closing.signal).catch(() => undefined);
  }

  // The reserve.

  private get reserve(): string {
    return join(this.folder, "reserve");
  }

  /** Deletes the reserve. @returns whether there was one */
  private async freeReserve(): Promise<boolean> {
    this.reserveTried = performance.now();
    return rm(this.reserve).then(
      () => true,
      () => false,
    );
  }

  /** Makes the reserve unless it is there, the disk is almost full, or that was tried just now. */
  private async makeReserve(): Promise<void> {
    if (performance.now() - this.reserveTried < 1000 * (this.options.reserveInterval ?? 60)) return;
    this.reserveTried = performance.now();
    try {
      const size = await stat(this.reserve).then(
        (found) => found.size,
        () => 0,
      );
      const { bavail, bsize } = await statfs(this.folder);
      // Random, since some file systems store zeros or repetitions in no space.
      if (size < RESERVE && bavail * bsize >= FREE_ENOUGH) await writeFileAtomic(this.reserve, randomBytes(RESERVE));
    } catch {
      // There is no space, and it is tried again.
    }
  }

  // Repairing.

  /** Removes what a kill left of a reserve that was being made. */
  private async removeUnfinished(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (/^reserve\..*\.tmp$/.test(name)) await rm(join(this.folder, name), { force: true });
    }
  }

  /**
   * Moves what is behind the last line that is JSON to the day's `.damaged` file.
   * @returns the length of what stays, in bytes; 0 if there is no file
   */
  private async repair(day: string): Promise<number> {
    const path = join(this.folder, `${day}.jsonl`);
    let sound = 0;
    let length = 0;
    for await (const line of linesOf(path, 0)) {
      length = line.end;
      if (line.whole && parseLine(line.text) !== undefined) sound = line.end;
    }
    if (sound === length) return sound;
    const aside = join(this.folder, `${day}.damaged`);
    try {
      await appendPart(path, sound, aside);
      await cutTo(path, sound);
    } catch (error) {
      if (isFull(error) && (await this.freeReserve())) return this.repair(day);
      throw cannotWrite(path, error);
    }
    this.warn(`${path}: its end was damaged; ${length - sound} bytes were moved to ${aside}`);
    return sound;
  }
}

/** The last stamp that {@link newEventId} gave, in milliseconds since 1970. */
let lastStamp = Number.NEGATIVE_INFINITY;

/**
 * A new event's id, such as `20261130T141502123-front-3f2a91`: usable in file names and addresses.
 * Ids that the process makes later sort behind; if the clock steps back or stands, they count on in
 * milliseconds from the last one.
 * @param time when the event began
 * @param random uniform in [0, 1)
 */
export function newEventId(camera: string, time: Date, random: () => number = Math.random): string {
  lastStamp = Math.max(time.getTime(), lastStamp + 1);
  const stamp = new Date(lastStamp).toISOString().replace(/[-:.Z]/g, "");
  const mark = Math.floor(random() * 0x1000000)
    .toString(16)
    .padStart(6, "0");
  return `${stamp}-${camera.replace(/[^\w-]/g, "_")}-${mark}`;
}

// Files.

/** Appends a file from a byte on to another, and a line break; both on disk. */
async function appendPart(path: string, from: number, target: string): Promise<void> {
  await pipeline(createReadStream(path, { start: from }), createWriteStream(target, { flags: "a" }));
  const file = await open(target, "a");
  try {
    await file.write("\n");
    await file.sync();
  } finally {
    await file.close();
  }
}

async function cutTo(path: string, length: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.truncate(length);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes names of new files last. Windows has no such thing. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}
