// A folder into which a camera or a recorder writes: says which new files are complete.
import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { counted } from "../../counted.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { isUnreadable, notUtf8 } from "../files/names.js";

/** What a file holds, by its name. */
export type NewFileKind = "video" | "image";

/** A file that has come since the watching began, and is complete. */
export interface NewFile {
  path: string;
  name: string;
  kind: NewFileKind;
  /** When it was written last, in milliseconds since 1970; never later than now. */
  modified: number;
  /** When it was made, never later than `modified`. */
  born: number;
  /** In bytes. */
  size: number;
}

/** How a folder is watched. Times are in seconds. */
export interface GrowingFolderOptions {
  /** Takes in a line about a file that is left out. */
  warn(line: string): void;
  /** Between two looks at the names. Default: 0.5. */
  interval?: number;
  /**
   * A file is complete when it has not changed for so long: `followed` if a later one has begun,
   * else `last`. Default: 3 and 10 for videos, 0.25 and 1 for images.
   */
  settled?: Readonly<Record<NewFileKind, { followed: number; last: number }>>;
  /** Most complete files that wait; older ones are left out. Default: 100. */
  mostWaiting?: number;
  /** Called after each look. */
  onLook?(): void;
}

/** A file that may still be written. */
interface Growing {
  kind: NewFileKind;
  size: number;
  modified: number;
  born: number;
  /** The look that saw it change last, in milliseconds of this machine's steady clock. */
  changed: number;
}

const VIDEO = /\.(mp4|m4v|mov|mkv|webm|avi|ts|mts|m2ts|mpg|mpeg|flv|wmv|asf)$/i;
const IMAGE = /\.(jpe?g|png)$/i;

const usualSettled = { video: { followed: 3, last: 10 }, image: { followed: 0.25, last: 1 } };
/** Milliseconds after which an empty file is left out. */
const EMPTY = 60_000;
/** Milliseconds for which a name is remembered after its file has gone. */
const REMEMBERED = 3_600_000;
/** Milliseconds between two lines about files that were left out. */
const REPORT = 60_000;

/**
 * Watches a folder by listing it, which also works on network mounts. The files that are there at
 * the first look are old, and are never opened. A file's status is read only until it is complete.
 * Hidden files, sub-folders and other kinds are ignored; of links and other oddities there is a
 * warning each.
 *
 * If the folder holds videos, images are ignored: recorders keep previews beside their videos.
 */
export class GrowingFolder {
  /** What the folder holds; undefined while it holds neither. */
  kind: NewFileKind | undefined;
  /** Names that need no further look, and since when their files have been gone. */
  private readonly done = new Map<string, number | undefined>();
  private readonly growing = new Map<string, Growing>();
  private readonly complete: NewFile[] = [];
  private isFirstLook = true;
  private skipped = { count: 0, reported: Number.NEGATIVE_INFINITY };
  /** When the next look is due, on this machine's steady clock. */
  private due = 0;

  constructor(
    readonly path: string,
    private readonly options: GrowingFolderOptions,
  ) {}

  /**
   * Waits for the next complete file, in the order in which files were written.
   * @throws InputError if the folder cannot be listed (a later call tries again), the signal's
   * reason
   */
  async next(signal: AbortSignal): Promise<NewFile> {
    for (;;) {
      signal.throwIfAborted();
      const file = this.complete.shift();
      if (file) return file;
      await sleep(Math.max(0, this.due - performance.now()), undefined, { signal }).catch(() =>
        signal.throwIfAborted(),
      );
      await this.look();
    }
  }

  /** Lists the folder, and looks at those files that may still be written. */
  private async look(): Promise<void> {
    const { interval = 0.5 } = this.options;
    const began = performance.now();
    const isFirst = this.isFirstLook;
    let names: string[];
    try {
      names = await readdir(this.path);
    } catch (error) {
      throw new InputError(`${oneLine(this.path)} cannot be read: ${reasonOf(error)}`);
    } finally {
      // A large folder on a slow network is looked at less often.
      this.due = began + Math.max(1000 * interval, 5 * (performance.now() - began));
    }
    this.isFirstLook = false;
    for (const name of names) {
      const kind = kindOf(name);
      if (kind === undefined || this.growing.has(name)) continue;
      if (this.kind !== "video") this.kind = kind;
      if (isFirst) this.done.set(name, undefined);
      else if (!this.done.has(name)) await this.begin(name, kind, began);
    }
    this.forget(names);
    await this.settle(began);
    this.leaveOut();
    this.options.onLook?.();
  }

  /** Looks at a file that is new. */
  private async begin(name: string, kind: NewFileKind, look: number): Promise<void> {
    const refuse = (line: string) => {
      this.done.set(name, undefined);
      this.options.warn(line);
    };
    const shown = oneLine(join(this.path, name));
    if (await isUnreadable(this.path, name)) return refuse(notUtf8(this.path, [name]));
    const info = await lstat(join(this.path, name)).catch(() => undefined);
    if (!info) return;
    if (info.isDirectory()) this.done.set(name, undefined);
    else if (info.isSymbolicLink()) refuse(`${shown} is a link, which is left out`);
    else if (!info.isFile()) refuse(`${shown} is not a file, and is left out`);
    else this.growing.set(name, { kind, ...statusOf(info), changed: look });
  }

  /** Finds the files that are complete now. */
  private async settle(look: number): Promise<void> {
    const { settled = usualSettled } = this.options;
    for (const [name, before] of this.growing) {
      const info = await lstat(join(this.path, name)).catch(() => undefined);
      if (!info?.isFile()) {
        this.growing.delete(name);
        continue;
      }
      const now = statusOf(info);
      if (now.size !== before.size || now.modified !== before.modified) {
        this.growing.set(name, { ...before, ...now, changed: look });
      }
    }
    const files = [...this.growing].sort(([a, { modified: x }], [b, { modified: y }]) => x - y || byName(a, b));
    for (const [i, [name, { kind, size, modified, born, changed }]] of files.entries()) {
      const quiet = look - changed;
      if (size === 0) {
        if (quiet >= EMPTY) this.drop(name, `${oneLine(join(this.path, name))} is empty, and is left out`);
        continue;
      }
      const isFollowed = files.slice(i + 1).some(([, other]) => other.kind === kind);
      // Later ones wait for it, so that the order stays.
      if (quiet < 1000 * settled[kind][isFollowed ? "followed" : "last"]) break;
      this.drop(name);
      if (kind !== this.kind) continue;
      // A clock that is wrong must not give times that are still to come.
      const written = Math.min(modified, Date.now());
      this.complete.push({
        path: join(this.path, name),
        name,
        kind,
        size,
        modified: written,
        born: Math.min(born, written),
      });
    }
  }

  private drop(name: string, warning?: string): void {
    this.growing.delete(name);
    this.done.set(name, undefined);
    if (warning !== undefined) this.options.warn(warning);
  }

  /** Leaves out the oldest files if too many wait. */
  private leaveOut(): void {
    const { mostWaiting = 100, warn } = this.options;
    this.skipped.count += this.complete.splice(0, Math.max(0, this.complete.length - mostWaiting)).length;
    const { count, reported } = this.skipped;
    if (count === 0 || performance.now() - reported < REPORT) return;
    warn(`${counted(count, "new file")} left out: they come faster than they can be scored`);
    this.skipped = { count: 0, reported: performance.now() };
  }

  /**
   * Forgets names whose files have long been gone. An empty folder may be one that is not mounted
   * at the moment: its files come back, and are not new then.
   */
  private forget(names: readonly string[]): void {
    if (names.length === 0) return;
    const present = new Set(names);
    const now = performance.now();
    for (const [name, gone] of this.done) {
      if (present.has(name)) {
        if (gone !== undefined) this.done.set(name, undefined);
      } else if (gone === undefined) this.done.set(name, now);
      else if (now - gone > REMEMBERED) this.done.delete(name);
    }
  }
}

const kindOf = (name: string): NewFileKind | undefined =>
  name.startsWith(".") ? undefined : VIDEO.test(name) ? "video" : IMAGE.test(name) ? "image" : undefined;

const statusOf = ({ size, mtimeMs, birthtimeMs }: Stats) => ({
  ...{ size, modified: mtimeMs },
  born: birthtimeMs > 0 ? birthtimeMs : mtimeMs,
});

const byName = new Intl.Collator("en", { numeric: true }).compare;
