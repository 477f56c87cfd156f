// The supervisor's side of the engine: starts its process, feeds it, starts it again if it fails.
import { type ChildProcess, fork } from "node:child_process";
import { reasonOf } from "../../node/files/messages.js";
import { packageFile } from "../../node/files/package_files.js";
import { Backoff } from "../backoff.js";
import type { EngineFacts, EngineFrame, EngineScore, EngineSetup, FromEngine, ToEngine } from "./messages.js";

/** What an engine reports. */
export interface EngineListener {
  onReady(facts: EngineFacts): void;
  onScore(score: EngineScore): void;
  onNotice(line: string): void;
  /**
   * The process has ended, and starts again unless `final`: then the setup is wrong, or it has
   * failed too often.
   * @param why in a few words
   */
  onLost(why: string, final: boolean): void;
}

/** How an engine is run. */
export interface EngineOptions {
  /** The program of its process; default: the package's. */
  program?: string;
  /** Seconds without a score, while frames wait, after which the process is ended. */
  silence?: number;
  /** Seconds until the first score, which waits for kernels to be compiled. */
  firstScore?: number;
  /** It gives up when so many processes in a row have ended without a score; default: never. */
  attempts?: number;
}

/** Frames of a camera that may be on their way, and of a file whose sender waits for scores. */
const MOST_WAITING = 8;
export const MOST_UNSCORED = 32;
/** Seconds that a process gets to end by itself. */
const PATIENCE = 10;

/** An engine, as long as the supervisor wants it. */
export class Engine {
  private child: ChildProcess | undefined;
  private readonly waiting: number[];
  private readonly backoff = new Backoff({ first: 1, most: 60 });
  private failure: string | undefined;
  private isWrong = false;
  private isClosed = false;
  private hasScored = false;
  /** Processes in a row that have ended without a score. */
  private fruitless = 0;
  private watchdog: NodeJS.Timeout | undefined;
  private restart: NodeJS.Timeout | undefined;

  constructor(
    private readonly setup: EngineSetup,
    private readonly listener: EngineListener,
    private readonly options: EngineOptions = {},
  ) {
    this.waiting = Array.from({ length: setup.places }, () => 0);
    this.start();
  }

  /** Its process, while there is one. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  /**
   * Sends a frame to be scored.
   * @returns false if the engine is not there, or has not taken the frames before: it is dropped
   */
  send(frame: EngineFrame): boolean {
    const { child, waiting, setup } = this;
    const most = setup.everyFrame ? MOST_UNSCORED : MOST_WAITING;
    if (!child?.connected || this.isClosed || waiting[frame.camera] >= most) return false;
    waiting[frame.camera]++;
    this.tell({ type: "frame", ...frame });
    this.watch();
    return true;
  }

  /** Ends the process, after the frames that it has. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.watchdog);
    clearTimeout(this.restart);
    const { child } = this;
    // One that could not be started does not exit.
    if (child?.pid === undefined) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    this.tell({ type: "stop" });
    const timer = setTimeout(() => child.kill("SIGKILL"), 1000 * PATIENCE);
    await ended;
    clearTimeout(timer);
  }

  private start(): void {
    const program = this.options.program ?? packageFile("dist", "engine.js");
    let child: ChildProcess;
    try {
      child = fork(program, { serialization: "advanced", stdio: ["ignore", "ignore", "pipe", "ipc"] });
    } catch (error) {
      // Not at once: whoever makes an engine does not have it yet.
      setImmediate(() => this.notStarted(error));
      return;
    }
    this.child = child;
    this.waiting.fill(0);
    this.failure = undefined;
    this.hasScored = false;
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-2000);
    });
    child.on("message", (message: FromEngine) => this.take(message));
    child.on("error", (error) => {
      if (child.pid === undefined) this.notStarted(error);
      else this.failure ??= error.message;
    });
    child.once("exit", (code, signal) => {
      const how = signal ? `it was ended by ${signal}` : `it ended with code ${code}`;
      const lastLine = said.trim().split("\n").at(-1) ?? "";
      this.ended(this.failure ?? (lastLine ? `${how}: ${lastLine}` : how));
    });
    this.tell({ type: "setup", ...this.setup });
  }

  private tell(message: ToEngine): void {
    // A process that is ending is noticed by its exit. One that was never there may have no `send`.
    if (this.child?.connected) this.child.send(message, () => {});
  }

  private take(message: FromEngine): void {
    const { listener } = this;
    if (message.type === "ready") listener.onReady(message);
    else if (message.type === "notice") listener.onNotice(message.line);
    else if (message.type === "taken") this.waiting[message.camera]--;
    else if (message.type === "failed") {
      this.failure = message.message;
      this.isWrong = message.wrong;
    } else {
      this.hasScored = true;
      this.backoff.reset();
      clearTimeout(this.watchdog);
      this.watchdog = undefined;
      listener.onScore(message);
    }
  }

  /** Ends a process that has frames and gives no score. */
  private watch(): void {
    const { silence = 60, firstScore = 900 } = this.options;
    const seconds = this.hasScored ? silence : firstScore;
    this.watchdog ??= setTimeout(() => {
      this.failure ??= `it gave no score for ${seconds} s`;
      this.child?.kill("SIGKILL");
    }, 1000 * seconds);
  }

  private notStarted(error: unknown): void {
    this.ended(`its process cannot be started: ${reasonOf(error)}`);
  }

  /** There is no process now. */
  private ended(why: string): void {
    this.child = undefined;
    clearTimeout(this.watchdog);
    this.watchdog = undefined;
    if (this.isClosed) return;
    this.fruitless = this.hasScored ? 0 : this.fruitless + 1;
    this.hasScored = false;
    const isFinal = this.isWrong || this.fruitless >= (this.options.attempts ?? Number.POSITIVE_INFINITY);
    this.listener.onLost(why, isFinal);
    if (isFinal) return;
    this.restart = setTimeout(() => this.start(), 1000 * this.backoff.next());
  }
}
