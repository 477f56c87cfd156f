import { writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { NoAdapterError } from "../../../src/errors.js";
import { listAdapters, noGpu, openNodeGpu, slowNotice } from "../../../src/node/adapters/gpu.js";
import { runInChild } from "../../support/child.js";
import { scratch } from "../../support/folders.js";
import { testAdapter, useGpu } from "../../support/gpu.js";

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
  const at = scratch();
  let environment: Record<string, string>;
  beforeAll(() => {
    // The manifest names a driver that does not exist, so the loader finds none at all.
    const manifest = at("none.json");
    const icd = { library_path: at("none.so"), api_version: "1.0.0" };
    writeFileSync(manifest, JSON.stringify({ file_format_version: "1.0.0", ICD: icd }));
    environment = { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest, SDMAE_ADAPTER: "" };
  });

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
      /driver; Mesa's lavapipe is four to five times as fast: apt install mesa-vulkan-drivers /,
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
    "; Mesa's lavapipe is four to five times as fast: apt install mesa-vulkan-drivers (Debian 13, Ubuntu 24.04 or newer)";

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
