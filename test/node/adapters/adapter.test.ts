import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeviceLostError, GpuError, NoAdapterError } from "../../../src/errors.js";
import { describeAdapter, Gpu } from "../../../src/gpu/gpu.js";
import { listAdapters, noGpu, openNodeGpu, slowNotice } from "../../../src/node/adapters/gpu.js";
import { matrixUnits } from "../../../src/ops/variants.js";
import { runInChild } from "../../support/child.js";
import { testAdapter, useGpu } from "../../support/gpu.js";

function info(fields: Partial<GPUAdapterInfo>): GPUAdapterInfo {
  const empty = { vendor: "", architecture: "", device: "", description: "", isFallbackAdapter: false };
  return { ...empty, ...fields } as GPUAdapterInfo;
}

describe("kinds of adapters", () => {
  it("follow from what an adapter says about itself", () => {
    const kind = (fields: Partial<GPUAdapterInfo>) => describeAdapter(info(fields)).kind;
    expect(kind({ vendor: "nvidia", description: "NVIDIA GeForce RTX 3090" })).toBe("gpu");
    expect(kind({ description: "SwiftShader Device (LLVM 16.0.0)" })).toBe("swiftshader");
    expect(kind({ vendor: "mesa", device: "llvmpipe (LLVM 19.1.7, 256 bits)" })).toBe("lavapipe");
    expect(kind({ description: "Microsoft Basic Render Driver", isFallbackAdapter: true })).toBe("software");
  });
});

describe("matrix units", () => {
  /** Five of the fourteen that webgpu 0.6.2 lists on an RTX 3090 (NVK). */
  const rtx3090 = [
    { componentType: "f16", resultComponentType: "f16", M: 16, N: 16, K: 16 },
    { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 },
    { componentType: "f16", resultComponentType: "f32", M: 16, N: 8, K: 16 },
    { componentType: "f16", resultComponentType: "f32", M: 16, N: 8, K: 8 },
    { componentType: "i8", resultComponentType: "i32", M: 8, N: 8, K: 16 },
  ];
  const all = ["subgroups", "subgroup-size-control", "shader-f16", "chromium-experimental-subgroup-matrix"];
  const usable = (sizes: [number, number], features: string[], subgroupMatrixConfigs: unknown = rtx3090) =>
    matrixUnits({
      adapter: describeAdapter(
        info({ subgroupMinSize: sizes[0], subgroupMaxSize: sizes[1], subgroupMatrixConfigs } as object),
      ),
      features: new Set(features),
    });

  it("are those of float16 with sums in float32, as a real adapter lists them", () => {
    const sides = [
      [16, 16, 16],
      [16, 8, 16],
      [16, 8, 8],
    ].map(([m, n, k]) => ({ input: "f16", result: "f32", m, n, k, lanes: 32, requested: false }));
    expect(usable([32, 32], all)).toEqual(sides);
  });

  it("are found in the lists of older Dawns too", () => {
    const older = rtx3090.map(({ resultComponentType, ...rest }) => ({ ...rest, resultType: resultComponentType }));
    expect(usable([32, 32], all, older)).toEqual(usable([32, 32], all));
  });

  it("get subgroups of 32 if the adapter has several sizes and lets kernels choose", () => {
    expect(usable([32, 64], all)[0]).toMatchObject({ lanes: 32, requested: true });
    expect(usable([64, 128], all)[0]).toMatchObject({ lanes: 64, requested: true });
    expect(usable([8, 16], all)[0]).toMatchObject({ lanes: 16, requested: true });
  });

  it("are not used if something is missing, and the reason is given", () => {
    const without = (name: string) => all.filter((feature) => feature !== name);
    expect(usable([32, 64], without("subgroup-size-control"))).toBe("the size of a subgroup is unknown");
    expect(usable([32, 32], without("shader-f16"))).toMatch(/float16/);
    expect(usable([32, 32], without("chromium-experimental-subgroup-matrix"))).toBe("WebGPU offers none here");
    expect(usable([32, 32], all, rtx3090.slice(4))).toBe("none multiplies float16 with sums in float32");
    const lavapipe = { kind: "lavapipe", subgroupSize: 16 } as const;
    expect(matrixUnits({ adapter: { ...describeAdapter(info({})), ...lavapipe }, features: new Set(all) })).toBe(
      "lavapipe has them with subgroups of 8 only, not of 16 (LP_NATIVE_VECTOR_WIDTH=256 sets that)",
    );
    expect(usable([32, 32], all, [{ ...rtx3090[1], N: 32 }])).toBe("the sides are not 8 or 16: 16x32x16");
  });
});

describe(`the adapter "${testAdapter}"`, () => {
  const gpu = useGpu();

  it("is the one that was asked for", () => {
    const { kind } = gpu().adapter;
    if (testAdapter === "swiftshader" || testAdapter === "lavapipe") expect(kind).toBe(testAdapter);
    else expect(kind).not.toBe("software");
  });

  it("has what kernels need by default", () => {
    expect(gpu().limits.maxComputeInvocationsPerWorkgroup).toBeGreaterThanOrEqual(256);
    expect(gpu().limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
    expect(gpu().limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(2 ** 27);
  });

  it("is listed, with its features", async () => {
    const listed = await listAdapters();
    expect(listed.map((a) => a.kind)).toContain(gpu().adapter.kind);
    const own = listed.find((a) => a.kind === gpu().adapter.kind)!;
    for (const feature of gpu().features) expect(own.features).toContain(feature);
    const order = ["gpu", "lavapipe", "software", "swiftshader"];
    const ranks = listed.map((a) => order.indexOf(a.kind));
    expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
  });

  it("can be opened by its name", async () => {
    const found = await listAdapters();
    const own = found.find((a) => a.kind === gpu().adapter.kind)!;
    const again = await openNodeGpu({ adapter: own.name });
    expect(again.adapter.kind).toBe(own.kind);
    again.close();
  });
});

describe("a missing adapter", () => {
  it("is named in the error, with the adapters of the machine", async () => {
    const error = await openNodeGpu({ adapter: "Voodoo 2" }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(NoAdapterError);
    expect((error as Error).message).toMatch(/^no adapter named "Voodoo 2"; this machine has .*swiftshader/);
    expect((error as Error).message).not.toContain("\n");
  });

  it("that is a GPU: the error says how to compute on the CPU", async () => {
    const gpus = (await listAdapters()).filter((a) => a.kind === "gpu");
    if (gpus.length > 0) return;
    const error = await openNodeGpu({ adapter: "gpu" }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(NoAdapterError);
    expect((error as Error).message).toMatch(/^no GPU found by WebGPU: \S+ .*to compute on the CPU with /);
  });
});

describe("a machine without any Vulkan driver", () => {
  let folder: string;
  let environment: Record<string, string>;
  beforeAll(() => {
    // The manifest names a driver that does not exist, so the loader finds none at all.
    folder = mkdtempSync(join(tmpdir(), "sdmae-no-driver-"));
    const manifest = join(folder, "none.json");
    const icd = { library_path: join(folder, "none.so"), api_version: "1.0.0" };
    writeFileSync(manifest, JSON.stringify({ file_format_version: "1.0.0", ICD: icd }));
    environment = { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest, SDMAE_ADAPTER: "" };
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("and without SwiftShader: the error says what to install", async () => {
    const { code, stdout } = await runInChild(
      `import { NoAdapterError } from "./src/errors.ts";
       import { openNodeGpu } from "./src/node/adapters/gpu.ts";
       for (const adapter of ["auto", "gpu", "swiftshader", "lavapipe"]) {
         try {
           await openNodeGpu({ adapter, swiftShaderArchive: null });
           console.log("opened");
         } catch (error) {
           console.log(error instanceof NoAdapterError, error.message);
         }
       }`,
      environment,
    );
    const lines = stdout.trim().split("\n");
    expect(lines).toHaveLength(4);
    for (const line of lines) expect(line).toMatch(/^true no /);
    if (process.platform !== "linux") return;
    const [auto, gpu, swiftShader, lavapipe] = lines;
    expect(auto).toMatch(
      /found: install your GPU's Vulkan driver, or lavapipe .*apt install mesa-.*npm install @sparticuz\/chromium$/,
    );
    expect(gpu).toMatch(
      /no GPU found by WebGPU, and no software adapter: install your GPU's Vulkan driver, or lavapipe /,
    );
    expect(swiftShader).toMatch(
      /no SwiftShader here: npm install @sparticuz\/chromium \(Linux x64\), or leave out adapter$/,
    );
    expect(lavapipe).toMatch(/no adapter named "lavapipe"; this machine has none; to install it: apt install mesa-/);
    expect(code).toBe(0);
  });

  it("falls back to SwiftShader, says so in one line, once, computes, and lets Node exit", async () => {
    if (process.platform !== "linux" || process.arch !== "x64") return;
    const { code, signal, stdout } = await runInChild(
      `import { openNodeGpu } from "./src/node/adapters/gpu.ts";
       const gpu = await openNodeGpu({ onNotice: (line) => console.log("notice:", line) });
       console.log(gpu.adapter.kind);
       const buffer = gpu.createBuffer("b", 16, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
       gpu.device.queue.writeBuffer(buffer, 0, Uint32Array.of(1, 2, 3, 4));
       await buffer.mapAsync(GPUMapMode.READ);
       console.log(new Uint32Array(buffer.getMappedRange()).join());
       buffer.unmap();
       gpu.close();
       (await openNodeGpu({ onNotice: (line) => console.log("notice:", line) })).close();`,
      environment,
    );
    const lines = stdout.trim().split("\n");
    expect(lines[0]).toMatch(
      /^notice: no GPU found: running on the CPU with the software adapter swiftshader; .* apt install mesa-vulkan-drivers /,
    );
    expect(lines.slice(1)).toEqual(["swiftshader", "1,2,3,4"]);
    expect({ code, signal }).toEqual({ code: 0, signal: null });
  });
});

describe("the error for a GPU that is not there", () => {
  const lines = (kind: Parameters<typeof noGpu>[0], platform: string) => noGpu(kind, "leave out --adapter", platform);

  it("says how to compute on the CPU, with the fastest adapter", () => {
    expect(lines("lavapipe", "linux")).toBe(
      "no GPU found by WebGPU: leave out --adapter to compute on the CPU with lavapipe, or install your GPU's Vulkan driver",
    );
    expect(lines("swiftshader", "linux")).toMatch(
      /driver; Mesa's lavapipe is about five times as fast: apt install mesa-vulkan-drivers /,
    );
    expect(lines("software", "win32")).toMatch(/on the CPU with software, or install your GPU's driver$/);
    expect(lines(undefined, "darwin")).toMatch(/and no software adapter: install your GPU's driver$/);
  });

  it("names the option as the command line does, or the environment variable", async () => {
    const program = `import { openNodeGpu } from "./src/node/adapters/gpu.ts";
      const error = await openNodeGpu({ adapter: "swiftshader", swiftShaderArchive: null }).catch((e) => e);
      console.log(error.message);
      console.log(error.onCommandLine);`;
    const run = async (adapter: string) =>
      (await runInChild(program, { SDMAE_ADAPTER: adapter })).stdout
        .trim()
        .split("\n")
        .map((line) => line.split(", or ")[1]);
    expect(await run("")).toEqual(["leave out adapter", "leave out --adapter"]);
    expect(await run("swiftshader")).toEqual(["unset SDMAE_ADAPTER", "unset SDMAE_ADAPTER"]);
  });
});

describe("the notice of a software adapter", () => {
  const lavapipe =
    "; Mesa's lavapipe is about five times as fast: apt install mesa-vulkan-drivers (Debian 13, Ubuntu 24.04 or newer)";

  it("names lavapipe as the faster way on Linux, if it is SwiftShader", () => {
    expect(slowNotice("swiftshader", "linux")).toBe(
      `no GPU found: running on the CPU with the software adapter swiftshader; expect about 0.2 s per frame at 160x320, 1 s at 320x640, on two cores${lavapipe}`,
    );
    expect(slowNotice("swiftshader", "win32")).not.toContain("lavapipe");
  });

  it("gives the time per frame", () => {
    expect(slowNotice("lavapipe", "linux")).toMatch(
      /adapter lavapipe; expect about 0\.04 s per frame at 160x320, .*cores$/,
    );
    expect(slowNotice("software", "win32")).toMatch(/adapter software; expect a second or more per frame$/);
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
    // No driver loses its device on demand, so a fake device does.
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
    const adapter = { info: info({}), limits: {}, features: new Set<string>(), requestDevice: async () => device };
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
    const adapter = { info: info({ description: "Voodoo 2" }), limits: {}, features: new Set(), requestDevice };
    await expect(Gpu.open(adapter as unknown as GPUAdapter)).rejects.toThrow(
      new GpuError('no device on adapter "Voodoo 2": Error: out of memory'),
    );
  });
});
