// The curves of a training log, reduced to few points.
import type {
  EpochEntry,
  LogEntry,
  RunEntry,
  StepEntry,
  TestEntry,
  ValidationEntry,
} from "../../node/files/training_log.js";
import { bestOf, chosenTests } from "./best.js";
import type { ChosenValidation, StepPoint, TrainingData, TrainingState, ValidationPoint } from "./data.js";
import { settingsOf, valuesOf } from "./settings.js";

/** The most points of a curve. */
const MOST = 2000;

/** Steps that share a point. */
interface Bucket {
  first: number;
  last: number;
  stage: number;
  epoch: number;
  losses: Moments;
  learningRates: Moments;
  speeds: Moments;
  seconds: number;
  /** Its JSON, once it is made. */
  json?: string;
}

/** Of some values, only the finite ones. */
interface Moments {
  count: number;
  sum: number;
  low: number;
  high: number;
}

/** Follows a growing log: an entry that was read is not read again. */
export class TrainingCurves {
  private log: readonly LogEntry[] = [];
  private read = 0;
  private buckets: Bucket[] = [];
  /** The number of steps that share a point: a power of two. */
  private width = 1;
  private epochs: EpochEntry[] = [];
  private validations: ValidationEntry[] = [];
  private tests: TestEntry[] = [];
  private notes: string[] = [];
  private runs: RunEntry[] = [];

  /** Reads the log's new entries, or all of them if it is another array than the last time. */
  follow(log: readonly LogEntry[]): void {
    if (log !== this.log || log.length < this.read) {
      this.log = log;
      this.read = 0;
      this.width = 1;
      const { buckets, epochs, validations, tests, notes, runs } = this;
      for (const list of [buckets, epochs, validations, tests, notes, runs]) list.length = 0;
    }
    for (; this.read < log.length; this.read++) this.take(log[this.read]);
  }

  /** The data ({@link TrainingData}) as JSON, with six significant digits. */
  json(state: TrainingState, updated: Date): string {
    const select = selectOf(this.runs);
    const { validations, tests } = this;
    const best = bestOf(validations);
    const chosen = chosenOf(best);
    const rest: Omit<TrainingData, "steps"> = {
      updated: updated.toISOString(),
      state,
      epochs: thinned(this.epochs),
      select,
      validations: thinned(validations, best).map(pointOfValidation),
      ...(chosen && { chosen }),
      tests: thinned(tests, chosenTests(select, tests, validations)),
      // Each test may add the same note.
      notes: [...new Set(this.notes)].slice(-100),
      facts: factsOf(this.runs),
    };
    // The JSON of a point is made once, since full points do not change.
    const steps = this.buckets.map((bucket) => {
      bucket.json ??= toJson(pointOf(bucket));
      return bucket.json;
    });
    return `${toJson(rest).slice(0, -1)},"steps":[${steps.join(",\n")}]}`;
  }

  private take(entry: LogEntry): void {
    switch (entry.type) {
      case "step":
        this.takeStep(entry);
        break;
      case "epoch":
        this.epochs.push(entry);
        break;
      case "validation":
        this.validations.push(entry);
        break;
      case "test":
        this.tests.push(entry);
        break;
      case "note":
        this.notes.push(entry.text);
        break;
      case "run":
        this.runs.push(entry);
    }
  }

  private takeStep({ step, stage, epoch, loss, learningRate, samplesPerSecond, seconds }: StepEntry): void {
    const bucket: Bucket = {
      first: step,
      last: step,
      stage,
      epoch,
      losses: momentsOf(loss),
      learningRates: momentsOf(learningRate),
      speeds: momentsOf(samplesPerSecond),
      seconds,
    };
    const open = this.buckets.at(-1);
    if (open && this.together(open, bucket)) join(open, bucket);
    else this.buckets.push(bucket);
    while (this.buckets.length > MOST) {
      this.width *= 2;
      const halved: Bucket[] = [];
      for (const each of this.buckets) {
        const before = halved.at(-1);
        if (before && this.together(before, each)) join(before, each);
        else halved.push(each);
      }
      this.buckets = halved;
    }
  }

  /**
   * Whether two buckets share a point. Losses of the two stages are different quantities, so never
   * across stages.
   */
  private together(a: Bucket, b: Bucket): boolean {
    const place = ({ first }: Bucket) => Math.floor((first - 1) / this.width);
    return a.stage === b.stage && place(a) === place(b);
  }
}

function momentsOf(value: number): Moments {
  return Number.isFinite(value)
    ? { count: 1, sum: value, low: value, high: value }
    : { count: 0, sum: 0, low: Infinity, high: -Infinity };
}

/** Adds the next bucket to a bucket. */
function join(bucket: Bucket, next: Bucket): void {
  for (const name of ["losses", "learningRates", "speeds"] as const) {
    const [a, b] = [bucket[name], next[name]];
    a.count += b.count;
    a.sum += b.sum;
    a.low = Math.min(a.low, b.low);
    a.high = Math.max(a.high, b.high);
  }
  bucket.last = next.last;
  bucket.epoch = next.epoch;
  bucket.seconds = next.seconds;
  bucket.json = undefined;
}

function pointOf({ first, last, stage, epoch, losses, learningRates, speeds, seconds }: Bucket): StepPoint {
  const mean = ({ sum, count }: Moments) => sum / count;
  const { low, high } = losses;
  return [first, last, stage, epoch, mean(losses), low, high, mean(learningRates), mean(speeds), seconds];
}

function pointOfValidation({
  epoch,
  stage,
  figure,
  auc,
  found,
  worst,
  best,
  seconds,
}: ValidationEntry): ValidationPoint {
  return { epoch, stage, figure, auc, found, worst, best, seconds };
}

/** Of the best ones of the stages that with the highest figure; of equal ones the first. */
function chosenOf(best: readonly ValidationEntry[]): ChosenValidation | undefined {
  const chosen = best.toSorted((a, b) => b.figure - a.figure || a.stage - b.stage).at(0);
  if (!chosen) return undefined;
  const { epoch, stage, way, kinds, disturbances } = chosen;
  const { scoring, tokens, topK, rule, smoothing, maskings } = way;
  return {
    epoch,
    stage,
    way: { scoring, tokens, topK, rule, smoothing, maskings },
    kinds: kinds.map(({ kind, auc, events, found }) => ({ kind, auc, events, found })),
    disturbances: disturbances.map(({ disturbance, falseAlarms }) => ({ disturbance, falseAlarms })),
  };
}

/** Runs of versions that could not validate chose by labels. */
function selectOf(runs: readonly RunEntry[]): TrainingData["select"] {
  const validation = runs.at(-1)?.settings.validation as { select?: unknown } | null | undefined;
  return validation?.select === "validation" ? "validation" : "labels";
}

/** A number that is not finite becomes null. */
function toJson(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === "number" && !Number.isInteger(item) ? Number(item.toPrecision(6)) : item,
  );
}

/** At most about {@link MOST} items, with the last one and those to keep. */
function thinned<T>(list: readonly T[], keep: readonly T[] = []): readonly T[] {
  if (list.length <= MOST) return list;
  const every = Math.ceil(list.length / MOST);
  return list.filter((item, i) => (list.length - 1 - i) % every === 0 || keep.includes(item));
}

/** When the run was started and resumed, and the settings and versions of the last start. */
function factsOf(runs: readonly RunEntry[]): TrainingData["facts"] {
  const run = runs.at(-1);
  if (!run) return [];
  return [
    ...runs.map(({ time }, i): [string, string] => [i === 0 ? "started" : "resumed", date(time)]),
    ["adapter", run.adapter],
    ...settingsOf(run.settings),
    ...valuesOf(run.versions),
  ];
}

function date(time: string): string {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? time : `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
