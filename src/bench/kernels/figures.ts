// Figures that follow from the statistics of a kernel's machine code.
import type { MeasuredKernel } from "./compare.js";
import type { KernelStats } from "./stats.js";
import type { CompiledKernel } from "./worker.js";

/**
 * What an SM has besides registers, by the laboratory's name of the GPU. NAK's figure of occupancy
 * ignores it.
 */
const multiprocessors: Readonly<
  Record<string, { warps: number; workgroups: number; bytes: number; reserved: number }>
> = {
  rtx3090: { warps: 48, workgroups: 16, bytes: 102400, reserved: 1024 },
  rtx2080: { warps: 32, workgroups: 16, bytes: 65536, reserved: 0 },
};

/** Resident warps of an SM: what registers, workgroup memory and whole workgroups allow. */
export function residentWarps(gpu: string | undefined, stats: KernelStats): number | undefined {
  const sm = multiprocessors[gpu ?? ""];
  const { occupancy, invocations, workgroupBytes } = stats;
  if (!sm || !invocations || occupancy?.unit !== "warps/SM") return undefined;
  const warps = Math.ceil(invocations / 32);
  const bytes = workgroupBytes > 0 ? workgroupBytes + sm.reserved : 0;
  const byMemory = bytes > 0 ? Math.floor(sm.bytes / bytes) : sm.workgroups;
  return warps * Math.min(Math.floor(Math.min(occupancy.value, sm.warps) / warps), sm.workgroups, byMemory);
}

/** Adds the figures that follow from a kernel's statistics. */
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
