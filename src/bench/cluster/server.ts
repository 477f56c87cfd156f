// A NATS server that a benchmark starts and measures.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { InputError } from "../../errors.js";
import { takenBy } from "../watch/processes.js";

/** What a server has done so far, and holds. */
export interface ServerFigures {
  /** When this was, in seconds. */
  time: number;
  /** Messages and bytes from clients, and to them. */
  messagesIn: number;
  messagesOut: number;
  bytesIn: number;
  bytesOut: number;
  /** Connections that were ended for they read too slowly. */
  slow: number;
  /** Seconds of the processor, and bytes of memory. */
  cpu: number;
  rss: number;
}

const PROGRAM = "nats-server";
/** Milliseconds that a server may need until it answers. */
const PATIENCE = 10_000;

/** A server with JetStream. */
export class NatsServer {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
    private readonly monitor: string,
  ) {}

  /**
   * Starts a server.
   * @param folder for its data
   * @throws InputError if there is none in the PATH, or it ends
   */
  static async start(folder: string): Promise<NatsServer> {
    if (spawnSync(PROGRAM, ["--version"]).status !== 0) {
      throw new InputError(`${PROGRAM} is not in the PATH: it is one program (apt install nats-server)`);
    }
    const [port, monitor] = [await freePort(), await freePort()];
    const args = ["-a", "127.0.0.1", "-p", String(port), "-m", String(monitor), "-js", "-sd", folder];
    const child = spawn(PROGRAM, args, { stdio: "ignore", detached: true });
    const server = new NatsServer(child, `nats://127.0.0.1:${port}`, `http://127.0.0.1:${monitor}`);
    const until = performance.now() + PATIENCE;
    while (!(await server.isHealthy())) {
      if (child.exitCode !== null || performance.now() > until) {
        await server.end();
        throw new InputError(`${PROGRAM} does not start`);
      }
      await sleep(50);
    }
    return server;
  }

  /** What it has done so far. */
  async figures(): Promise<ServerFigures> {
    const varz = (await (await fetch(`${this.monitor}/varz`)).json()) as Record<string, number>;
    const { cpu = Number.NaN, rss = varz.mem } = (await takenBy(this.child.pid!)) ?? {};
    return {
      ...{ time: performance.now() / 1000, cpu, rss, slow: varz.slow_consumers },
      ...{ messagesIn: varz.in_msgs, messagesOut: varz.out_msgs, bytesIn: varz.in_bytes, bytesOut: varz.out_bytes },
    };
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await ended;
  }

  private async isHealthy(): Promise<boolean> {
    return fetch(`${this.monitor}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    );
  }
}

/** A port that nothing listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
