// A configuration file that is in use: what it says after somebody has edited it.
import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { InputErrors } from "../errors.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import type { WatchConfig } from "../server/config/config.js";

/** Seconds between looks at the file. */
const LOOK = 2;

/**
 * A configuration file. It is read again once it has changed and has stayed the same for two looks,
 * so that nothing half-written is read; and at once after SIGHUP, unless a terminal is used: there
 * the signal says that the terminal was closed.
 */
export class ConfigFile {
  /** What is wrong with the last edit, in one line; undefined if it is in use. */
  problem: string | undefined;
  /** What the file looked like at the last look. */
  private seen: string;
  private isAsked = false;
  private wake: () => void = () => {};
  private readonly onHangup = () => {
    this.isAsked = true;
    this.wake();
  };

  private constructor(
    private readonly path: string,
    private readonly read: () => Promise<WatchConfig>,
    /** What the file looked like when it was read last. */
    private known: string,
  ) {
    this.seen = known;
    if (!process.stderr.isTTY) process.on("SIGHUP", this.onHangup);
  }

  /**
   * To be called before the file is read for the first time: edits count from now on.
   * @param read reads the file, and checks all that it names; it throws what is wrong
   */
  static async open(path: string, read: () => Promise<WatchConfig>): Promise<ConfigFile> {
    return new ConfigFile(path, read, await markOf(path));
  }

  /**
   * Waits for an edit.
   * @param current the configuration that is in use
   * @param say takes a line about an edit that is not used
   * @returns the next configuration that can be used and is another one; undefined if the signal
   * ends the wait
   */
  async edited(
    current: WatchConfig,
    say: (level: "info" | "error", line: string) => void,
    signal: AbortSignal,
  ): Promise<WatchConfig | undefined> {
    while (await this.lookAgain(signal)) {
      try {
        const next = await this.read();
        this.problem = undefined;
        if (!isDeepStrictEqual(next, current)) return next;
        say("info", `${oneLine(this.path)} says what it said before`);
      } catch (error) {
        const lines = error instanceof InputErrors ? error.lines : [reasonOf(error)];
        for (const line of lines) say("error", line);
        say("error", `${oneLine(this.path)} cannot be used now: the configuration before stays in use`);
        this.problem = lines.length > 1 ? `${lines[0]}; ${lines.length - 1} more in the log` : lines[0];
      }
    }
    return undefined;
  }

  /** No signal is heard after this. */
  close(): void {
    process.off("SIGHUP", this.onHangup);
  }

  /** Resolves when the file is to be read. @returns false if the signal ends the wait */
  private async lookAgain(signal: AbortSignal): Promise<boolean> {
    for (;;) {
      if (!this.isAsked) await this.pause(signal);
      if (signal.aborted) return false;
      const wasAsked = this.isAsked;
      this.isAsked = false;
      const before = this.seen;
      this.seen = await markOf(this.path);
      if (!wasAsked && (this.seen !== before || this.seen === this.known)) continue;
      this.known = this.seen;
      return true;
    }
  }

  private async pause(signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.wake = () => woken.abort();
    await sleep(1000 * LOOK, undefined, { signal: AbortSignal.any([signal, woken.signal]) }).catch(() => {});
  }
}

/** Changes with the file; the same for all files that are not there. */
async function markOf(path: string): Promise<string> {
  const info = await stat(path).catch(() => undefined);
  return info ? `${info.dev}:${info.ino}:${info.size}:${info.mtimeMs}` : "none";
}
