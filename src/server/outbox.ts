// Delivers the log's changes to a sink, in order and at least once.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { InputError } from "../errors.js";
import { makeFolder, writeFileAtomic } from "../node/files/atomic.js";
import { reasonOf } from "../node/files/messages.js";
import { Backoff, type BackoffOptions } from "./backoff.js";
import { comparePositions, type LoggedChange, type LogPosition } from "./log_lines.js";
import type { ChangeKind, EventChange, EventKind, Sink } from "./records.js";

/** What became of an attempt. `expired`: it is too old, and was given up. */
export type DeliveryResult = "delivered" | "failed" | "expired";

/** Which changes a sink gets. What is absent lets all pass. */
export interface DeliveryFilter {
  cameras?: readonly string[];
  kinds?: readonly EventKind[];
  changes?: readonly ChangeKind[];
  /** Whether it also gets what nobody is alerted of. */
  silent?: boolean;
}

/** What the outbox needs of the log, see EventLog. */
export interface ReadableLog {
  readonly end: LogPosition;
  read(options: { from: LogPosition }): AsyncIterable<LoggedChange>;
}

/** Settings of an {@link Outbox}. Times are in seconds. */
export interface OutboxOptions {
  log: ReadableLog;
  sink: Sink;
  /** Where the cursors of all sinks are kept, `SINK.json` each. */
  folder: string;
  filter?: DeliveryFilter;
  /** A change that is older is given up. Default: a day. */
  expiry?: number;
  /** Waits after failed attempts. Default: 1 s, doubled up to 60 s, ±20 %. */
  retry?: Partial<BackoffOptions>;
  /** A longer attempt is aborted. Default: 30. */
  sendTimeout?: number;
  /** Hears of each attempt. It may append to the log; what it throws is dropped. */
  onResult?(result: DeliveryResult, change: EventChange, error?: Error): void;
  /** Hears in one line of cursors that cannot be read or written. */
  onWarning?(message: string): void;
  /** Milliseconds since 1970. For tests. */
  clock?(): number;
  /** Waits between attempts; ends early, or fails, once `signal` is aborted. For tests. */
  sleep?(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/** A change that is not delivered yet. */
interface Entry {
  at: LogPosition;
  id: string;
  change: ChangeKind;
  time: string;
  /** Absent if the queue is long: it is then read again from the log. */
  body?: EventChange;
}

/** So many changes at the head of a queue are held in memory. */
const HELD = 256;
/** So many changes that a sink does not get are passed before its cursor is written. */
const PASSED = 1000;

/**
 * The queue of one sink. The log is the queue: on disk is only the place of the next change. After
 * a crash the last delivery may be repeated. A new sink begins at the log's end.
 *
 * Silent events are left out, and so are updates with a newer change of the same event behind them.
 * A change that the sink refuses holds up the ones behind it until it expires.
 */
export class Outbox {
  /** Which changes the sink gets of those that come now. */
  filter: DeliveryFilter;
  /** In order. Superseded updates are taken out. */
  private readonly queue = new Set<Entry>();
  /** The update of each event that is in the queue with no newer change behind it. */
  private readonly updates = new Map<string, Entry>();
  private readonly closing = new AbortController();
  private readonly backoff: Backoff;
  private scanning: Promise<void> | undefined;
  private scanAgain = false;
  private delivering: Promise<void> | undefined;
  /** Aborts the attempt that is under way. */
  private attempting: AbortController | undefined;
  /** What the file holds; absent until it was written once. */
  private saved: LogPosition | undefined;
  private passed = 0;
  private failure: string | undefined;
  private cursorFails = false;

  private constructor(
    private readonly options: OutboxOptions,
    private readonly path: string,
    /** Behind the last change that was put into the queue or passed. */
    private scanned: LogPosition,
    /** Changes before it are passed: the cursor was lost, and they may have been delivered. */
    private readonly skipBefore: number,
  ) {
    this.filter = options.filter ?? {};
    this.backoff = new Backoff({ first: 1, most: 60, ...options.retry });
  }

  /**
   * Opens a sink's queue and begins to deliver. The sink and the log stay the caller's: close them
   * after the outbox.
   * @throws InputError if the folder cannot be written or the log cannot be read
   */
  static async open(options: OutboxOptions): Promise<Outbox> {
    await makeFolder(options.folder);
    const path = join(options.folder, `${encodeURIComponent(options.sink.name)}.json`);
    const { next, lost } = await startOf(options, path);
    const now = (options.clock ?? Date.now)();
    const outbox = new Outbox(options, path, next, lost ? now - expiryOf(options) : Number.NEGATIVE_INFINITY);
    if (lost) options.onWarning?.(`${path}: is damaged; alerts that have not expired are sent again`);
    // A new sink has its place from now on, even if nothing is appended until the next start.
    await outbox.save();
    try {
      await outbox.scan();
    } catch (error) {
      await outbox.close();
      throw error;
    }
    return outbox;
  }

  /** How many changes are not delivered yet, as of the last look at the log. */
  get queueLength(): number {
    return this.queue.size;
  }

  /** Why the last attempt failed, in one line; undefined if it did not. */
  get lastError(): string | undefined {
    return this.failure;
  }

  /** Says that something was appended to the log. */
  notify(): void {
    if (this.closing.signal.aborted) return;
    this.scan().catch((error: unknown) => this.options.onWarning?.(reasonOf(error)));
  }

  /** Resolves once all that the log has is in the queue, if the filter lets it pass. */
  async caughtUp(): Promise<void> {
    await this.scanning?.catch(() => undefined);
  }

  /** Resolves once nothing is left to deliver, or the outbox is closed. */
  async drained(): Promise<void> {
    while (this.scanning || this.delivering) {
      await this.scanning?.catch(() => undefined);
      await this.delivering;
    }
  }

  /**
   * Ends deliveries. What is left in the queue is delivered after the next start.
   * @param grace seconds to wait until the queue is empty
   */
  async close({ grace = 0 }: { grace?: number } = {}): Promise<void> {
    if (grace > 0) {
      const timer = new AbortController();
      const over = wait(1000 * grace, undefined, { signal: timer.signal }).catch(() => undefined);
      await Promise.race([this.drained(), over]);
      timer.abort();
    }
    this.closing.abort();
    this.attempting?.abort(new Error("the outbox is closed"));
    await this.scanning?.catch(() => undefined);
    await this.delivering;
    await this.save();
  }

  // From the log to the queue.

  /** Puts what the log has to the end of the queue. */
  private scan(): Promise<void> {
    this.scanAgain = true;
    this.scanning ??= this.scanAll();
    return this.scanning;
  }

  private async scanAll(): Promise<void> {
    await Promise.resolve();
    try {
      while (this.scanAgain) {
        this.scanAgain = false;
        for await (const logged of this.options.log.read({ from: this.scanned })) {
          if (this.closing.signal.aborted) break;
          this.add(logged);
        }
      }
    } finally {
      this.scanning = undefined;
      this.deliver();
    }
  }

  private add({ change, at, next }: LoggedChange): void {
    this.scanned = next;
    if (!this.concerns(change)) {
      this.passed++;
      return;
    }
    const { id } = change.event;
    const older = this.updates.get(id);
    if (older) this.queue.delete(older);
    const entry: Entry = { at, id, change: change.change, time: change.time };
    if (this.queue.size < HELD) entry.body = change;
    this.queue.add(entry);
    if (change.change === "update") this.updates.set(id, entry);
    else this.updates.delete(id);
  }

  private concerns({ change, time, event }: EventChange): boolean {
    const { cameras, kinds, changes, silent = false } = this.filter;
    if ((event.silent && !silent) || Date.parse(time) < this.skipBefore) return false;
    if (cameras && !cameras.includes(event.camera)) return false;
    return (kinds?.includes(event.kind) ?? true) && (changes?.includes(change) ?? true);
  }

  // From the queue to the sink.

  private deliver(): void {
    if (!this.closing.signal.aborted) this.delivering ??= this.deliverAll();
  }

  private async deliverAll(): Promise<void> {
    await Promise.resolve();
    for (;;) {
      const entry = this.queue.values().next().value;
      if (entry === undefined || this.closing.signal.aborted) break;
      if (await this.attempt(entry)) this.remove(entry);
      else await this.pause();
      await this.save();
    }
    if (this.passed >= PASSED) await this.save();
    // Without a wait before it, so that no change is overlooked.
    this.delivering = undefined;
    if (this.queue.size > 0) this.deliver();
  }

  private remove(entry: Entry): void {
    this.queue.delete(entry);
    if (this.updates.get(entry.id) === entry) this.updates.delete(entry.id);
  }

  /**
   * A change from the log; undefined if its file was removed.
   * @throws InputError if the log cannot be read
   */
  private async bodyOf({ at, id, time }: Entry): Promise<EventChange | undefined> {
    for await (const { change } of this.options.log.read({ from: at })) {
      return change.event.id === id && change.time === time ? change : undefined;
    }
    return undefined;
  }

  /** @returns whether a change is done with */
  private async attempt(entry: Entry): Promise<boolean> {
    let body = entry.body;
    try {
      body ??= await this.bodyOf(entry);
      if (body === undefined) return true;
      if (this.isExpired(body)) {
        this.report("expired", body, this.failure === undefined ? undefined : new Error(this.failure));
        return true;
      }
      await this.send(body);
    } catch (thrown) {
      // Being closed is no failure of the sink.
      if (this.closing.signal.aborted) return false;
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      this.failure = reasonOf(error);
      if (body) this.report("failed", body, error);
      return false;
    }
    this.failure = undefined;
    this.backoff.reset();
    this.report("delivered", body);
    return true;
  }

  private isExpired({ time }: EventChange): boolean {
    const age = (this.options.clock ?? Date.now)() - Date.parse(time);
    // What has no sound time must not hold up the others for ever.
    return !(age <= expiryOf(this.options));
  }

  /** Sends a change, and waits no longer than allowed, even for a sink that ignores the signal. */
  private async send(change: EventChange): Promise<void> {
    const { sink, sendTimeout = 30 } = this.options;
    const attempting = new AbortController();
    this.attempting = attempting;
    const { signal } = attempting;
    const timer = setTimeout(
      () => attempting.abort(new Error(`${sink.name}: no answer within ${sendTimeout} s`)),
      1000 * sendTimeout,
    );
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    try {
      await Promise.race([sink.send(change, signal), aborted]);
    } finally {
      clearTimeout(timer);
      this.attempting = undefined;
    }
  }

  private report(result: DeliveryResult, change: EventChange, error?: Error): void {
    try {
      this.options.onResult?.(result, change, error);
    } catch {
      // Deliveries do not depend on who listens.
    }
  }

  private async pause(): Promise<void> {
    if (this.closing.signal.aborted) return;
    const sleep = this.options.sleep ?? ((milliseconds, signal) => wait(milliseconds, undefined, { signal }));
    await sleep(1000 * this.backoff.next(), this.closing.signal).catch(() => undefined);
  }

  // The cursor.

  /** Writes where the next change is. If that fails, deliveries may be repeated after a crash. */
  private async save(): Promise<void> {
    const next = this.queue.values().next().value?.at ?? this.scanned;
    if (this.saved !== undefined && comparePositions(next, this.saved) === 0) return;
    try {
      await writeFileAtomic(this.path, `${JSON.stringify({ sink: this.options.sink.name, next })}\n`);
      this.saved = next;
      this.passed = 0;
      this.cursorFails = false;
    } catch (error) {
      if (!this.cursorFails) this.options.onWarning?.(reasonOf(error));
      this.cursorFails = true;
    }
  }
}

const expiryOf = ({ expiry = 86_400 }: OutboxOptions): number => 1000 * expiry;

/**
 * Where a sink goes on. A new one begins at the log's end; so does one whose cursor is behind it,
 * which happens if the log was replaced.
 */
async function startOf(options: OutboxOptions, path: string): Promise<{ next: LogPosition; lost?: boolean }> {
  const { log, clock = Date.now } = options;
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { next: log.end };
    throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
  }
  const next = parseCursor(text);
  if (next) return { next: comparePositions(next, log.end) > 0 ? log.end : next };
  const oldest = new Date(Math.max(0, clock() - expiryOf(options))).toISOString();
  return { next: { day: oldest.slice(0, 10), offset: 0 }, lost: true };
}

/** @returns undefined if it is damaged */
function parseCursor(text: string): LogPosition | undefined {
  try {
    const { day, offset } = (JSON.parse(text) as { next: LogPosition }).next;
    if (typeof day === "string" && Number.isSafeInteger(offset) && offset >= 0) return { day, offset };
  } catch {
    // It is damaged.
  }
  return undefined;
}
