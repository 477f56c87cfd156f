/**
 * Before a model runs on a real GPU for the first time: checks float16, and a few kernel variants
 * of each call, and takes the fastest right one. This is quick, within a budget of seconds; `tune`
 * (tuner.ts) measures everything.
 */
import type { Gpu } from "../gpu/gpu.js";
import type { ActivationType, Node } from "../graph/graph.js";
import { CallBench, type TunableCall, tunableCalls } from "./call_bench.js";
import { checkHalf, halfKey, halfVerdict, isHalfSuspect } from "./half_check.js";
import { fastest, type Measured, type Timing, timeVariants } from "./tuner.js";

/** Options of {@link FirstUse}. */
export interface FirstUseOptions {
  /** Receives one line that says what is going on, and one for each fault. */
  onNotice?: (line: string) => void;
  /** Milliseconds for all of it together; default 5000. */
  budgetMs?: number;
  /** A clock in milliseconds; default the system's. */
  now?: () => number;
}

const quick: Timing = { rounds: 2, msPerMeasurement: 5 };
/**
 * The most variants beside the plainest that are measured: of an op's first call, and of later
 * ones.
 */
const mostVariants = { first: 4, later: 2 };
/** Bytes of GPU memory that a call's variants may take together. */
const mostBytes = 2 ** 30;
/** After this share of the budget variants are only checked, not timed. */
const timedShare = 0.7;

/** The first use of a device. If all is known, or the adapter is no real GPU, it does nothing. */
export class FirstUse {
  private readonly notice: (line: string) => void;
  private readonly budgetMs: number;
  private readonly now: () => number;
  private spentMs = 0;
  /** The longest that a call took so far, in either way. */
  private readonly longestMs = { timed: 0, checked: 0 };
  private readonly chooser: Chooser;
  private isAnnounced = false;
  /** The adapter computes nothing, or no variant of a call rightly: then nothing can be chosen. */
  private isUnsound = false;

  constructor(
    private readonly gpu: Gpu,
    { onNotice = () => {}, budgetMs = 5000, now = () => performance.now() }: FirstUseOptions = {},
  ) {
    this.notice = onNotice;
    this.budgetMs = budgetMs;
    this.now = now;
    this.chooser = new Chooser(gpu, onNotice);
  }

  /**
   * Checks float16 on devices where it may be wrong, unless the answer is known. `activationType`
   * uses it.
   * @param wanted for f16 there is no line if it is wrong: the caller's error says so
   */
  async checkHalf(wanted: ActivationType | "auto" = "auto"): Promise<void> {
    const { gpu } = this;
    if (wanted === "f32" || !isHalfSuspect(gpu) || halfVerdict(gpu)) return;
    this.announce();
    const start = this.now();
    const { fault, computes } = await checkHalf(gpu);
    this.spentMs += this.now() - start;
    const found = new Map([[halfKey, computes && fault === undefined ? "right" : "wrong"]]);
    const { description } = gpu.adapter;
    if (!computes) {
      // A pretended GPU, or trouble that passes: not worth remembering.
      this.isUnsound = true;
      gpu.tuning = new Map([...gpu.tuning, ...found]);
      if (wanted === "auto") {
        this.notice(`${description} computes nothing: float32 is used, and kernels are neither checked nor tuned`);
      }
      return;
    }
    await this.keep(found);
    if (fault !== undefined && wanted === "auto")
      this.notice(`float16 is wrong on ${description} (${fault}): float32 is used`);
  }

  /**
   * Checks and measures the calls of a graph of which nothing is known, the most expensive first,
   * until time is up. The result goes into the device's tuning table, and to `Gpu.keepTuning`.
   * @param signal ends it; what was found until then is kept
   * @returns whether the table has changed, so that the graph has to be built again
   */
  async tune(nodes: readonly Node[], signal?: AbortSignal): Promise<boolean> {
    const { gpu } = this;
    if (gpu.adapter.kind !== "gpu" || gpu.forcedKind || this.isUnsound) return false;
    const calls = tunableCalls(gpu, nodes, gpu.tuning).sort((a, b) => workOf(b) - workOf(a));
    if (calls.length === 0) return false;
    this.announce();
    const start = this.now();
    const elapsed = () => this.spentMs + this.now() - start;
    const found = new Map<string, string>();
    try {
      for (const call of calls) {
        signal?.throwIfAborted();
        const began = elapsed();
        const how = this.wayAt(began);
        if (!how) {
          found.set(call.key, this.chooser.unchecked(call));
          continue;
        }
        const choice = await this.chooser.choose(call, how === "timed", signal);
        if (choice === undefined) {
          this.isUnsound = true;
          return false;
        }
        found.set(call.key, choice);
        this.longestMs[how] = Math.max(this.longestMs[how], elapsed() - began);
      }
    } finally {
      this.spentMs = elapsed();
      if (!this.isUnsound) await this.keep(found);
    }
    return true;
  }

  /** What there is time for after `elapsed` milliseconds: everything, only a check, or nothing. */
  private wayAt(elapsed: number): "timed" | "checked" | undefined {
    const { timed, checked } = this.longestMs;
    if (elapsed + timed <= timedShare * this.budgetMs) return "timed";
    return elapsed + (checked || timed) <= this.budgetMs ? "checked" : undefined;
  }

  private announce(): void {
    if (this.isAnnounced) return;
    this.isAnnounced = true;
    const seconds = (this.budgetMs / 1000).toFixed(0);
    this.notice(
      `checking kernels on ${this.gpu.adapter.description}: at most ${seconds} s, once for this model and size`,
    );
  }

  private async keep(found: ReadonlyMap<string, string>): Promise<void> {
    if (found.size === 0) return;
    const { gpu } = this;
    gpu.tuning = new Map([...gpu.tuning, ...found]);
    try {
      await gpu.keepTuning?.(found);
    } catch (error) {
      this.notice(`what was found of the kernels is not kept: ${(error as Error).message}`);
    }
  }
}

/** The arithmetic of a call, all its repetitions together. */
function workOf({ node, count }: TunableCall): number {
  return count * node.op.cost(node).flops;
}

/** Chooses variants call by call, and learns from one call for the next. */
class Chooser {
  /** By op and type: the variant that won last. */
  private readonly winners = new Map<string, string>();
  /** Variants that were wrong, by op, type and name. */
  private readonly wrong = new Set<string>();

  constructor(
    private readonly gpu: Gpu,
    private readonly notice: (line: string) => void,
  ) {}

  /** For a call that there is no time for: the default, unless it was wrong elsewhere. */
  unchecked(call: TunableCall): string {
    return call.names.find((name) => !this.wrong.has(`${familyOf(call)} ${name}`)) ?? call.names[0];
  }

  /** @returns a variant's name; undefined if the adapter computes none rightly */
  async choose(call: TunableCall, timed: boolean, signal: AbortSignal | undefined): Promise<string | undefined> {
    const family = familyOf(call);
    const [usual] = call.names as readonly [string];
    const bench = new CallBench(this.gpu, call);
    try {
      const tried = this.guesses(call, bench.plainest, timed);
      for (const name of [bench.plainest, ...tried]) bench.prepare(name);
      const measured: Measured[] = [];
      for (const name of [bench.plainest, ...tried]) {
        signal?.throwIfAborted();
        const fault = await bench.check(name);
        measured.push({ name, ms: Number.POSITIVE_INFINITY, ...(fault !== undefined && { fault }) });
      }
      const right = measured.filter(({ fault }) => fault === undefined);
      if (right.length === 0) {
        const [{ name, fault }] = measured as [Measured];
        this.notice(
          `${this.gpu.adapter.description} computes wrongly (${call.key}, "${name}": ${fault}): kernels are neither checked nor tuned`,
        );
        return undefined;
      }
      for (const { name, fault } of measured) {
        if (fault === undefined) continue;
        this.wrong.add(`${family} ${name}`);
        this.notice(`kernel variant "${name}" of ${call.key} is not used: ${fault}`);
      }
      if (!timed) return right.find(({ name }) => name !== bench.plainest)?.name ?? this.unchecked(call);
      // The default comes first: another one has to be clearly faster.
      measured.sort((a, b) => Number(b.name === usual) - Number(a.name === usual));
      await timeVariants(bench, measured, quick);
      const best = fastest(measured);
      this.winners.set(family, best);
      return best;
    } finally {
      await bench.close();
    }
  }

  /** What to try beside the plainest variant, the best guess first. */
  private guesses(call: TunableCall, plainest: string, timed: boolean): string[] {
    const { names, node } = call;
    const family = familyOf(call);
    const winner = this.winners.get(family);
    const kind = (name: string) => name.split(" ")[0];
    const units = names.filter((name) => kind(name) === "matrix" || kind(name) === "split").slice(0, 2);
    const others = names.filter((name) => !units.includes(name)).slice(0, 2);
    const all = [...(winner !== undefined && names.includes(winner) ? [winner] : []), ...units, ...others];
    const fitting = Math.max(1, Math.floor(mostBytes / node.op.cost(node).bytes) - 1);
    const most = timed ? (winner === undefined ? mostVariants.first : mostVariants.later) : 1;
    const guesses = [...new Set(all)].filter((name) => name !== plainest && !this.wrong.has(`${family} ${name}`));
    return guesses.slice(0, Math.min(most, fitting));
  }
}

/** Calls of one op and type learn from each other. */
function familyOf({ key }: TunableCall): string {
  return key.split(" ").slice(0, 2).join(" ");
}
