import { describe, expect, it } from "vitest";
import { type GpuSpeeds, kernelBounds } from "../../../src/bench/kernels/bounds.js";
import type { MeasuredKernel } from "../../../src/bench/kernels/compare.js";

/**
 * Ten SMs at 1 GHz: 40 instructions of a warp, 5,120 matrix FLOPs and 1,280 bytes per nanosecond.
 */
const gpu: GpuSpeeds = {
  ...{ name: "ten", sms: 10, clockHz: 1e9, matrixFlops: 512 },
  ...{ bytesPerSecond: 1e12, cacheBytes: 1e6, cacheBytesPerSecond: 4e12 },
};
/**
 * 20 workgroups of 4 warps. The loop of 100 instructions and 20 moves has 32 HMMA, and moves 64
 * bytes per lane.
 */
const kernel: MeasuredKernel = {
  ...{ label: "linear (matrix)", node: "x", place: 0, shape: "y", isChosen: true, count: 3 },
  ...{ workgroups: 20, flops: 80 * 32 * 8 * 4096, bytes: 500_000 },
  stats: {
    ...{ compiler: "nak", instructions: 420, registers: 100, spills: 0, privateBytes: 0, workgroupBytes: 0 },
    ...{ invocations: 128, memoryBytes: { workgroup: 80, global: 48 } },
    loop: {
      ...{ op: "matrix", ops: 32, instructions: 100, moves: 20, totalOps: 32 },
      memoryBytes: { workgroup: 40, global: 24 },
    },
  },
};

describe("the bounds of a kernel", () => {
  it("are the times of instructions, matrix units, loads and bytes, computed by hand", () => {
    const bounds = kernelBounds(kernel, gpu);
    // 80 warps turn 8 times: 8 * 120 instructions and 300 outside the loop; 256 HMMA; 32 lanes of
    // 8 * 64 bytes, and 64 outside.
    expect(bounds?.issue).toBeCloseTo((3 * 80 * (8 * 120 + 300)) / 40 / 1e6, 12);
    expect(bounds?.matrix).toBeCloseTo((3 * 80 * 256 * 4096) / 5120 / 1e6, 12);
    expect(bounds?.loads).toBeCloseTo((3 * 80 * 32 * (8 * 64 + 64)) / 1280 / 1e6, 12);
    expect(bounds?.bytes).toBeCloseTo((3 * 500_000) / 4e12 / 1e-3, 12);
    expect(bounds?.tail).toBe(1);
    expect(bounds?.total).toBe(bounds?.matrix);
  });

  it("grow by the last round of workgroups, by memory beyond the cache, and threefold for split values", () => {
    const uneven = kernelBounds({ ...kernel, workgroups: 15 }, gpu);
    expect(uneven?.tail).toBeCloseTo(20 / 15, 12);
    const large = kernelBounds({ ...kernel, bytes: 2_000_000 }, gpu);
    expect(large?.bytes).toBeCloseTo((3 * 2_000_000) / 1e12 / 1e-3, 12);
    const split = kernelBounds({ ...kernel, label: "linear (split)" }, gpu);
    expect(split?.matrix).toBeCloseTo(3 * (kernelBounds(kernel, gpu)?.matrix ?? 0), 12);
  });

  it("are unknown for another compiler", () => {
    expect(kernelBounds({ ...kernel, stats: { ...kernel.stats, compiler: "aco" } as never }, gpu)).toBeUndefined();
  });
});
