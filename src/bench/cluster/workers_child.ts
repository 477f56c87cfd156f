// A process of workers, as the benchmark sees it.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { InputError } from "../../errors.js";
import { packageFile } from "../../node/files/package_files.js";
import type { FromWorkers, ToWorkers, WorkersJob } from "./messages.js";

/** Takes in what a worker watches. */
export type OnWatches = (worker: string, at: number, cameras: readonly string[]) => void;

/** A process with many workers. */
export class WorkersChild {
  private readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;
  private readonly answers = new Map<FromWorkers["type"], (message: FromWorkers) => void>();

  /** @param names of its workers */
  constructor(
    readonly names: readonly string[],
    onWatches: OnWatches,
  ) {
    const execArgv = ["--expose-gc", "--max-old-space-size=16384"];
    this.child = fork(packageFile("bench", "cluster_process.js"), { execArgv });
    this.ended = once(this.child, "exit");
    void this.ended.then(() => this.fail("a process of workers has ended"));
    this.child.on("message", (message: FromWorkers) => {
      if (message.type === "watches") onWatches(message.worker, message.at, message.cameras);
      else if (message.type === "failed") this.fail(message.message);
      else this.answers.get(message.type)?.(message);
    });
  }

  /** Connects its workers. @throws InputError if it fails, as all of these do */
  async start(job: Omit<WorkersJob, "names">): Promise<void> {
    await this.ask({ type: "start", names: [...this.names], ...job }, "started");
  }

  /** Lets them take cameras. */
  begin(): void {
    this.child.send({ type: "begin" } satisfies ToWorkers);
  }

  /** Crashes a worker. @returns when that was */
  async crash(worker: string): Promise<number> {
    return (await this.ask({ type: "crash", worker }, "crashed")).at;
  }

  /** The worker that says who watches what, if it is one of these. */
  async leader(): Promise<string | undefined> {
    return (await this.ask({ type: "lead" }, "leads")).worker;
  }

  /** Lets events begin and end, and waits until all are sent. */
  events(rate: { perSecond?: number; seconds?: number } = {}) {
    return this.ask({ type: "events", ...rate }, "sent");
  }

  hold() {
    return this.ask({ type: "hold" }, "held");
  }

  /** Ends the process in the middle of what it does. @returns when that was */
  async kill(): Promise<number> {
    const at = Date.now();
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    await this.ended;
    return at;
  }

  private fail(message: string): void {
    for (const answer of this.answers.values()) answer({ type: "failed", message });
  }

  private async ask<T extends FromWorkers["type"]>(question: ToWorkers, type: T) {
    const answer = await new Promise<FromWorkers>((resolve) => {
      this.answers.set(type, resolve);
      this.child.send(question, (error) => error && resolve({ type: "failed", message: error.message }));
    });
    this.answers.delete(type);
    if (answer.type === "failed") throw new InputError(answer.message);
    return answer as Extract<FromWorkers, { type: T }>;
  }
}
