import { spawn } from "node:child_process";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { Command, Option } from "commander";
import { adapterOption, deviceOf, robustOption } from "../../cli/options/device.js";
import { dtypeOption } from "../../cli/options/model.js";
import { parseSize, wholeNumber } from "../../cli/options/parse.js";
import { refuseOutputs } from "../../cli/terminal/outputs.js";
import { Progress } from "../../cli/terminal/progress.js";
import { type Column, table, tableHead, tableRow } from "../../cli/terminal/table.js";
import { GpuError, InputError } from "../../errors.js";
import { type VariantKind, variantKinds } from "../../gpu/gpu.js";
import type { ActivationType } from "../../graph/graph.js";
import { paperConfig } from "../../model/config.js";
import { makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { packageFile } from "../../node/files/package_files.js";
import { versions } from "../../node/files/versions.js";
import type { Size } from "../../ops/resize.js";
import {
  compareKernels,
  incomparable,
  type KernelComparison,
  type KernelRecord,
  type MeasuredKernel,
  readKernelRecord,
} from "./compare.js";
import { driverSwitches, type KernelStats } from "./stats.js";
import {
  type CompiledKernel,
  compileKernels,
  isWanted,
  type KernelRequest,
  messageChannel,
  type WorkerMessage,
} from "./worker.js";

interface KernelsOptions {
  gpu?: string;
  size: Size;
  patch: number;
  batch: number;
  dtype?: ActivationType;
  kernels?: VariantKind;
  variants?: boolean;
  training?: boolean;
  filter?: string;
  adapter?: string;
  robust?: boolean;
  json?: string;
  compare?: string;
  listings?: string;
  quiet?: boolean;
  /** Set by the command for its worker. */
  compileHere?: string;
}

/** Some kernels do not compile, or became worse: the command's exit code is 1. */
class KernelsWorse extends Error {}

/** `bench/kernels.js`: what a GPU's driver makes of each kernel. */
export function kernelsCommand(): Command {
  return new Command("kernels")
    .description(
      "Compiles every kernel of the model that scores frames, one at a time, and prints what the driver made of it: instructions, registers, " +
        "occupancy, spills, and the instructions of its inner loop per matrix operation or multiply-add. Exit code 1: a kernel does not compile, " +
        "or is worse than the one it is compared with.",
    )
    .option("--gpu <name>", "run in the driver laboratory, with this GPU of `tools/gpu-lab.sh gpus`")
    .addOption(
      new Option("--size <HxW>", "input size of the network")
        .default({ height: 320, width: 640 }, "320x640")
        .argParser(parseSize),
    )
    .addOption(new Option("--patch <P>", "patch side").default(paperConfig.patch).argParser(wholeNumber(4, 64)))
    .addOption(new Option("--batch <n>", "frames in a step").default(16).argParser(wholeNumber(1, 4096)))
    .addOption(dtypeOption())
    .addOption(
      new Option("--kernels <kind>", "take the first candidate of this kind wherever there is one").choices(
        variantKinds,
      ),
    )
    .option("--variants", "compile every candidate, not only the one that is taken")
    .option("--training", "compile the kernels of training as well")
    .option("--filter <text>", "only kernels whose label, node, shape or variant holds this text")
    .addOption(adapterOption())
    .addOption(robustOption())
    .option("--json <file>", "write the figures to a file")
    .option("--compare <file>", "print what changed since an older --json file")
    .option("--listings <folder>", "write each kernel's WGSL, and all that the driver printed of it, to a folder")
    .option("-q, --quiet", "no progress, no table")
    .addOption(new Option("--compile-here <request>", "what the command runs itself with").hideHelp())
    .action(async (options: KernelsOptions) => {
      if (options.compileHere !== undefined) await compileKernels(JSON.parse(options.compileHere) as KernelRequest);
      else await kernels(options);
    });
}

async function kernels(options: KernelsOptions): Promise<void> {
  await refuseOutputs(options);
  const older = options.compare === undefined ? undefined : await readKernelRecord(options.compare);
  if (options.listings !== undefined) await makeFolder(options.listings);
  const record = await compileAll(options, (begun) => {
    const reason = older && incomparable(begun, older);
    if (reason !== undefined) throw new InputError(`${options.compare}: cannot be compared: ${reason}`);
  });
  const say = (line: string) => {
    if (!options.quiet) console.log(line);
  };
  if (options.json !== undefined) {
    await writeFileAtomic(options.json, `${JSON.stringify(record, null, 2)}\n`);
    say(`written  ${options.json}`);
  }
  const failed = record.kernels.filter(({ error }) => error !== undefined).length;
  const faults = failed > 0 ? [`${failed} of ${record.kernels.length} kernels do not compile`] : [];
  if (older) {
    if (older.adapter.description !== record.adapter.description) {
      say(`the older figures are another driver's: ${older.adapter.description}`);
    }
    const comparison = compareKernels(record.kernels, older.kernels.filter(isWanted(options.filter)));
    for (const line of comparisonLines(comparison)) say(line);
    const worse = comparison.changed.filter((change) => change.worse.length > 0).length;
    if (worse > 0) faults.push(`${worse} of ${record.kernels.length} kernels are worse than in ${options.compare}`);
  }
  if (faults.length > 0) throw new KernelsWorse(faults.join("; "));
}

/**
 * Compiles, and prints a table while it does.
 * @param begin is told the record's facts before the first kernel
 */
async function compileAll(options: KernelsOptions, begin: (record: KernelRecord) => void): Promise<KernelRecord> {
  const { gpu, size, patch, batch, dtype, variants, training, kernels: kind, filter, quiet = false } = options;
  const listings = options.listings === undefined ? undefined : resolve(options.listings);
  const model = { config: { ...paperConfig, patch }, size, batch, dtype, training, variants };
  let record: KernelRecord | undefined;
  let progress: Progress | undefined;
  const say = (line: string) => {
    if (!quiet) progress?.print(line);
  };
  try {
    for await (const message of worker(gpu, { models: [model], kind, filter, ...deviceOf(options), listings })) {
      if ("total" in message) {
        const { adapter, robust, total } = message;
        if (total === 0) throw new InputError(`no kernel's label, node, shape or variant holds "${filter}"`);
        record = {
          ...{ format: "sdmae kernels", date: new Date().toISOString(), versions: versions() },
          ...{ ...(gpu !== undefined && { gpu }), adapter, size, patch, batch, dtype: message.dtype },
          ...{
            ...(robust && { robust }),
            ...(message.kind && { kind: message.kind }),
            ...(filter && { filter }),
            kernels: [],
          },
        };
        begin(record);
        progress = new Progress("kernels", total, quiet, true);
        const facts = [`${size.height}x${size.width}`, `patch ${patch}`, `batch ${batch}`, message.dtype];
        say(`adapter  ${adapter.description} (${gpu ?? adapter.kind})`);
        say(`model    ${[...facts, ...(robust ? ["indices clamped"] : [])].join(", ")}`);
      } else if ("begins" in message) {
        progress?.advance(0, message.begins);
      } else if (record) {
        const kernel = withFigures(message.kernel, gpu);
        if (record.kernels.length === 0) for (const line of tableHead(columnsFor(kernel))) say(line);
        record.kernels.push(kernel);
        say(tableRow(columnsFor(kernel), cells(kernel)));
        if (kernel.error !== undefined) say(`  ${kernel.error}`);
        progress?.advance(1);
      }
    }
    if (record?.kernels.every(({ stats }) => !stats)) {
      say("this driver prints nothing of its machine code: the driver laboratory has some that do (--gpu)");
    }
  } finally {
    progress?.stop();
  }
  if (!record) throw new GpuError("the process that compiles ended without a word");
  return record;
}

/**
 * Compiles in a process of its own, whose drivers see the switches from the start, and in the driver laboratory if a GPU of it is named.
 * @param program a file that runs this command: this very program, unless given
 * @returns what that process says
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
    // Some drivers print on the standard output, which must not be held back (stdbuf).
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
    ended.catch(() => {}); // seen below, once all that was said is read
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

/** What an SM has for workgroups beside registers, by the laboratory's names: NAK's figure of occupancy leaves it out. */
const multiprocessors: Readonly<
  Record<string, { warps: number; workgroups: number; bytes: number; reserved: number }>
> = {
  rtx3090: { warps: 48, workgroups: 16, bytes: 102400, reserved: 1024 },
  rtx2080: { warps: 32, workgroups: 16, bytes: 65536, reserved: 0 },
};

/** Warps of an SM that workgroup memory and whole workgroups leave of what registers allow. */
export function residentWarps(gpu: string | undefined, stats: KernelStats): number | undefined {
  const sm = multiprocessors[gpu ?? ""];
  const { occupancy, invocations, workgroupBytes } = stats;
  if (!sm || !invocations || occupancy?.unit !== "warps/SM") return undefined;
  const warps = Math.ceil(invocations / 32);
  const bytes = workgroupBytes > 0 ? workgroupBytes + sm.reserved : 0;
  const byMemory = bytes > 0 ? Math.floor(sm.bytes / bytes) : sm.workgroups;
  return warps * Math.min(Math.floor(Math.min(occupancy.value, sm.warps) / warps), sm.workgroups, byMemory);
}

/** Adds what follows from a kernel's figures. */
export function withFigures(kernel: CompiledKernel, gpu: string | undefined): MeasuredKernel {
  const { stats, scoresPerTurn } = kernel;
  const loop = stats?.loop;
  const resident = stats && residentWarps(gpu, stats);
  return {
    ...kernel,
    ...(resident !== undefined && { resident }),
    ...(loop && { perOp: loop.instructions / loop.ops }),
    ...(loop && scoresPerTurn !== undefined && { perScore: loop.instructions / scoresPerTurn }),
  };
}

function columnsFor({ stats }: MeasuredKernel): readonly Column[] {
  const unit = stats?.occupancy?.unit ?? "occupancy";
  return [
    ...([
      ["kernel", -24],
      ["shape", -30],
      ["variant", -22],
      ["times", 5],
      ["instr", 6],
      ["regs", 4],
    ] as const),
    ...([
      [unit, unit.length],
      ["resident", 8],
      ["spills", 6],
      ["loop", 5],
      ["ops", 5],
      ["per op", 6],
    ] as const),
    ...([
      ["score", 5],
      ["moves", 5],
      ["", -8],
    ] as const),
  ];
}

function cells({ label, shape, variant = "", count, stats, resident, perOp, perScore }: MeasuredKernel): string[] {
  const { instructions, registers, occupancy, spills, loop } = stats ?? {};
  const shown = (value: number | undefined, digits = 0) => (value === undefined ? "-" : value.toFixed(digits));
  return [
    ...[label, shape, variant, String(count), shown(instructions), shown(registers), shown(occupancy?.value)],
    ...[shown(resident), shown(spills), shown(loop?.instructions), shown(loop?.ops), shown(perOp, 2)],
    ...[shown(perScore, 1), shown(loop?.moves), loop?.note ?? ""],
  ];
}

/** A table of what changed, what is new and what is gone. */
export function comparisonLines({ changed, added, gone }: KernelComparison): string[] {
  const arrow = (older: unknown, now: unknown) =>
    older === now ? String(now ?? "-") : `${older ?? "-"} → ${now ?? "-"}`;
  const rows = changed.map(({ kernel, older, worse }) => {
    const [now, then] = [kernel.stats, older.stats];
    return [
      ...[arrow(older.label, kernel.label), kernel.shape, arrow(older.variant ?? "", kernel.variant ?? "")],
      ...[arrow(then?.instructions, now?.instructions), arrow(then?.registers, now?.registers)],
      ...[arrow(then?.occupancy?.value, now?.occupancy?.value), arrow(then?.spills, now?.spills)],
      ...[arrow(older.perOp?.toFixed(2), kernel.perOp?.toFixed(2))],
      ...[arrow(older.perScore?.toFixed(1), kernel.perScore?.toFixed(1)), worse.join(", ")],
    ];
  });
  const head = ["changed", "shape", "variant", "instr", "regs", "occupancy", "spills", "per op", "score", "worse"];
  const named = ({ label, shape, variant }: MeasuredKernel) => [label, shape, variant].filter(Boolean).join(", ");
  const worse = changed.filter((change) => change.worse.length > 0).length;
  return [
    ...(rows.length > 0 ? table(head, rows) : []),
    ...added.map((kernel) => `new      ${named(kernel)}`),
    ...gone.map((kernel) => `gone     ${named(kernel)}`),
    `compared ${changed.length} changed, ${worse} of them worse; ${added.length} new, ${gone.length} gone`,
  ];
}
