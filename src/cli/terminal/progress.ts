import { type Options, SingleBar } from "cli-progress";

/** Printed while nothing else happens yet. */
const compiling =
  "compiling kernels; on a software adapter this takes half a minute the first time, or minutes on a busy machine …";

/**
 * Shows on stderr how far a job is: a bar with rate and time left on a terminal, else a line every
 * ten seconds.
 */
export class Progress {
  private readonly bar: SingleBar | undefined;
  private readonly created = performance.now();
  /**
   * When the first unit was done. Kernels may be compiled before it, which is not part of the rate.
   */
  private started = this.created;
  private lastLine = this.created;
  /** Units that were done at {@link started}. */
  private first: number;
  private isStarted = false;
  private isStopped = false;
  private note = "";
  private readonly patience: NodeJS.Timeout | undefined;

  /**
   * @param what name of the units that are counted, in the plural
   * @param total number of units, if known; an estimate will do
   * @param compiles whether kernels are compiled before the first unit, which may take a while
   * @param done units of the total that an earlier run has done
   */
  constructor(
    private readonly what: string,
    private readonly total: number | undefined,
    quiet: boolean,
    compiles = false,
    private done = 0,
  ) {
    this.first = done;
    if (quiet) {
      this.lastLine = Number.POSITIVE_INFINITY;
      return;
    }
    if (compiles) {
      this.patience = setTimeout(() => this.print(compiling, process.stderr), 2000);
      this.patience.unref();
    }
    if (!process.stderr.isTTY) return;
    const format = total
      ? `{bar} {percentage}% | {value}/{total} ${what} | {rate}/s | {left} left{note}`
      : `{value} ${what} | {rate}/s | {elapsed}{note}`;
    const options: Options = {
      format,
      stream: process.stderr,
      barCompleteChar: "█",
      barIncompleteChar: "░",
      hideCursor: true,
      clearOnComplete: true,
      fps: 5,
    };
    this.bar = new SingleBar(options);
    this.show();
  }

  /** Draws the bar on the line that the cursor is on. */
  private show(): void {
    this.bar?.start(this.total ?? 0, this.done, this.payload);
  }

  /**
   * Removes the bar. The bar itself would go back to the line that it began on, but others may have
   * written lines since: so the current line is cleared, and the cursor's position saved.
   */
  private hide(): void {
    if (!this.bar || this.isStopped) return;
    process.stderr.write("\r\x1b[2K\x1b7");
    this.bar.stop();
  }

  /** Writes a line above the bar. */
  print(line: string, to: NodeJS.WritableStream = process.stdout): void {
    this.hide();
    to.write(`${line}\n`);
    if (!this.isStopped) this.show();
  }

  /** The values that the bar's format names. */
  private get payload(): Record<string, string> {
    const rate = this.isStarted && this.rate > 0 ? this.rate.toPrecision(3) : "-";
    return { rate, left: this.left ?? "-", elapsed: `${Math.round(this.seconds)} s`, note: this.note };
  }

  /** Units per second since the first one. */
  get rate(): number {
    const seconds = (performance.now() - this.started) / 1000;
    return seconds > 0 ? (this.done - this.first) / seconds : 0;
  }

  /** How long the rest will take at this rate; undefined if not known. */
  private get left(): string | undefined {
    const { rate, total } = this;
    if (!total || !(rate > 0) || this.done >= total) return undefined;
    const seconds = Math.ceil(Math.max(0, total - this.done) / rate);
    if (seconds < 120) return `${seconds} s`;
    return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
  }

  /** Seconds since the start. */
  get seconds(): number {
    return (performance.now() - this.created) / 1000;
  }

  /** @param note shown beside the count, such as the loss */
  advance(count = 1, note = ""): void {
    this.note = note && ` | ${note}`;
    this.done += count;
    if (!this.isStarted && count > 0) {
      clearTimeout(this.patience);
      this.isStarted = true;
      this.started = performance.now();
      this.first = this.done;
    }
    if (this.bar) {
      if (this.total && this.done > this.total) this.bar.setTotal(this.done);
      this.bar.update(this.done, this.payload);
    } else if (performance.now() - this.lastLine > 10_000) {
      this.lastLine = performance.now();
      const { rate } = this;
      const of = this.total ? ` of ${this.total}` : "";
      // After one unit no rate is known.
      const speed = rate > 0 ? `, ${rate.toPrecision(3)}/s` : "";
      const left = this.left === undefined ? "" : `, ${this.left} left`;
      process.stderr.write(`${this.done}${of} ${this.what}${speed}${left}${note && `, ${note}`}\n`);
    }
  }

  stop(): void {
    clearTimeout(this.patience);
    this.hide();
    this.isStopped = true;
  }
}
