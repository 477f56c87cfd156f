// Works out how fast kernels can be at best, from their machine code.

import { Command, Option } from "commander";
import { refuseOutputs } from "../../cli/outputs/refuse.js";
import { examples } from "../../cli/terminal/examples.js";
import { table } from "../../cli/terminal/table.js";
import { InputError } from "../../errors.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { type MeasuredKernel, readKernelRecord } from "./compare.js";

/** The speeds of a GPU, from its data sheet. */
export interface GpuSpeeds {
  name: string;
  /** Streaming multiprocessors. Each has four schedulers, which issue one instruction per clock. */
  sms: number;
  clockHz: number;
  /** Per SM and clock: float16 with sums in float32, by the driver's instructions (HMMA). */
  matrixFlops: number;
  /** From memory. */
  bytesPerSecond: number;
  /** Size and speed of the second-level cache, for kernels whose tensors all fit into it. */
  cacheBytes: number;
  cacheBytesPerSecond: number;
}

/** The cards that bounds are known for. */
export const gpuSpeeds: Readonly<Record<string, GpuSpeeds>> = {
  // 71 TFLOP/s at 1.695 GHz.
  rtx3090: {
    ...{ name: "RTX 3090", sms: 82, clockHz: 1.695e9, matrixFlops: 512 },
    ...{ bytesPerSecond: 936e9, cacheBytes: 6e6, cacheBytesPerSecond: 2e12 },
  },
  // 989 TFLOP/s at 1.83 GHz with Hopper's own instructions; HMMA reaches 62 % of it.
  h100: {
    ...{ name: "H100 SXM", sms: 132, clockHz: 1.755e9, matrixFlops: 0.62 * 4096 },
    ...{ bytesPerSecond: 3.35e12, cacheBytes: 50e6, cacheBytesPerSecond: 5.5e12 },
  },
};

const lanes = 32;
const schedulers = 4;
/** Bytes that an SM moves per clock between registers and workgroup memory or L1. */
const loadBytes = 128;
/** FLOPs of an instruction of a warp: HMMA of 16x8x16, or a multiply-add per lane. */
const flopsOf = { matrix: 2 * 16 * 8 * 16, "multiply-add": 2 * lanes };

/** The least milliseconds of all dispatches of a kernel, by what bounds them. */
export interface KernelBounds {
  label: string;
  shape: string;
  count: number;
  issue: number;
  matrix: number;
  loads: number;
  bytes: number;
  /** Factor by which the last round of workgroups is longer; 1 if they fill all SMs evenly. */
  tail: number;
  /** The largest bound; those of the SMs are multiplied by the tail. */
  total: number;
}

/**
 * The bounds of a kernel from its machine code. Code outside the main loop is counted once, so a
 * kernel with several loops takes longer.
 * @returns undefined for other compilers, and older records
 */
export function kernelBounds(kernel: MeasuredKernel, gpu: GpuSpeeds): KernelBounds | undefined {
  const { label, shape, count, stats, workgroups, flops, bytes } = kernel;
  // Older records lack some figures.
  if (stats?.compiler !== "nak" || stats.invocations === undefined || workgroups === undefined) return undefined;
  const { loop, memoryBytes = { workgroup: 0, global: 0 } } = stats;
  const warps = workgroups * Math.ceil(stats.invocations / lanes);
  // Split kernels multiply three times: high by high, high by low, low by high.
  const work = /\(split\)/.test(label) ? 3 * flops : flops;
  const ops = loop ? work / flopsOf[loop.op] : 0;
  const turns = loop && loop.note !== "unrolled" ? ops / loop.ops : 0;
  /** Executed by all warps: code in the loop as often as it turns, other code once. */
  const executed = (all: number, inLoop: number) => (turns > 0 ? turns * inLoop + warps * (all - inLoop) : warps * all);
  const instructions = executed(stats.instructions, loop ? loop.instructions + loop.moves : 0);
  const movedOf = (of: { workgroup: number; global: number }) => of.workgroup + of.global;
  const moved = lanes * executed(movedOf(memoryBytes), loop?.memoryBytes ? movedOf(loop.memoryBytes) : 0);
  const perSecond = gpu.sms * gpu.clockHz;
  const ms = (seconds: number) => 1000 * count * seconds;
  const issue = ms(instructions / (schedulers * perSecond));
  const matrix = loop?.op === "matrix" ? ms((ops * flopsOf.matrix) / (gpu.matrixFlops * perSecond)) : 0;
  const loads = ms(moved / (loadBytes * perSecond));
  const rounds = workgroups / gpu.sms;
  const tail = Math.ceil(rounds) / rounds;
  const fromMemory = ms(bytes / (bytes > gpu.cacheBytes ? gpu.bytesPerSecond : gpu.cacheBytesPerSecond));
  const total = Math.max(Math.max(issue, matrix, loads) * tail, fromMemory);
  return { label, shape, count, issue, matrix, loads, bytes: fromMemory, tail, total };
}

interface BoundsOptions {
  gpu: string;
  json?: string;
}

/** `bench/bounds.js`: prints how fast the kernels can be at best on a card. */
export function boundsCommand(): Command {
  return new Command("bounds")
    .description(
      "Prints how fast each kernel can be at best on an NVIDIA card, from a record of `bench/kernels.js --json`. The bounds are: " +
        "instructions to issue, matrix units, loads from workgroup memory and caches, and bytes from memory (or from the second-level cache, if they fit).",
    )
    .argument("<record>", "a record of bench/kernels.js --gpu rtx3090 --json")
    .addOption(new Option("--gpu <name>", "the card").choices(Object.keys(gpuSpeeds)).default("rtx3090"))
    .option("--json <file>", "write the bounds to a file")
    .addHelpText("after", examples("node bench/bounds.js kernels.json --gpu h100"))
    .action(async (record: string, options: BoundsOptions) => {
      await refuseOutputs(options);
      const { kernels, batch, size, dtype, filter } = await readKernelRecord(record);
      const gpu = gpuSpeeds[options.gpu];
      const bounds = kernels.flatMap((kernel) => (kernel.count > 0 ? (kernelBounds(kernel, gpu) ?? []) : []));
      if (bounds.length === 0) {
        throw new InputError(
          `${record}: no kernel is of NVIDIA's compiler; make a record with bench/kernels.js --gpu rtx3090`,
        );
      }
      const us = (ms: number) => (1000 * ms).toFixed(1);
      const rows = bounds.map((b) => [
        `${b.label} ${b.shape}`,
        String(b.count),
        ...[b.issue, b.matrix, b.loads, b.bytes].map(us),
        b.tail.toFixed(2),
        us(b.total),
      ]);
      const total = bounds.reduce((sum, b) => sum + b.total, 0);
      const head = ["kernel", "times", "issue µs", "matrix µs", "loads µs", "bytes µs", "tail", "at least µs"];
      for (const line of table(head, rows)) console.log(line);
      const framesPerSecond = (1000 * batch) / total;
      const all = filter === undefined;
      console.log(
        `${gpu.name}, ${size.height}x${size.width}, ${dtype}: at least ${us(total)} µs for ${batch} frames` +
          (all ? `, at most ${framesPerSecond.toFixed(0)} frames/s` : ` in these kernels alone (--filter ${filter})`),
      );
      if (options.json !== undefined) {
        const report = { gpu, size, batch, dtype, bounds, totalMs: total, ...(all && { framesPerSecond }) };
        await writeFileAtomic(options.json, `${JSON.stringify(report, null, 2)}\n`);
      }
    });
}
