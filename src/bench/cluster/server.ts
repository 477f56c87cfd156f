// A NATS server that a benchmark starts and measures.
import { freePort, type LocalNats, startLocalNats } from "../../node/local_nats.js";
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

/** A server with JetStream. */
export class NatsServer {
  private constructor(
    private readonly server: LocalNats,
    private readonly monitor: string,
  ) {}

  /**
   * Starts a server.
   * @param folder for its data
   * @throws InputError if there is none in the PATH, or it ends
   */
  static async start(folder: string): Promise<NatsServer> {
    const monitor = await freePort();
    return new NatsServer(await startLocalNats(folder, "-m", String(monitor)), `http://127.0.0.1:${monitor}`);
  }

  get url(): string {
    return this.server.url;
  }

  /** What it has done so far. */
  async figures(): Promise<ServerFigures> {
    const varz = (await (await fetch(`${this.monitor}/varz`)).json()) as Record<string, number>;
    const { cpu = Number.NaN, rss = varz.mem } = (await takenBy(this.server.child.pid!)) ?? {};
    return {
      ...{ time: performance.now() / 1000, cpu, rss, slow: varz.slow_consumers },
      ...{ messagesIn: varz.in_msgs, messagesOut: varz.out_msgs, bytesIn: varz.in_bytes, bytesOut: varz.out_bytes },
    };
  }

  end(): Promise<void> {
    return this.server.close("SIGKILL");
  }
}
