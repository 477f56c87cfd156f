// Runs a program for each change of an event.
import { type ChildProcess, spawn } from "node:child_process";
import { oneLine, reasonOf } from "../../node/files/messages.js";
import type { EventChange, Sink } from "../records.js";

/** Settings of a {@link commandSink}. */
export interface CommandOptions {
  /** In logs and metrics. */
  name: string;
  /** The program and its arguments. No shell reads them. */
  command: readonly [string, ...string[]];
  /** Where it runs. Default: where this process runs. */
  folder?: string;
  /** Seconds until it is killed with all that it started. Default: 20. */
  timeout?: number;
  /** Secrets now: variables of the environment that hold one are not passed on. */
  secrets?(): readonly string[];
}

/** So much of a program's messages is kept, in characters. */
const MOST_MESSAGES = 4096;

/**
 * A sink that runs a program with the change as JSON on standard input, and with SDMAE_EVENT_ID,
 * SDMAE_CAMERA, SDMAE_CHANGE and SDMAE_KIND in its environment. Exit code 0 means that it arrived.
 * Errors name the program and the first line of its messages; never its arguments, which may hold
 * secrets.
 */
export function commandSink({ name, command, folder, timeout = 20, secrets = () => [] }: CommandOptions): Sink {
  const [program, ...parameters] = command;
  return {
    name,
    send(change, signal) {
      return new Promise((resolve, reject) => {
        signal.throwIfAborted();
        const child = spawn(program, parameters, {
          ...(folder !== undefined && { cwd: folder }),
          env: { ...environmentWithout(secrets()), ...variablesOf(change) },
          stdio: ["pipe", "ignore", "pipe"],
          // A group of its own, which can be killed as a whole.
          detached: true,
          windowsHide: true,
        });
        // A program need not read its input.
        child.stdin?.on("error", () => {}).end(`${JSON.stringify(change)}\n`);
        watch(child, { program: oneLine(program), timeout, signal }, resolve, reject);
      });
    },
  };
}

function environmentWithout(secrets: readonly string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([, value = ""]) => !secrets.includes(value)));
}

const variablesOf = ({ change, event }: EventChange): Record<string, string> => ({
  SDMAE_EVENT_ID: event.id,
  SDMAE_CAMERA: event.camera,
  SDMAE_CHANGE: change,
  SDMAE_KIND: event.kind,
});

/** Waits for a program's end, and kills it with what it started if that takes too long. */
function watch(
  child: ChildProcess,
  { program, timeout, signal }: { program: string; timeout: number; signal: AbortSignal },
  resolve: () => void,
  reject: (error: unknown) => void,
): void {
  let messages = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    if (messages.length < MOST_MESSAGES) messages += text.slice(0, MOST_MESSAGES);
  });
  const finish = (error?: unknown): void => {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    // A program may leave others behind that keep it open.
    child.stderr?.destroy();
    if (error === undefined) resolve();
    else reject(error);
  };
  const fail = (what: string): void => {
    const line = messages.split(/[\r\n]+/).find((text) => text.trim() !== "");
    finish(new Error(`${program}: ${what}${line === undefined ? "" : ` (${oneLine(line)})`}`));
  };
  const timer = setTimeout(() => {
    killGroup(child);
    fail(`did not end within ${timeout} s and was killed`);
  }, 1000 * timeout);
  const abort = (): void => {
    killGroup(child);
    finish(signal.reason);
  };
  signal.addEventListener("abort", abort);
  child.on("error", (error) => finish(new Error(`${program}: cannot be run (${reasonOf(error)})`)));
  child.on("exit", (code, killed) => {
    if (code === 0) return finish();
    const what = code === null ? `was ended by ${killed}` : `ended with exit code ${code}`;
    // Its last messages may still be under way. What it left running must not hold them open.
    killGroup(child);
    child.on("close", () => fail(what));
  });
}

/** Kills a program and all that it started, unless they left its group. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    // Windows has no groups.
    if (process.platform === "win32") child.kill("SIGKILL");
    else process.kill(-child.pid, "SIGKILL");
  } catch {
    // They have ended.
  }
}
