// The log of a training run, log.jsonl: its entries, and reading and writing them.
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { readFile, truncate } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../../errors.js";
import { cannotWrite, writeFileAtomic } from "./atomic.js";
import { oneLine, reasonOf } from "./messages.js";

/** A start of the run. Each resume adds one. */
export interface RunEntry {
  type: "run";
  /** ISO 8601. */
  time: string;
  title: string;
  settings: Readonly<Record<string, unknown>>;
  adapter: string;
  versions: Readonly<Record<string, string>>;
}

/** A step of the optimiser. Epochs and steps count from 1; steps continue over epochs. */
export interface StepEntry {
  type: "step";
  epoch: number;
  stage: number;
  step: number;
  /** NaN if the loss was not finite; null in the file. */
  loss: number;
  learningRate: number;
  samplesPerSecond: number;
  /** Seconds since the run began; a resume continues them. */
  seconds: number;
}

/** The end of an epoch. */
export interface EpochEntry {
  type: "epoch";
  epoch: number;
  stage: number;
  /** The mean over the epoch. */
  loss: number;
  seconds: number;
  /** How many steps it had. */
  steps: number;
}

/** A test of the model after an epoch. */
export interface TestEntry {
  type: "test";
  epoch: number;
  stage: number;
  /** 0…1; absent if the data set's labels do not allow it. */
  microAuc?: number;
  macroAuc?: number;
  /** Whether it is better than all before it in its stage. */
  best: boolean;
  seconds: number;
}

/** How frames are scored (`ScoringWay`). Another version may have other names. */
export interface LoggedWay {
  scoring: string;
  tokens: string;
  topK: number;
  rule: string;
  smoothing: { readonly kind: string; readonly sigma?: number };
  maskings: number;
}

/** How well pseudo-anomalies of one kind are told: the AUC of their frames, the events found. */
export interface LoggedKind {
  kind: string;
  auc: number;
  events: number;
  found: number;
}

/** Normal video that is disturbed: the share of its frames that reach the threshold. */
export interface LoggedDisturbance {
  disturbance: string;
  falseAlarms: number;
}

/** A rating of the model after an epoch, without labels. Shares and AUCs are 0…1. */
export interface ValidationEntry {
  type: "validation";
  epoch: number;
  stage: number;
  /** What models are chosen by: the mean of the next two. */
  figure: number;
  /** Means over kinds: the AUC of frames, and the share of events that are found. */
  auc: number;
  found: number;
  /** The kind that is told worst. */
  worst: string;
  way: LoggedWay;
  /** At least one. */
  kinds: readonly LoggedKind[];
  disturbances: readonly LoggedDisturbance[];
  /** Whether it is better than all before it in its stage. */
  best: boolean;
  seconds: number;
}

/** Something that a reader should know. */
export interface NoteEntry {
  type: "note";
  text: string;
}

export type LogEntry = RunEntry | StepEntry | EpochEntry | TestEntry | ValidationEntry | NoteEntry;

type Check = (value: unknown) => boolean;
const whole: Check = (value) => Number.isInteger(value) && (value as number) >= 1;
const count: Check = (value) => value === 0 || whole(value);
/** JSON has null for a number that is not finite. */
const number: Check = (value) => typeof value === "number" || value === null;
const maybeNumber: Check = (value) => value === undefined || number(value);
const text: Check = (value) => typeof value === "string";
const record: Check = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const share: Check = (value) => typeof value === "number" && value >= 0 && value <= 1;
const positive: Check = (value) => typeof value === "number" && value > 0;
/** An object whose fields pass their checks. */
const shaped =
  (checks: Readonly<Record<string, Check>>): Check =>
  (value) =>
    record(value) && Object.entries(checks).every(([name, check]) => check((value as Record<string, unknown>)[name]));
const way = shaped({
  scoring: text,
  tokens: text,
  topK: whole,
  rule: text,
  smoothing: shaped({ kind: text, sigma: (value) => value === undefined || positive(value) }),
  maskings: whole,
} satisfies Record<keyof LoggedWay, Check>);
const kindShape = shaped({
  kind: text,
  auc: share,
  events: whole,
  found: count,
} satisfies Record<keyof LoggedKind, Check>);
const disturbance = shaped({ disturbance: text, falseAlarms: share } satisfies Record<keyof LoggedDisturbance, Check>);
const kind: Check = (value) => kindShape(value) && (value as LoggedKind).found <= (value as LoggedKind).events;

/** What the fields of each type of entry must be. */
const fields: {
  readonly [K in LogEntry["type"]]: Readonly<Record<Exclude<keyof Extract<LogEntry, { type: K }>, "type">, Check>>;
} = {
  run: { time: text, title: text, settings: record, adapter: text, versions: record },
  step: {
    epoch: whole,
    stage: whole,
    step: whole,
    loss: number,
    learningRate: number,
    samplesPerSecond: number,
    seconds: number,
  },
  epoch: { epoch: whole, stage: whole, loss: number, seconds: number, steps: whole },
  test: {
    epoch: count,
    stage: whole,
    microAuc: maybeNumber,
    macroAuc: maybeNumber,
    best: (v) => typeof v === "boolean",
    seconds: number,
  },
  validation: {
    epoch: count,
    stage: whole,
    figure: share,
    auc: share,
    found: share,
    worst: text,
    way,
    kinds: (v) => Array.isArray(v) && v.length > 0 && v.every(kind),
    disturbances: (v) => Array.isArray(v) && v.every(disturbance),
    best: (v) => typeof v === "boolean",
    seconds: number,
  },
  note: { text },
};

/**
 * The log of a training run: `log.jsonl` in its folder, one JSON object per line. Once {@link
 * append} has returned, the line stays, even if the process is killed.
 */
export class TrainingLog {
  private constructor(
    readonly path: string,
    private list: LogEntry[],
    private file: number,
  ) {}

  /**
   * Reads the log of a run's folder, or begins one. An incomplete last line, as a kill leaves it,
   * is cut off.
   * @throws InputError if a line is damaged (with its number), or the file cannot be read or
   * written
   */
  static async open(folder: string): Promise<TrainingLog> {
    const path = join(folder, "log.jsonl");
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return Buffer.alloc(0);
      throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
    });
    const end = bytes.lastIndexOf("\n") + 1;
    const list: LogEntry[] = [];
    const lines = bytes.toString("utf8", 0, Math.max(0, end - 1));
    if (end > 0) {
      for (const [i, line] of lines.split("\n").entries()) {
        const entry = parse(line, `${path}:${i + 1}`);
        const { at, replaces } = placeOf(list, entry);
        list.splice(at, replaces ? 1 : 0, entry);
      }
    }
    if (end < bytes.length) {
      await truncate(path, end).catch((error) => {
        throw cannotWrite(path, error);
      });
    }
    return new TrainingLog(path, list, openToAppend(path));
  }

  /**
   * What happened, in order; of a step or epoch that was done again, the last entry. New entries
   * are added to the same array; if older ones are replaced or dropped, it is another array.
   */
  entries(): readonly LogEntry[] {
    return this.list;
  }

  /**
   * Adds a line. Its entry replaces an earlier one of the same step or epoch.
   * @throws InputError if it cannot be written
   */
  append(entry: LogEntry): void {
    const line = Buffer.from(`${JSON.stringify(entry)}\n`);
    try {
      // One write, so that lines stay whole for others that read or write the file.
      const { size } = fstatSync(this.file);
      if (writeSync(this.file, line) < line.length) {
        // There may be room for the next line: it must not follow a part of this one.
        ftruncateSync(this.file, size);
        throw new Error("the disk is full");
      }
    } catch (error) {
      throw cannotWrite(this.path, error);
    }
    const { at, replaces } = placeOf(this.list, entry);
    if (at < this.list.length) this.list = [...this.list];
    this.list.splice(at, replaces ? 1 : 0, entry);
  }

  /**
   * Drops what came after a step (counted over epochs), in the file too: for a resume from a
   * checkpoint of that step. The epoch of the first dropped step is incomplete, so its end and its
   * test are dropped too. Runs and notes stay: they did happen.
   * @throws InputError if the file cannot be written
   */
  async rewindTo(step: number): Promise<void> {
    let epoch = Infinity;
    for (const entry of this.list) if (entry.type === "step" && entry.step > step) epoch = Math.min(epoch, entry.epoch);
    if (epoch === Infinity) return;
    const kept = this.list.filter((entry) => {
      if (entry.type === "step") return entry.step <= step;
      return entry.type === "run" || entry.type === "note" || entry.epoch < epoch;
    });
    await this.replaceBy(kept);
  }

  /**
   * Drops everything, in the file too: for a new run.
   * @throws InputError if the file cannot be written
   */
  async clear(): Promise<void> {
    if (this.list.length > 0) await this.replaceBy([]);
  }

  private async replaceBy(entries: LogEntry[]): Promise<void> {
    await writeFileAtomic(this.path, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
    this.list = entries;
    // The open file is the old one.
    closeSync(this.file);
    this.file = openToAppend(this.path);
  }

  close(): void {
    closeSync(this.file);
  }
}

/**
 * The step or epoch that identifies an entry among those of its type; NaN for runs and notes, which
 * all differ.
 */
function numberOf(entry: LogEntry): number {
  if (entry.type === "step") return entry.step;
  return entry.type === "run" || entry.type === "note" ? Number.NaN : entry.epoch;
}

/** The place of an entry: among those of its type by number, else at the end. */
function placeOf(list: readonly LogEntry[], entry: LogEntry): { at: number; replaces: boolean } {
  const own = numberOf(entry);
  let at = list.length;
  if (Number.isNaN(own)) return { at, replaces: false };
  // Its place is near the end.
  for (let i = list.length - 1; i >= 0; i--) {
    const other = list[i];
    if (other.type !== entry.type) continue;
    const its = numberOf(other);
    if (its === own) return { at: i, replaces: true };
    if (its < own) break;
    at = i;
  }
  return { at, replaces: false };
}

function parse(line: string, where: string): LogEntry {
  const damaged = (what: string) =>
    new InputError(
      `${where}: ${what}, so it is not a line of a training log; correct or remove it: ${oneLine(line.slice(0, 80))}`,
    );
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line) as Record<string, unknown>;
  } catch {
    throw damaged("not JSON");
  }
  const type = record(entry) ? entry.type : undefined;
  if (typeof type !== "string" || !Object.hasOwn(fields, type)) {
    throw damaged(`"type" is not one of ${Object.keys(fields).join(", ")}`);
  }
  for (const [name, check] of Object.entries<Check>(fields[type as LogEntry["type"]])) {
    if (!check(entry[name])) throw damaged(`"${name}" is ${oneLine(JSON.stringify(entry[name]) ?? "missing")}`);
    if (entry[name] === null) entry[name] = Number.NaN;
  }
  return entry as unknown as LogEntry;
}

function openToAppend(path: string): number {
  try {
    return openSync(path, "a");
  } catch (error) {
    throw cannotWrite(path, error);
  }
}
