import { Command, Option } from "commander";
import { refuseOutputs } from "../../cli/terminal/outputs.js";
import { table } from "../../cli/terminal/table.js";
import { InputError } from "../../errors.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { type MeasuredKernel, readKernelRecord } from "./compare.js";

/** What a GPU can do, from its maker's data sheet. */
export interface GpuSpeeds {
  name: string;
  /** Streaming multiprocessors; each has four schedulers, which issue an instruction of a warp per clock. */
  sms: number;
  clockHz: number;
  /** Of an SM per clock: float16 with sums in float32, by the instructions that the driver uses (HMMA). */
  matrixFlops: number;
  /** From memory; and from the second-level cache, for kernels all of whose tensors fit into it. */
  bytesPerSecond: number;
  cacheBytes: number;
  cacheBytesPerSecond: number;
}

/** The cards that a record of NVIDIA's driver can be worked out for. */
export const gpuSpeeds: Readonly<Record<string, GpuSpeeds>> = {
  // 71 TFLOP/s at 1.695 GHz.
  rtx3090: {
    ...{ name: "RTX 3090", sms: 82, clockHz: 1.695e9, matrixFlops: 512 },
    ...{ bytesPerSecond: 936e9, cacheBytes: 6e6, cacheBytesPerSecond: 2e12 },
  },
  // 989 TFLOP/s at 1.83 GHz by Hopper's own instructions, of which HMMA reaches 62 %.
  h100: {
    ...{ name: "H100 SXM", sms: 132, clockHz: 1.755e9, matrixFlops: 0.62 * 4096 },
    ...{ bytesPerSecond: 3.35e12, cacheBytes: 50e6, cacheBytesPerSecond: 5.5e12 },
  },
};

const lanes = 32;
const schedulers = 4;
/** Bytes that an SM moves per clock between registers and workgroup memory or L1. */
const loadBytes = 128;
/** Floating-point operations of an instruction for a warp: HMMA of 16x8x16, or a multiply-add of each lane. */
const flopsOf = { matrix: 2 * 16 * 8 * 16, "multiply-add": 2 * lanes };

/** The least milliseconds that all dispatches of a kernel take, by what bounds them. */
export interface KernelBounds {
  label: string;
  shape: string;
  count: number;
  issue: number;
  matrix: number;
  loads: number;
  bytes: number;
  /** How much longer the last round of workgroups makes it: 1 if they fill all SMs evenly. */
  tail: number;
  /** The largest bound, times the tail for what SMs do. */
  total: number;
}

/**
 * The bounds of a kernel from its machine code. What lies outside of the main loop is counted once: a kernel with
 * several loops takes longer.
 */
export function kernelBounds(kernel: MeasuredKernel, gpu: GpuSpeeds): KernelBounds | undefined {
  const { label, shape, count, stats, workgroups, flops, bytes } = kernel;
  // Older records say less.
  if (stats?.compiler !== "nak" || stats.invocations === undefined || workgroups === undefined) return undefined;
  const { loop, memoryBytes = { workgroup: 0, global: 0 } } = stats;
  const warps = workgroups * Math.ceil(stats.invocations / lanes);
  // Split kernels multiply three times: high by high, high by low, low by high.
  const work = /\(split\)/.test(label) ? 3 * flops : flops;
  const ops = loop ? work / flopsOf[loop.op] : 0;
  const turns = loop && loop.note !== "unrolled" ? ops / loop.ops : 0;
  /** Of all warps: in the loop as often as it turns, outside once. */
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

/** `bench/bounds.js`: how fast the kernels can be on a card at best. */
export function boundsCommand(): Command {
  return new Command("bounds")
    .description(
      "Works out from a record of `bench/kernels.js --json` of an NVIDIA card how fast each kernel can be at best: by the instructions that have to " +
        "be issued, by the matrix units, by loads from workgroup memory and caches, and by the bytes that come from memory, or from the second-level cache if they fit.",
    )
    .argument("<record>", "what bench/kernels.js wrote")
    .addOption(new Option("--gpu <name>", "the card").choices(Object.keys(gpuSpeeds)).default("rtx3090"))
    .option("--json <file>", "write the bounds to a file")
    .action(async (record: string, options: BoundsOptions) => {
      await refuseOutputs(options);
      const { kernels, batch, size, dtype, filter } = await readKernelRecord(record);
      const gpu = gpuSpeeds[options.gpu];
      const bounds = kernels.flatMap((kernel) => (kernel.count > 0 ? (kernelBounds(kernel, gpu) ?? []) : []));
      if (bounds.length === 0) {
        throw new InputError(
          `${record}: has no kernel of NVIDIA's compiler (bench/kernels.js --gpu rtx3090 makes one)`,
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
          (all ? `, at most ${framesPerSecond.toFixed(0)} frames/s` : ` in these kernels (--filter ${filter}) alone`),
      );
      if (options.json !== undefined) {
        const report = { gpu, size, batch, dtype, bounds, totalMs: total, ...(all && { framesPerSecond }) };
        await writeFileAtomic(options.json, `${JSON.stringify(report, null, 2)}\n`);
      }
    });
}
