import { describe, expect, it } from "vitest";
import { DeviceLostError, GpuError } from "../../src/errors.js";
import { describeAdapter, Gpu } from "../../src/gpu/gpu.js";
import { openNodeGpu } from "../../src/node/adapters/gpu.js";
import { adapterInfo, testAdapter } from "../support/gpu.js";

describe("kinds of adapters", () => {
  it("follow from what an adapter says about itself", () => {
    const kind = (fields: Partial<GPUAdapterInfo>) => describeAdapter(adapterInfo(fields)).kind;
    expect(kind({ vendor: "nvidia", description: "NVIDIA GeForce RTX 3090" })).toBe("gpu");
    expect(kind({ description: "SwiftShader Device (LLVM 16.0.0)" })).toBe("swiftshader");
    expect(kind({ vendor: "mesa", device: "llvmpipe (LLVM 19.1.7, 256 bits)" })).toBe("lavapipe");
    expect(kind({ description: "Microsoft Basic Render Driver", isFallbackAdapter: true })).toBe("software");
  });
});

describe("errors of the GPU", () => {
  it("that nothing caught become a GpuError at finish()", async () => {
    const gpu = await openNodeGpu({ adapter: testAdapter });
    try {
      await gpu.finish();
      // A buffer cannot have both usages.
      gpu.device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
      const error = await gpu.finish().catch((e: unknown) => e);
      expect(error).toBeInstanceOf(GpuError);
      expect((error as Error).message).toMatch(/^the GPU reported an error: .*usage/i);
      expect((error as Error).message).not.toContain("\n");
      // The error stays: later results cannot be trusted.
      await expect(gpu.finish()).rejects.toThrow(GpuError);
    } finally {
      gpu.close();
    }
  });

  it("in a kernel name the kernel and the line", async () => {
    const gpu = await openNodeGpu({ adapter: testAdapter });
    try {
      const wgsl = "@compute @workgroup_size(1)\nfn f() { let x: u32 = 1.5; }";
      const error = await gpu.pipeline("broken", wgsl, "f").catch((e: unknown) => e);
      expect(error).toBeInstanceOf(GpuError);
      expect((error as Error).message).toMatch(/^kernel broken does not compile: line 2: /);
    } finally {
      gpu.close();
    }
  });

  it("a buffer beyond the limit is refused with its name and sizes", async () => {
    const gpu = await openNodeGpu({ adapter: testAdapter });
    try {
      expect(() => gpu.createBuffer("frames", 2 ** 50, GPUBufferUsage.STORAGE)).toThrow(
        /^frames needs a buffer of 1125899906842624 bytes; adapter .* allows \d+/,
      );
      expect(gpu.allocatedBytes).toBe(0);
      const buffer = gpu.createBuffer("odd", 13, GPUBufferUsage.STORAGE);
      expect(gpu.allocatedBytes).toBe(16);
      gpu.destroyBuffer(buffer);
      expect(gpu.allocatedBytes).toBe(0);
    } finally {
      gpu.close();
    }
  });

  it("losing the device is a DeviceLostError", async () => {
    // No driver is reset on demand, so a fake device says that it was.
    let lose: (info: { reason: string; message: string }) => void = () => {};
    const device = {
      features: new Set<string>(),
      limits: {},
      lost: new Promise((resolve) => {
        lose = resolve;
      }),
      addEventListener() {},
      queue: { onSubmittedWorkDone: async () => {} },
      destroy() {},
    };
    const adapter = {
      info: adapterInfo({}),
      limits: {},
      features: new Set<string>(),
      requestDevice: async () => device,
    };
    const released: string[] = [];
    const gpu = await Gpu.open(adapter as unknown as GPUAdapter, () => released.push("adapter"));
    await gpu.finish();
    lose({ reason: "unknown", message: "the driver\nwas reset" });
    const error = await gpu.finish().catch((e: unknown) => e);
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(error).toBeInstanceOf(GpuError);
    expect((error as Error).message).toBe("the GPU device was lost: the driver was reset");
    expect(() => gpu.check()).toThrow(DeviceLostError);
    gpu.close();
    expect(released).toEqual(["adapter"]);
  });

  it("a device that somebody else destroys is lost", async () => {
    const gpu = await openNodeGpu({ adapter: testAdapter });
    gpu.device.destroy();
    await gpu.device.lost;
    expect(() => gpu.check()).toThrow(DeviceLostError);
    gpu.close();
  });

  it("closing a device is not a loss", async () => {
    const gpu = await openNodeGpu({ adapter: testAdapter });
    gpu.close();
    await gpu.device.lost;
    expect(() => gpu.check()).not.toThrow();
  });

  it("no device on an adapter is a GpuError that names the adapter", async () => {
    const requestDevice = async () => {
      throw new Error("out of\nmemory");
    };
    const adapter = { info: adapterInfo({ description: "Voodoo 2" }), limits: {}, features: new Set(), requestDevice };
    await expect(Gpu.open(adapter as unknown as GPUAdapter)).rejects.toThrow(
      new GpuError('no device on adapter "Voodoo 2": Error: out of memory'),
    );
  });
});
