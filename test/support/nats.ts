// A real NATS server for tests: nats-server, from SDMAE_NATS_SERVER or the PATH;
// test/support/nats.sh unpacks Debian's.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, greets, natsProgram } from "../../src/node/local_nats.js";

const program = natsProgram();

/** Whether the server can be started here; else a line says why not. */
export function hasNats(): boolean {
  if (program !== undefined) return true;
  console.log(
    "skipped: a real NATS server: nats-server is not in the PATH, nor in SDMAE_NATS_SERVER (test/support/nats.sh)",
  );
  return false;
}

/** A server that can be ended, and started again on its port and folder. */
export interface NatsServer {
  port: number;
  /** nats://127.0.0.1:PORT */
  url: string;
  start(): Promise<void>;
  /** Ends it. Default: SIGKILL. */
  end(signal?: NodeJS.Signals): Promise<void>;
}

/**
 * Starts a server.
 * @param folder for its data; without one it has no JetStream
 * @param options more of its options
 */
export async function startNats(folder: string | undefined, ...options: string[]): Promise<NatsServer> {
  if (program === undefined) throw new Error("there is no nats-server");
  const port = await freePort();
  const store = folder === undefined ? [] : ["-js", "-sd", folder];
  let child: ChildProcess | undefined;
  const server: NatsServer = {
    port,
    url: `nats://127.0.0.1:${port}`,
    async start() {
      const started = spawn(program, ["-a", "127.0.0.1", "-p", String(port), ...store, ...options], {
        stdio: "ignore",
      });
      child = started;
      while (!(await greets(port))) {
        if (started.exitCode !== null) throw new Error(`nats-server ended with code ${started.exitCode}`);
        await sleep(20);
      }
    },
    async end(signal = "SIGKILL") {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill(signal);
      await ended;
    },
  };
  await server.start();
  return server;
}

/** The network between a client and a server. */
export interface Wire {
  url: string;
  /** Nothing passes, in either direction, until {@link flow}; connections stay. */
  stall(): void;
  flow(): void;
  /** From now on everything takes so many milliseconds more, each way. */
  slow(delay: number): void;
  close(): void;
}

/** A port that leads to another. */
export async function startWire(to: number): Promise<Wire> {
  let delay = 0;
  const sockets = new Set<Socket>();
  let isStalled = false;
  let waiting: (() => void)[] = [];
  const pass = (bytes: Buffer, target: Socket) => {
    const write = () => void target.write(bytes);
    if (isStalled) waiting.push(write);
    else if (delay > 0) setTimeout(write, delay);
    else write();
  };
  const server = createServer((outer) => {
    const inner = connect(to, "127.0.0.1");
    for (const [from, target] of [
      [outer, inner],
      [inner, outer],
    ]) {
      sockets.add(from);
      from.on("data", (bytes) => pass(bytes, target));
      from.on("error", () => {}).on("close", () => target.destroy());
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stall: () => {
      isStalled = true;
    },
    flow: () => {
      isStalled = false;
      for (const write of waiting) write();
      waiting = [];
    },
    slow: (milliseconds) => {
      delay = milliseconds;
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
