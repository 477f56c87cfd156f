import { spawn } from "node:child_process";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { Command, Option } from "commander";
import { GpuError, InputError } from "../errors.js";
import { variantKinds } from "../gpu/gpu.js";
import { makeFolder, writeFileAtomic } from "../node/atomic.js";
import { driverSwitches } from "./kernel_stats.js";
import {
  type CompiledKernel,
  compileKernels,
  type KernelSelection,
  messageChannel,
  type WorkerMessage,
} from "./kernel_worker.js";
import { adapterOption, dtypeOption, parseSize, wholeNumber } from "./options.js";
import { refuseOutputs } from "./outputs.js";
import { packageFile } from "./package_files.js";
import { Progress } from "./progress.js";
import { type Column, tableHead, tableRow } from "./table.js";
import { versions } from "./versions.js";

interface KernelsOptions extends KernelSelection {
  gpu?: string;
  kernels?: string;
  json?: string;
  quiet?: boolean;
  /** Set by the command for its worker. */
  compileHere?: string;
}

/** `bench/kernels.js`: what a GPU's driver makes of each kernel. */
export function kernelsCommand(): Command {
  return new Command("kernels")
    .description(
      "Compiles every kernel of the scoring model, one at a time, and prints what the driver made of it: instructions, registers, occupancy, " +
        "spills, and its inner loop. Drivers of GPUs that are not here run in the driver laboratory (--gpu).",
    )
    .option("--gpu <name>", "run in the driver laboratory with this GPU (tools/gpu-lab.sh gpus lists them)")
    .addOption(
      new Option("--size <HxW>", "input size of the network")
        .default({ height: 320, width: 640 }, "320x640")
        .argParser(parseSize),
    )
    .addOption(new Option("--patch <P>", "patch side (default: 16)").argParser(wholeNumber(4, 64)))
    .addOption(new Option("--batch <n>", "frames in a step").default(16).argParser(wholeNumber(1, 4096)))
    .addOption(dtypeOption())
    .addOption(
      new Option("--kernels <kind>", "the first candidate of this kind wherever there is one").choices(variantKinds),
    )
    .option("--variants", "every candidate, not only the one that is taken")
    .option("--filter <text>", "only kernels whose label, node, shape or variant holds this text")
    .addOption(adapterOption())
    .option("--json <file>", "write the figures to a file")
    .option("--listings <folder>", "write each kernel's WGSL and all that the driver printed of it to a folder")
    .option("-q, --quiet", "no progress, no table")
    .addOption(new Option("--compile-here <selection>", "what the command runs itself with").hideHelp())
    .action(async (options: KernelsOptions) => {
      if (options.compileHere !== undefined) await compileKernels(JSON.parse(options.compileHere) as KernelSelection);
      else await kernels(options);
    });
}

async function kernels(options: KernelsOptions): Promise<void> {
  await refuseOutputs(options);
  if (options.listings !== undefined) await makeFolder(options.listings);
  const started = new Date();
  const compiled: CompiledKernel[] = [];
  let progress: Progress | undefined;
  let head: Extract<WorkerMessage, { total: number }> | undefined;
  const say = (line: string) => {
    if (options.quiet) return;
    if (progress) progress.print(line);
    else console.log(line);
  };
  try {
    for await (const message of messages(options)) {
      if ("total" in message) {
        const { adapter, dtype, patch, total } = message;
        head = message;
        const { height, width } = options.size;
        say(`adapter  ${adapter.description} (${options.gpu ?? adapter.kind})`);
        say(`model    ${height}x${width}, patch ${patch}, batch ${options.batch}, ${dtype}`);
        progress = new Progress("kernels", total, options.quiet ?? false, true);
        for (const line of tableHead(columns)) say(line);
      } else if ("begins" in message) {
        progress?.advance(0, message.begins);
      } else {
        compiled.push(message.kernel);
        for (const line of rows(message.kernel)) say(line);
        progress?.advance(1);
      }
    }
  } finally {
    progress?.stop();
  }
  if (!head) throw new GpuError("the drivers' process ended before it had compiled anything");
  if (options.json !== undefined) {
    const { adapter, dtype, patch } = head;
    const { gpu, size, batch } = options;
    const record = {
      date: started.toISOString(),
      versions: versions(),
      gpu,
      adapter,
      size,
      patch,
      batch,
      dtype,
      kernels: compiled,
    };
    await writeFileAtomic(options.json, `${JSON.stringify(record, null, 2)}\n`);
    say(`written  ${options.json}`);
  }
  const failed = compiled.filter(({ error }) => error !== undefined).length;
  if (failed > 0) throw new GpuError(`${failed} of ${compiled.length} kernels do not compile`);
}

/** Runs the worker, in the driver laboratory where a GPU of it is named, and passes on what it says. */
async function* messages(options: KernelsOptions): AsyncGenerator<WorkerMessage> {
  const { gpu, kernels: kind, size, patch, batch, dtype, variants, training, filter, adapter, listings } = options;
  const selection: KernelSelection = { size, patch, batch, dtype, variants, training, filter, adapter, listings };
  const folder = await mkdtemp(join(tmpdir(), "sdmae-kernels-"));
  const log = await open(join(folder, "printed"), "a");
  try {
    const program = [packageFile("bench", "kernels.js"), "--compile-here", JSON.stringify(selection)];
    // A driver that prints on the standard output must not hold it back.
    const [file, ...args] =
      gpu === undefined
        ? [process.execPath, ...program]
        : ["bash", packageFile("tools", "gpu-lab.sh"), "run", gpu, "stdbuf", "-oL", "node", ...program];
    const env = {
      ...{ ...process.env, ...driverSwitches, ...(kind !== undefined && { SDMAE_KERNELS: kind }) },
      ...{ GPU_LAB_FOLDERS: [process.env.GPU_LAB_FOLDERS, listings && resolve(listings)].filter(Boolean).join(":") },
    };
    const child = spawn(file as string, args, { env, stdio: ["ignore", log.fd, log.fd, "pipe"] });
    const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((done, fail) => {
      child.once("error", fail);
      child.once("close", (code, signal) => done({ code, signal }));
    });
    let last = "";
    for await (const line of createInterface({ input: child.stdio[messageChannel] as Readable })) {
      const message = JSON.parse(line) as WorkerMessage;
      if ("begins" in message) last = ` at ${message.begins}`;
      yield message;
    }
    const { code, signal } = await ended;
    if (code === 0) return;
    const printed = (await readFile(join(folder, "printed"), "utf8")).trim().split("\n");
    const reason = printed.findLast((line) => /^(error|gpu-lab): /.test(line))?.replace(/^(error|gpu-lab): /, "");
    if (reason !== undefined) throw new InputError(reason);
    throw new GpuError(`the driver ended${last} with ${signal ?? `exit code ${code}`}: ${printed.at(-1)}`);
  } finally {
    await log.close();
    await rm(folder, { recursive: true, force: true });
  }
}

const columns: readonly Column[] = [
  ["kernel", -24],
  ["shape", -30],
  ["variant", -22],
  ["times", 5],
  ["instr", 6],
  ["regs", 4],
  ["occupancy", 12],
  ["spills", 6],
  ["loop", 6],
  ["ops", 5],
  ["per op", 6],
  ["moves", 5],
  ["score", 5],
  ["", -8],
];

function rows(kernel: CompiledKernel): string[] {
  const { label, shape, variant = "", count, stats, error } = kernel;
  const names = [label, shape, variant, String(count)];
  if (error !== undefined) return [tableRow(columns, names), `  ${error}`];
  if (!stats) return [tableRow(columns, [...names, "-"])];
  const { instructions, registers, occupancy, spills, loop } = stats;
  const score = perScore(kernel);
  return [
    tableRow(columns, [
      ...[...names, String(instructions), String(registers)],
      ...[occupancy ? `${occupancy.value} ${occupancy.unit}` : "-", String(spills)],
      ...(loop
        ? [String(loop.instructions), String(loop.ops), (loop.instructions / loop.ops).toFixed(2), String(loop.moves)]
        : ["-", "-", "-", "-"]),
      ...[score === undefined ? "-" : score.toFixed(1), loop?.note ?? ""],
    ]),
  ];
}

/** Of attention: instructions of a lane per score. */
export function perScore({ attention, stats }: CompiledKernel): number | undefined {
  if (!attention?.scores || !stats?.loop) return undefined;
  return stats.loop.instructions / attention.scores;
}
