import { resolve } from "node:path";
import { Command, Option } from "commander";
import { adapterOption, deviceOf, robustOption } from "../../cli/options/device.js";
import { dtypeOption } from "../../cli/options/model.js";
import { parseSize, wholeNumber } from "../../cli/options/parse.js";
import { refuseOutputs } from "../../cli/outputs/refuse.js";
import { examples } from "../../cli/terminal/examples.js";
import { Progress } from "../../cli/terminal/progress.js";
import { type Column, tableHead, tableRow } from "../../cli/terminal/table.js";
import { GpuError, InputError } from "../../errors.js";
import { type VariantKind, variantKinds } from "../../gpu/gpu.js";
import type { ActivationType } from "../../graph/graph.js";
import { paperConfig } from "../../model/config.js";
import { makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { versions } from "../../node/files/versions.js";
import type { Size } from "../../ops/resize.js";
import {
  compareKernels,
  comparisonLines,
  incomparable,
  type KernelRecord,
  type MeasuredKernel,
  readKernelRecord,
} from "./compare.js";
import { withFigures } from "./figures.js";
import { worker } from "./process.js";
import { compileKernels, isWanted, type KernelRequest } from "./worker.js";

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
  /** Set by the command for its child process. */
  compileHere?: string;
}

/** Thrown if kernels do not compile, or are worse than before; the exit code is 1 then. */
class KernelsWorse extends Error {}

/** `bench/kernels.js`: lists what a GPU's driver makes of each kernel. */
export function kernelsCommand(): Command {
  return new Command("kernels")
    .description(
      "Compiles every kernel of the model one by one, and prints what the driver made of it: instructions, registers, occupancy, spills, " +
        "and instructions of the inner loop per matrix operation or multiply-add. The exit code is 1 if a kernel does not compile, " +
        "or is worse than in the record of --compare.",
    )
    .option("--gpu <name>", "compile in the driver laboratory, for this GPU of `tools/gpu-lab.sh gpus`")
    .addOption(
      new Option("--size <HxW>", "input size of the network, height x width in pixels")
        .default({ height: 320, width: 640 }, "320x640")
        .argParser(parseSize),
    )
    .addOption(
      new Option("--patch <pixels>", "side of a patch").default(paperConfig.patch).argParser(wholeNumber(4, 64)),
    )
    .addOption(new Option("--batch <n>", "frames per step").default(16).argParser(wholeNumber(1, 4096)))
    .addOption(dtypeOption())
    .addOption(
      new Option("--kernels <kind>", "take the first candidate of this kind if a call has one").choices(variantKinds),
    )
    .option("--variants", "compile every candidate, not only the one that is used")
    .option("--training", "also compile the kernels of training")
    .option("--filter <text>", "only kernels with this text in their label, node, shape or variant")
    .option("--json <file>", "write the record to a file")
    .option("--compare <file>", "print what changed since an older record (a --json file)")
    .option("--listings <folder>", "write each kernel's WGSL and the driver's output into this folder")
    .addOption(adapterOption())
    .addOption(robustOption())
    .option("-q, --quiet", "no progress, no table")
    .addOption(new Option("--compile-here <request>", "set by the command for its child process").hideHelp())
    .addHelpText("after", examples("node bench/kernels.js --gpu rtx3090 --dtype f16"))
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
      say(`the older record is of another driver: ${older.adapter.description}`);
    }
    const comparison = compareKernels(record.kernels, older.kernels.filter(isWanted(options.filter)));
    for (const line of comparisonLines(comparison)) say(line);
    const worse = comparison.changed.filter((change) => change.worse.length > 0).length;
    if (worse > 0) faults.push(`${worse} of ${record.kernels.length} kernels are worse than in ${options.compare}`);
  }
  if (faults.length > 0) throw new KernelsWorse(faults.join("; "));
}

/**
 * Compiles, and prints a row per kernel.
 * @param begin receives the record, without kernels, before the first one is compiled
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
        if (total === 0) throw new InputError(`no kernel has "${filter}" in its label, node, shape or variant`);
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
      say("this driver prints nothing about its machine code; drivers of the laboratory do (--gpu)");
    }
  } finally {
    progress?.stop();
  }
  if (!record) throw new GpuError("the process that compiles ended without a message");
  return record;
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
