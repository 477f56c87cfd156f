import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

const path = process.env.CHROMIUM || "/usr/bin/chromium";

/** Why there is no Chromium; empty if there is one. */
export const chromiumMissing = existsSync(path) ? "" : `no Chromium at ${path}: install one, or name one in CHROMIUM`;

/** An event of the DevTools protocol. */
export interface ChromiumEvent {
  method: string;
  params: Record<string, unknown>;
}

/** A headless Chromium with a fresh profile, controlled by the DevTools protocol over a pipe. */
export class Chromium {
  readonly events: ChromiumEvent[] = [];
  /** Rejects if the browser ends unexpectedly. */
  readonly ended: Promise<never>;
  private readonly profile = mkdtempSync(join(tmpdir(), "sdmae-chromium-"));
  private readonly process: ChildProcess;
  private readonly waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  private session?: string;
  private last = 0;

  /** @param flags more of the command line, such as a page to open */
  constructor(...flags: string[]) {
    this.process = spawn(
      path,
      [
        "--headless=new",
        // The pages are the tests' own; containers and root cannot have the sandbox.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--remote-debugging-pipe",
        `--user-data-dir=${this.profile}`,
        ...flags,
      ],
      { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] },
    );
    let stderr = "";
    (this.process.stderr as Readable).setEncoding("utf8").on("data", (text: string) => {
      stderr = `${stderr}${text}`.slice(-2000);
    });
    this.ended = new Promise((_, reject) => {
      this.process.once("error", reject).once("exit", (code, signal) => {
        reject(new Error(`${path} ended by itself (${signal ?? code}): ${stderr}`));
      });
    });
    this.ended.catch((error: Error) => {
      for (const { reject } of this.waiting.values()) reject(error);
    });
    let rest = "";
    const [, , , input, output] = this.process.stdio as unknown as [null, null, Readable, Writable, Readable];
    input.on("error", () => {}); // it says so by ending
    output.setEncoding("utf8").on("data", (text: string) => {
      const messages = `${rest}${text}`.split("\0");
      rest = messages.pop() as string;
      for (const message of messages) this.take(JSON.parse(message) as Message);
    });
  }

  /** Opens an empty page, which {@link send} and {@link evaluate} then speak to. */
  async page(): Promise<void> {
    const { targetId } = await this.send<{ targetId: string }>("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send<{ sessionId: string }>("Target.attachToTarget", { targetId, flatten: true });
    this.session = sessionId;
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await this.send(`${domain}.enable`);
  }

  /** Loads an address, and waits until it is loaded. */
  async open(url: string): Promise<void> {
    const before = this.events.length;
    await this.send("Page.navigate", { url });
    while (!this.events.slice(before).some(({ method }) => method === "Page.loadEventFired")) {
      await Promise.race([new Promise((resolve) => setTimeout(resolve, 10)), this.ended]);
    }
  }

  /** Cuts the browser off from the network. */
  async goOffline(): Promise<void> {
    const none = { latency: 0, downloadThroughput: 0, uploadThroughput: 0 };
    await this.send("Network.emulateNetworkConditions", { offline: true, ...none });
  }

  /** Sets the width of the screen and the colour scheme for what is opened next; forgets events. */
  async look(width: number, scheme: "light" | "dark"): Promise<void> {
    this.events.length = 0;
    const screen = { width, height: 900, deviceScaleFactor: 1, mobile: width < 500 };
    await this.send("Emulation.setDeviceMetricsOverride", screen);
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  }

  /** The events that a sound page has none of: errors, output, and requests to the network. */
  complaints(): ChromiumEvent[] {
    return this.events.filter(
      ({ method, params }) =>
        method === "Runtime.exceptionThrown" ||
        method === "Runtime.consoleAPICalled" ||
        (method === "Log.entryAdded" && (params.entry as { level: string }).level === "error") ||
        (method === "Network.requestWillBeSent" && !/^(?:file|data):/.test((params.request as { url: string }).url)),
    );
  }

  /** Sets the language of the pages that are opened from now on, which Intl may refuse. */
  async setLanguage(language: string): Promise<void> {
    await this.send("Emulation.setUserAgentOverride", { userAgent: "", acceptLanguage: language });
  }

  /** A command of the protocol. */
  send<T = unknown>(method: string, params: object = {}): Promise<T> {
    const id = ++this.last;
    const message = { id, method, params, ...(this.session && { sessionId: this.session }) };
    (this.process.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve, reject });
    });
  }

  /** The value of an expression in the page, which may be a promise. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send<Evaluated>("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value as T;
  }

  /** Ends it and removes its profile. */
  async close(): Promise<void> {
    if (this.process.pid && this.process.exitCode === null && this.process.signalCode === null) {
      const closed = new Promise((resolve) => this.process.once("close", resolve));
      this.process.kill("SIGKILL");
      await closed; // its other processes too: they hold the pipe
    }
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  private take(message: Message): void {
    if (message.id === undefined) {
      this.events.push({ method: message.method ?? "", params: message.params ?? {} });
      return;
    }
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.error) waiting?.reject(new Error(message.error.message));
    else waiting?.resolve(message.result);
  }
}

interface Message {
  id?: number;
  method?: string;
  params?: Record<string, unknown>;
  result?: unknown;
  error?: { message: string };
}

interface Evaluated {
  result: { value?: unknown };
  exceptionDetails?: { text: string; exception?: { description?: string } };
}
