// A watch process of its own, and somebody who looks at its page.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { InputError } from "../../errors.js";
import { packageFile } from "../../node/files/package_files.js";
import type { FromWatch, Held, ToWatch, WatchJob } from "./messages.js";

/** What a watch process tells by itself. */
export interface WatchListener {
  onEvent?(event: Extract<FromWatch, { type: "event" }>): void;
  onNotice?(line: string): void;
}

/** A watch process that is measured. */
export class WatchChild {
  private failure: string | undefined;
  private readonly ended: Promise<unknown>;
  private readonly answers = new Map<FromWatch["type"], (message: FromWatch) => void>();

  private constructor(
    private readonly child: ChildProcess,
    private readonly listener: WatchListener,
  ) {
    child.on("message", (message: FromWatch) => this.take(message));
    this.ended = once(child, "exit");
    void this.ended.then(() => {
      this.failure ??= "the watch process has ended";
      for (const answer of this.answers.values()) answer({ type: "failed", message: this.failure });
    });
  }

  /**
   * Starts a process, and waits until its page is there.
   * @param program of the process; default: the package's
   * @throws InputError if it cannot watch
   */
  static async start(
    job: WatchJob,
    listener: WatchListener = {},
    program = packageFile("bench", "watch_process.js"),
  ): Promise<{ child: WatchChild; url: string }> {
    const process = fork(program, { serialization: "advanced", execArgv: ["--expose-gc"] });
    const child = new WatchChild(process, listener);
    const { url } = await child.ask<"page">({ type: "start", ...job }, "page");
    return { child, url };
  }

  /** The process. */
  get pid(): number {
    return this.child.pid!;
  }

  /**
   * What it holds now.
   * @param collect whether garbage is collected before, which takes time
   * @throws InputError if it has ended
   */
  hold(collect: boolean): Promise<Held> {
    return this.ask<"held">({ type: "hold", collect }, "held");
  }

  /** Latencies since the last call, in seconds. @throws InputError if it has ended */
  async latencies(): Promise<{ id: string; latencies: number[] }[]> {
    return (await this.ask<"latencies">({ type: "latencies" }, "latencies")).cameras;
  }

  /** Ends it: events end, and their clips are made. */
  async stop(): Promise<void> {
    if (this.child.connected) this.child.send({ type: "stop" } satisfies ToWatch);
    await this.ended;
  }

  private take(message: FromWatch): void {
    if (message.type === "event") this.listener.onEvent?.(message);
    else if (message.type === "notice") this.listener.onNotice?.(message.line);
    else if (message.type === "failed") this.failure = message.message;
    else this.answers.get(message.type)?.(message);
  }

  private async ask<T extends FromWatch["type"]>(question: ToWatch, type: T) {
    const answer = await new Promise<FromWatch>((resolve) => {
      this.answers.set(type, resolve);
      if (this.failure !== undefined) resolve({ type: "failed", message: this.failure });
      else this.child.send(question);
    });
    this.answers.delete(type);
    if (answer.type === "failed") throw new InputError(answer.message);
    return answer as Extract<FromWatch, { type: T }>;
  }
}
