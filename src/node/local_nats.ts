// A NATS server of this machine alone, for demonstrations, benchmarks and tests.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { InputError } from "../errors.js";
import { endProcess } from "./end_process.js";

/** A server that runs. */
export interface LocalNats {
  url: string;
  child: ChildProcess;
  /** Ends it. Default: SIGTERM. */
  close(signal?: NodeJS.Signals): Promise<void>;
}

/** Milliseconds that it may take to start. */
const PATIENCE = 10_000;

/** The program: of the environment variable SDMAE_NATS_SERVER, else of the PATH. */
export function natsProgram(): string | undefined {
  const { SDMAE_NATS_SERVER: given } = process.env;
  // Debian keeps it where only root looks.
  const programs = given ? [given] : ["nats-server", "/usr/sbin/nats-server"];
  return programs.find((one) => spawnSync(one, ["--version"]).status === 0);
}

/**
 * Starts a server with JetStream. It ends with this process.
 * @param folder for its data
 * @param more of its options
 * @throws InputError if there is none, or it does not start
 */
export async function startLocalNats(folder: string, ...more: string[]): Promise<LocalNats> {
  const program = natsProgram();
  if (program === undefined) {
    throw new InputError(
      "there is no nats-server in the PATH: install it (Debian and Ubuntu: apt install nats-server; others: https://nats.io/download)",
    );
  }
  const port = await freePort();
  const child = spawn(program, ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", folder, ...more], {
    stdio: "ignore",
    // Ctrl-C is for those who use it; it ends after them.
    detached: true,
  });
  child.on("error", () => {});
  process.once("exit", () => child.kill("SIGKILL"));
  const since = performance.now();
  while (!(await greets(port))) {
    if (child.exitCode !== null || performance.now() - since > PATIENCE) {
      child.kill("SIGKILL");
      throw new InputError(`${program} does not start`);
    }
    await sleep(50);
  }
  return { url: `nats://127.0.0.1:${port}`, child, close: (signal = "SIGTERM") => endProcess(child, signal) };
}

/** A port that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Whether a server speaks first at a port, as NATS does. */
export async function greets(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "data");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
