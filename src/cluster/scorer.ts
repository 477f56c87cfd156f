// The worker's side of the process that scores videos: the GPU is used there only, so that a crash
// of a driver ends one attempt and not the worker.
import { type ChildProcess, fork } from "node:child_process";
import { InputError } from "../errors.js";
import { reasonOf } from "../node/files/messages.js";
import type { Archive, VideoJob } from "./messages.js";

/** A record of a data set's video: how it is made, and of which video. */
export type RecordJob = Omit<NonNullable<Archive["records"]>, "student"> &
  NonNullable<VideoJob["record"]> & {
    /** A path of this machine. */
    student?: string;
  };

/** A video to score, with paths of this machine. */
export interface ScoringJob {
  input: string;
  /** The record of a video of the data set `input` is written as `scores`. */
  record?: RecordJob;
  checkpoint: string;
  /** The model's name, for reports: on this machine it is called by its hash. */
  model?: string;
  how: Archive["how"];
  /** Files that are written; the report is a folder. */
  scores: string;
  events?: string;
  report?: string;
}

/** To the process. */
export type ToScorer =
  | { type: "check" }
  | ({ type: "score" } & ScoringJob)
  | { type: "pace"; duty: number }
  | { type: "stop" };

/** What a video took. */
export interface Scored {
  frames: number;
  /** Without the start of the process and the first compilation. */
  seconds: number;
}

/** From the process. */
export type FromScorer =
  | { type: "progress"; frames: number; total?: number }
  | ({ type: "done" } & Scored)
  /** `ends`: the process scores no other one. `kind`: see {@link Unfit}, {@link NoDevice}. */
  | { type: "failed"; message: string; ends?: boolean; kind?: "unfit" | "no device" };

/** This machine would come to other results than those that are wanted. */
export class Unfit extends InputError {}

/** This machine has no GPU that can be used now: that is no fault of a video. */
export class NoDevice extends InputError {}

const errors = { unfit: Unfit, "no device": NoDevice };

/** Seconds that the process gets to stop by itself. */
const PATIENCE = 5;

/** Seconds without progress after which the process is taken to hang. */
export interface Watchdog {
  /** Until the first progress: compiling and tuning may take minutes. */
  first: number;
  /** From one progress to the next, and to the end: the report is written then. */
  next: number;
}
const WATCHDOG: Watchdog = { first: 1200, next: 600 };

/** A process that scores one video after another, and keeps its model in between. */
export class Scorer {
  private child: ChildProcess | undefined;
  private duty = 1;
  /** The end of what the process has printed. */
  private said = "";

  /** @param program of the process, and its arguments */
  constructor(
    private readonly program: string,
    private readonly parameters: readonly string[] = [],
    private readonly watchdog = WATCHDOG,
  ) {}

  /** Tries the GPU. @throws NoDevice if it cannot be used; Error if the process cannot */
  async check(signal: AbortSignal): Promise<void> {
    await this.ask({ type: "check" }, signal, () => {});
  }

  /**
   * Scores a video.
   * @throws Error that says in one line why it failed; the signal's reason
   */
  score(job: ScoringJob, signal: AbortSignal, onProgress: (frames: number, total?: number) => void): Promise<Scored> {
    return this.ask({ type: "score", ...job }, signal, onProgress);
  }

  private ask(
    question: ToScorer,
    signal: AbortSignal,
    onProgress: (frames: number, total?: number) => void,
  ): Promise<Scored> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const child = this.process();
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const expect = (seconds: number) => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          this.end();
          // A process that hangs does not hear that it is to stop.
          child.kill("SIGKILL");
          finish(() => reject(new Error(`the process that scored it made no progress for ${seconds} seconds`)));
        }, 1000 * seconds);
      };
      const onAbort = () => {
        this.end();
        finish(() => reject(signal.reason));
      };
      const onMessage = (message: FromScorer) => {
        if (message.type === "progress") {
          expect(this.watchdog.next);
          onProgress(message.frames, message.total);
        } else if (message.type === "done") finish(() => resolve({ frames: message.frames, seconds: message.seconds }));
        else {
          if (message.ends) this.end();
          const Kind = message.kind === undefined ? Error : errors[message.kind];
          finish(() => reject(new Kind(message.message)));
        }
      };
      const onError = (error: Error) => {
        // It could not be started: then it does not exit either.
        if (this.child === child && child.pid === undefined) this.child = undefined;
        finish(() => reject(new Error(`the process that scores cannot be used: ${reasonOf(error)}`)));
      };
      const onExit = (code: number | null, killed: NodeJS.Signals | null) => {
        const how = killed ? `was ended by ${killed}` : `ended with code ${code}`;
        const said = this.said.trim().split("\n").at(-1) ?? "";
        finish(() => reject(new Error(`the process that scored it ${how}${said === "" ? "" : `: ${said}`}`)));
      };
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        child.off("message", onMessage).off("exit", onExit).off("error", onError);
        settle();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      child.on("message", onMessage).on("exit", onExit).on("error", onError);
      expect(this.watchdog.first);
      child.send(question, () => {});
    });
  }

  /** Which share of the time it scores: cameras of the machine come first. @param duty above 0 */
  pace(duty: number): void {
    if (duty === this.duty) return;
    this.duty = duty;
    this.tellPace();
  }

  /** Ends the process. */
  async close(): Promise<void> {
    const { child } = this;
    if (!child) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    this.end();
    await ended;
  }

  private process(): ChildProcess {
    if (this.child) return this.child;
    const child = fork(this.program, this.parameters, {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.said = "";
    // Drivers say much that concerns nobody, and why they end.
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.said = (this.said + text).slice(-2000);
    });
    child.once("exit", () => {
      if (this.child === child) this.child = undefined;
    });
    child.on("error", () => {});
    this.child = child;
    if (this.duty < 1) this.tellPace();
    return child;
  }

  private tellPace(): void {
    const message: ToScorer = { type: "pace", duty: this.duty };
    if (this.child?.connected) this.child.send(message, () => {});
  }

  /** Tells the process to end, which takes some seconds at most; the next video gets another. */
  private end(): void {
    const { child } = this;
    this.child = undefined;
    if (!child) return;
    if (child.connected) child.send({ type: "stop" } satisfies ToScorer, () => {});
    const timer = setTimeout(() => child.kill("SIGKILL"), 1000 * PATIENCE);
    child.once("exit", () => clearTimeout(timer));
  }
}
