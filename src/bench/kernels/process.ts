// Starts the process that compiles kernels (worker.ts), and reads its messages.
import { spawn } from "node:child_process";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { GpuError, InputError } from "../../errors.js";
import { packageFile } from "../../node/files/package_files.js";
import { driverSwitches } from "./driver_output.js";
import { type KernelRequest, messageChannel, type WorkerMessage } from "./worker.js";

/**
 * Compiles in another process, since drivers read their switches when they load; in the driver
 * laboratory if one of its GPUs is named.
 * @param program a file that runs this command; by default this program
 * @returns the messages of that process
 * @throws InputError or GpuError, with the last line that it printed, if it fails
 */
export async function* worker(
  gpu: string | undefined,
  request: KernelRequest,
  switches = driverSwitches,
  program = process.argv[1],
): AsyncGenerator<WorkerMessage> {
  const folder = await mkdtemp(join(tmpdir(), "sdmae-kernels-"));
  const log = await open(join(folder, "printed"), "a");
  try {
    // The laboratory has one adapter, whatever the environment asks for.
    const adapter = gpu === undefined ? request.adapter : gpu === "lavapipe" ? gpu : "gpu";
    const command = [program, "--compile-here", JSON.stringify({ ...request, adapter })];
    // Some drivers print on the standard output, which must not be buffered (stdbuf).
    const [file, ...args] =
      gpu === undefined
        ? [process.execPath, ...command]
        : ["bash", packageFile("tools", "gpu-lab.sh"), "run", gpu, "stdbuf", "-oL", "node", ...command];
    const folders = [process.env.GPU_LAB_FOLDERS, tmpdir(), request.listings].filter(Boolean).join(":");
    const child = spawn(file, args, {
      env: { ...process.env, ...switches, GPU_LAB_FOLDERS: folders },
      stdio: ["ignore", log.fd, log.fd, "pipe"],
    });
    const ended = new Promise<number | string>((done, fail) => {
      child.once("error", fail);
      child.once("close", (code, signal) => done(signal ?? code ?? 1));
    });
    ended.catch(() => {}); // handled below, after all messages are read
    let at = "";
    try {
      for await (const line of createInterface({ input: child.stdio[messageChannel] as Readable })) {
        const message = JSON.parse(line) as WorkerMessage;
        if ("begins" in message) at = ` at ${message.begins}`;
        yield message;
      }
    } finally {
      child.kill();
    }
    const end = await ended;
    if (end === 0) return;
    const printed = (await readFile(join(folder, "printed"), "utf8")).trim().split("\n");
    const reason = printed.findLast((line) => /^(error|gpu-lab): /.test(line))?.replace(/^[\w-]+: /, "");
    if (typeof end === "number" && reason !== undefined) throw new InputError(reason);
    const how = typeof end === "string" ? `by ${end}` : `with exit code ${end}`;
    throw new GpuError(`the process that compiles ended${at} ${how}: ${printed.at(-1)}`);
  } finally {
    await log.close();
    await rm(folder, { recursive: true, force: true });
  }
}
