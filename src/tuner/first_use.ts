// Before a model runs on a real GPU for the first time: checks float16, then a few kernel variants
// of each call, and takes the fastest right one. This takes a few seconds; `tune` (tuner.ts)
// measures everything.
import type { Gpu } from "../gpu/gpu.js";
import type { ActivationType, Node } from "../graph/graph.js";
import { CallBench, type TunableCall, tunableCalls } from "./call_bench.js";
import { checkHalf, halfKey, halfVerdict, isHalfSuspect } from "./half_check.js";
import { fastest, type Measured, type Timing, timeVariants } from "./tuner.js";

/** Options of {@link FirstUse}. */
export interface FirstUseOptions {
  /** Receives one line when checking begins, and one for each fault. */
  onNotice?: (line: string) => void;
  /** Milliseconds for all checks and measurements together; default 5000. */
  budgetMs?: number;
  /** A clock in milliseconds; default performance.now. */
  now?: () => number;
}

const quick: Timing = { rounds: 2, msPerMeasurement: 5 };
/** How many variants besides the plainest are measured, of an op's first call and of later ones. */
const mostVariants = { first: 4, later: 2 };
/** Bytes of GPU memory that the variants of a call may take together. */
const mostBytes = 2 ** 30;
/** After this share of the budget, variants are checked but not timed. */
const timedShare = 0.7;

/**
 * The first use of a device. Does nothing if everything is known, or if the adapter is not a real
 * GPU.
 */
export class FirstUse {
  private readonly notice: (line: string) => void;
  private readonly budgetMs: number;
  private readonly now: () => number;
  private spentMs = 0;
  /** The longest time that a call took so far: timed, and only checked. */
  private readonly longestMs = { timed: 0, checked: 0 };
  private readonly chooser: Chooser;
  private isAnnounced = false;
  /** The adapter computes nothing, or every variant of a call is wrong: nothing can be chosen. */
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
   * (detector/settings.ts) uses the answer.
   * @param wanted if it is f16 and wrong, no line is sent: the caller throws an error instead
   * @throws GpuError if the device fails
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
      // Not a real GPU, or a fault that may pass: the answer is not kept.
      this.isUnsound = true;
      gpu.tuning = new Map([...gpu.tuning, ...found]);
      if (wanted === "auto") {
        this.notice(`${description} does not compute: float32 is used, and kernels are neither checked nor tuned`);
      }
      return;
    }
    await this.keep(found);
    if (fault !== undefined && wanted === "auto")
      this.notice(`float16 is wrong on ${description} (${fault}): float32 is used`);
  }

  /**
   * Checks and measures the unknown calls of a graph, the most expensive first, until time is up.
   * The result goes into the device's tuning table, and to `Gpu.keepTuning`.
   * @param signal ends it early; results so far are kept
   * @returns whether the table has changed, so that the graph must be built again
   * @throws GpuError if the device fails, the signal's reason
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

  /** What there is time for after `elapsed` ms: timing variants, only checking them, or neither. */
  private wayAt(elapsed: number): "timed" | "checked" | undefined {
    const { timed, checked } = this.longestMs;
    if (elapsed + timed <= timedShare * this.budgetMs) return "timed";
    return elapsed + (checked || timed) <= this.budgetMs ? "checked" : undefined;
  }

  private announce(): void {
    if (this.isAnnounced) return;
    this.isAnnounced = true;
    const seconds = (this.budgetMs / 1000).toFixed(0);
    this.notice(`checking kernels on ${this.gpu.adapter.description}: at most ${seconds} s, once per model and size`);
  }

  private async keep(found: ReadonlyMap<string, string>): Promise<void> {
    if (found.size === 0) return;
    const { gpu } = this;
    gpu.tuning = new Map([...gpu.tuning, ...found]);
    try {
      await gpu.keepTuning?.(found);
    } catch (error) {
      this.notice(`the choice of kernels could not be saved: ${(error as Error).message}`);
    }
  }
}

/** Floating-point operations of a call, over all its occurrences. */
function workOf({ node, count }: TunableCall): number {
  return count * node.op.cost(node).flops;
}

/** Chooses variants call by call. What it learns from one call helps with the next. */
class Chooser {
  /** The variant that won last, by family: op and type. */
  private readonly winners = new Map<string, string>();
  /** Wrong variants, as "family name". */
  private readonly wrong = new Set<string>();

  constructor(
    private readonly gpu: Gpu,
    private readonly notice: (line: string) => void,
  ) {}

  /** The choice if there is no time: the default, unless it was wrong in another call. */
  unchecked(call: TunableCall): string {
    return call.names.find((name) => !this.wrong.has(`${familyOf(call)} ${name}`)) ?? call.names[0];
  }

  /** @returns a variant's name; undefined if the adapter computes all of them wrongly */
  async choose(call: TunableCall, timed: boolean, signal: AbortSignal | undefined): Promise<string | undefined> {
    const bench = new CallBench(this.gpu, call);
    try {
      // 1. Compile the plainest variant and the best guesses, all at once.
      const names = [bench.plainest, ...this.guesses(call, bench.plainest, timed)];
      for (const name of names) bench.prepare(name);
      // 2. Check them, the plainest first: the others are compared with it.
      const measured: Measured[] = [];
      for (const name of names) {
        signal?.throwIfAborted();
        const fault = await bench.check(name);
        measured.push({ name, ms: Number.POSITIVE_INFINITY, ...(fault !== undefined && { fault }) });
      }
      const right = this.withoutFaults(call, measured);
      if (right.length === 0) return undefined;
      if (!timed) return right.find(({ name }) => name !== bench.plainest)?.name ?? this.unchecked(call);
      // 3. Time the right ones. The default comes first: another one has to be clearly faster.
      const [usual] = call.names;
      measured.sort((a, b) => Number(b.name === usual) - Number(a.name === usual));
      await timeVariants(bench, measured, quick);
      const best = fastest(measured);
      this.winners.set(familyOf(call), best);
      return best;
    } finally {
      await bench.close();
    }
  }

  /** The right variants. Reports and remembers the wrong ones. */
  private withoutFaults(call: TunableCall, measured: readonly Measured[]): Measured[] {
    const right = measured.filter(({ fault }) => fault === undefined);
    if (right.length === 0) {
      const [{ name, fault }] = measured;
      this.notice(
        `${this.gpu.adapter.description} computes wrongly (${call.key}, "${name}": ${fault}): kernels are neither checked nor tuned`,
      );
      return [];
    }
    for (const { name, fault } of measured) {
      if (fault === undefined) continue;
      this.wrong.add(`${familyOf(call)} ${name}`);
      this.notice(`kernel variant "${name}" of ${call.key} is not used: ${fault}`);
    }
    return right;
  }

  /** What to try besides the plainest variant, the best guess first. */
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
