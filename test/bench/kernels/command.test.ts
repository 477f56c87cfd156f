import { execFile } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { runBenchmark } from "../../../src/bench/index.js";
import {
  compareKernels,
  comparisonLines,
  incomparable,
  type KernelRecord,
  type MeasuredKernel,
  readKernelRecord,
} from "../../../src/bench/kernels/compare.js";
import { residentWarps, withFigures } from "../../../src/bench/kernels/figures.js";
import { type KernelModel, listKernels, modelNodes } from "../../../src/bench/kernels/list.js";
import type { KernelStats, LoopStats } from "../../../src/bench/kernels/stats.js";
import type { Target } from "../../../src/gpu/gpu.js";
import { withBundle } from "../../support/child.js";
import { captured, expectRefusal } from "../../support/cli.js";
import { scratch } from "../../support/folders.js";
import { testAdapter, useGpu } from "../../support/gpu.js";
import { laboratory, laboratoryMissing } from "../../support/laboratory.js";
import { tinyConfig } from "../../support/model.js";

const at = scratch();
const gpu = useGpu("null");

/** `node bench/kernels.js …` in this process, if it ends before anything is compiled. */
const kernels = (...args: string[]) => captured(() => runBenchmark("kernels", args));

/** `node bench/kernels.js …` */
const kernelsProgram = `
  import { runBenchmark } from "./src/bench/index.ts";
  process.exitCode = await runBenchmark("kernels", process.argv.slice(2));
`;
const run = (...args: string[]) =>
  withBundle(kernelsProgram, async (file) => {
    const env = { ...process.env, GPU_LAB: laboratory };
    const ran = promisify(execFile)(process.execPath, [file, ...args], { env, maxBuffer: 1e8 });
    return await ran.then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  });

const model: KernelModel = { config: tinyConfig, size: { height: 32, width: 48 }, batch: 2, dtype: "f32" };

/** A GPU with shuffles and two kinds of attention and matmul. */
const target = (extra: Partial<Target> = {}): Target => {
  const { adapter, features, limits } = gpu();
  return { adapter: { ...adapter, kind: "gpu", subgroupSize: 32 }, features, limits, ...extra };
};

const loop = (instructions: number, ops = 10): LoopStats => ({
  op: "matrix",
  ops,
  instructions,
  moves: 0,
  totalOps: ops,
});
const stats = (of: Partial<KernelStats> = {}): KernelStats => ({
  ...{ compiler: "nak", instructions: 1000, registers: 100, spills: 0, privateBytes: 0, workgroupBytes: 0 },
  ...{ occupancy: { value: 16, unit: "warps/SM" }, loop: loop(40) },
  ...of,
});
const kernel = (of: Partial<MeasuredKernel> = {}): MeasuredKernel =>
  withFigures(
    {
      ...{ label: "linear (matrix)", node: "blocks.0.linear", place: 0, shape: "linear f16 1x2x3x4", count: 3 },
      ...{ variant: "matrix 4x4", isChosen: true, stats: stats(), workgroups: 1, flops: 0, bytes: 0 },
      ...of,
    },
    undefined,
  );
const record = (of: Partial<KernelRecord> = {}): KernelRecord => ({
  ...{ format: "sdmae kernels", date: "2026-01-01", versions: {}, gpu: "rtx3090", adapter: { description: "NVK" } },
  ...{ size: { height: 320, width: 640 }, patch: 16, batch: 16, dtype: "f16", kernels: [kernel()] },
  ...of,
});

describe("the kernels of a model", () => {
  it("are those of its graph, each text once, with the number of its dispatches", () => {
    const nodes = modelNodes(target(), model);
    const dispatches = nodes.nodes.flatMap((node) => node.op.kernels(node, target()));
    const listed = listKernels(target(), [nodes]);
    expect(listed.reduce((sum, { count }) => sum + count, 0)).toBe(dispatches.length);
    expect(listed.length).toBe(new Set(dispatches.map(({ wgsl, entryPoint }) => entryPoint + wgsl)).size);
    expect(listed.every(({ isChosen }) => isChosen)).toBe(true);
    // Kernels of a second model that are the same are counted.
    const twice = listKernels(target(), [nodes, nodes]);
    expect(twice.map(({ count }) => count)).toEqual(listed.map(({ count }) => 2 * count));
  });

  it("include all candidates on request, and mark those that are used", () => {
    const chosen = listKernels(target(), [modelNodes(target(), model)]);
    const all = listKernels(target(), [modelNodes(target(), { ...model, variants: true })]);
    expect(all.length).toBeGreaterThan(chosen.length);
    expect(all.filter(({ isChosen }) => isChosen).map(({ wgsl }) => wgsl)).toEqual(chosen.map(({ wgsl }) => wgsl));
    const linears = all.filter(({ shape }) => shape.startsWith("linear "));
    expect(new Set(linears.map(({ variant }) => variant)).size).toBeGreaterThan(1);
    expect(linears.filter(({ isChosen }) => !isChosen).every(({ count }) => count === 0)).toBe(true);
  });

  it("are of the forced kind", () => {
    const plain = target({ forcedKind: "plain" });
    const labels = listKernels(plain, [modelNodes(plain, model)]).map(({ label }) => label);
    expect(labels).toContain("linear");
    expect(labels.filter((label) => label.includes("tiled"))).toEqual([]);
  });

  it("include those of training, or are only those", () => {
    const labels = (training: KernelModel["training"]) =>
      new Set(listKernels(target(), [modelNodes(target(), { ...model, training })]).map(({ label }) => label));
    expect(labels(true)).toContain("frame scores");
    expect(labels(true)).toContain("adamw");
    expect(labels("alone")).toContain("adamw");
    expect(labels("alone")).not.toContain("frame scores");
    expect(labels(false)).not.toContain("adamw");
  });
});

describe("the figures of a kernel", () => {
  it("are the loop's instructions per op, and for attention per score of a lane", () => {
    expect(kernel()).toMatchObject({ perOp: 4 });
    expect(kernel().perScore).toBeUndefined();
    expect(kernel({ scoresPerTurn: 16, stats: stats({ loop: loop(836, 16) }) })).toMatchObject({ perScore: 52.25 });
    expect(kernel({ stats: stats({ loop: undefined }) }).perOp).toBeUndefined();
  });

  it("are the resident warps: whole workgroups, as registers, memory and slots allow", () => {
    const resident = (value: number, invocations: number, workgroupBytes: number, gpu = "rtx3090") =>
      residentWarps(gpu, stats({ occupancy: { value, unit: "warps/SM" }, invocations, workgroupBytes }));
    // 20 warps by registers are two workgroups of eight.
    expect(resident(20, 256, 0)).toBe(16);
    // 100 KiB hold three workgroups of 32 KiB, each with another KiB.
    expect(resident(48, 128, 32 * 1024)).toBe(12);
    // 16 workgroups at most.
    expect(resident(48, 64, 0)).toBe(32);
    expect(resident(48, 64, 0, "rtx2080")).toBe(32);
    expect(resident(48, 256, 0, "rtx2080")).toBe(32);
    expect(resident(48, 256, 0, "rx6800")).toBeUndefined();
    expect(
      residentWarps("rtx3090", stats({ occupancy: { value: 8, unit: "waves" }, invocations: 64 })),
    ).toBeUndefined();
  });
});

describe("a comparison", () => {
  const compared = (now: Partial<MeasuredKernel>, older: Partial<MeasuredKernel> = {}) =>
    compareKernels([kernel(now)], [kernel(older)]);
  const worse = (now: Partial<MeasuredKernel>, older: Partial<MeasuredKernel> = {}) =>
    compared(now, older).changed.flatMap((change) => change.worse);

  it("finds nothing if nothing changed", () => {
    expect(compared({})).toEqual({ changed: [], added: [], gone: [] });
    expect(compared({ count: 4 })).toEqual({ changed: [], added: [], gone: [] });
  });

  it("tells worse kernels from different ones", () => {
    expect(worse({ stats: stats({ loop: loop(41) }) })).toEqual(["more instructions per op"]);
    expect(worse({ stats: stats({ loop: loop(39) }) })).toEqual([]);
    expect(worse({ stats: stats({ loop: loop(78, 20) }) })).toEqual([]);
    expect(worse({ stats: stats({ registers: 200 }) })).toEqual([]);
    expect(worse({ stats: stats({ instructions: 9000 }) })).toEqual([]);
    expect(compared({ stats: stats({ instructions: 9000 }) }).changed.length).toBe(1);
    expect(worse({ stats: stats({ registers: 200, occupancy: { value: 12, unit: "warps/SM" } }) })).toEqual([
      "lower occupancy",
    ]);
    expect(worse({ stats: stats({ occupancy: { value: 20, unit: "warps/SM" } }) })).toEqual([]);
    expect(worse({ stats: stats({ spills: 2 }) })).toEqual(["more spills"]);
    expect(worse({}, { stats: stats({ spills: 2 }) })).toEqual([]);
    expect(worse({ stats: undefined, error: "line 3: what" })).toEqual(["does not compile"]);
    const score = (instructions: number) => ({
      scoresPerTurn: 16,
      stats: stats({ loop: loop(instructions, instructions) }),
    });
    expect(worse(score(330), score(320))).toEqual(["more instructions per score"]);
  });

  it("compares a call's variant with the one that it used before, but not their ops", () => {
    const tiled = { label: "linear (tiled)", variant: "tiled 64x128", stats: stats({ loop: loop(1), registers: 50 }) };
    const change = compared({}, tiled).changed[0];
    expect(change?.older.label).toBe("linear (tiled)");
    expect(change?.worse).toEqual([]);
    expect(worse({ stats: stats({ spills: 1 }) }, tiled)).toEqual(["more spills"]);
  });

  it("pairs candidates by name, and lists new and missing ones", () => {
    const [a, b, c] = ["a", "b", "c"].map((variant) => kernel({ variant, isChosen: false }));
    const { changed, added, gone } = compareKernels([a, b], [b, c]);
    expect({ changed, added, gone }).toEqual({ changed: [], added: [a], gone: [c] });
    expect(comparisonLines({ changed, added, gone })).toEqual([
      "new      linear (matrix), linear f16 1x2x3x4, a",
      "gone     linear (matrix), linear f16 1x2x3x4, c",
      "compared 0 changed, 0 of them worse; 1 new, 1 gone",
    ]);
  });

  it("is a table of changed kernels", () => {
    const lines = comparisonLines(compared({ stats: stats({ loop: loop(41), registers: 120 }) }));
    expect(lines[0]).toMatch(/^changed +shape +variant +instr +regs +occupancy +spills +per op +score +worse$/);
    expect(lines[2]).toMatch(
      /^linear \(matrix\) +linear f16 1x2x3x4 +matrix 4x4 +1000 +100 → 120 +16 +0 +4\.00 → 4\.10 +- +more instructions per op$/,
    );
    expect(lines[3]).toBe("compared 1 changed, 1 of them worse; 0 new, 0 gone");
  });

  it("needs the same GPU, sizes and type", () => {
    expect(incomparable(record(), record())).toBeUndefined();
    expect(incomparable(record(), record({ gpu: "m1", batch: 1 }))).toBe(
      "it has GPU m1 instead of rtx3090, batch 1 instead of 16",
    );
    expect(incomparable(record(), record({ robust: true }))).toBe("it has indices clamped instead of free");
    expect(incomparable(record(), record({ gpu: undefined }))).toContain("this machine's");
  });

  it("reads records, and refuses other files", async () => {
    const write = (text: string) => {
      writeFileSync(at("record.json"), text);
      return at("record.json");
    };
    expect(await readKernelRecord(write(JSON.stringify(record())))).toEqual(JSON.parse(JSON.stringify(record())));
    const { kernels: _, ...without } = record();
    const broken: unknown[] = [
      ...[null, 3, [], {}, without, record({ size: {} as never }), record({ kernels: [null as never] })],
      record({ kernels: [{ ...kernel(), label: 3 as never }] }),
      record({ kernels: [kernel({ stats: { ...stats(), spills: "0" as never } })] }),
    ];
    for (const value of broken) {
      await expect(readKernelRecord(write(JSON.stringify(value)))).rejects.toThrow(
        "not a file of bench/kernels.js --json",
      );
    }
    await expect(readKernelRecord(write("{"))).rejects.toThrow("record.json: cannot be read");
    await expect(readKernelRecord(at("none.json"))).rejects.toThrow("none.json: cannot be read");
  });
});

describe("bench/kernels.js", () => {
  it("has a help", async () => {
    const { code, stdout } = await kernels("--help");
    expect(code).toBe(0);
    for (const name of ["--gpu", "--size", "--patch", "--batch", "--dtype", "--kernels", "--variants", "--training"]) {
      expect(stdout).toContain(name);
    }
    for (const name of ["--filter", "--json", "--compare", "--listings", "--quiet"]) expect(stdout).toContain(name);
    expect(stdout).not.toContain("--compile-here");
  });

  it("refuses options that it cannot use, in one line", async () => {
    expectRefusal(await kernels("--size", "30"), "--size");
    expectRefusal(await kernels("--batch", "0"), "--batch");
    expectRefusal(await kernels("--dtype", "f64"), "--dtype");
    expectRefusal(await kernels("--kernels", "fast"), "--kernels");
    expectRefusal(await kernels("--json", at("none", "a.json")), "there is no folder");
    expectRefusal(await kernels("--compare", at("none.json")), "none.json: cannot be read");
    expectRefusal(await kernels("--gpu", "voodoo2"), 'there is no GPU "voodoo2"; take one of rtx3090 ', "lavapipe");
  });

  it("says that the laboratory is not set up", async () => {
    const before = process.env.GPU_LAB;
    process.env.GPU_LAB = at("no laboratory");
    try {
      expectRefusal(await kernels("--gpu", "rtx3090"), "is not set up: run tools/gpu-lab.sh setup");
    } finally {
      if (before === undefined) delete process.env.GPU_LAB;
      else process.env.GPU_LAB = before;
    }
  });

  it("compiles on any adapter, even if its driver prints no figures", async () => {
    const { code, stdout, stderr } = await run(
      ...["--size", "32x48", "--patch", "8", "--batch", "2", "--dtype", "f32", "--filter", "Rank"],
      ...["--adapter", testAdapter, "--json", at("own.json")],
    );
    expect(stderr).not.toMatch(/error/i);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^rank tokens +2x24 +1 +-/m);
    expect(stdout).toContain("this driver prints nothing about its machine code");
    const { kernels: listed, ...facts } = JSON.parse(readFileSync(at("own.json"), "utf8")) as KernelRecord;
    expect(facts).toMatchObject({ size: { height: 32, width: 48 }, patch: 8, batch: 2, dtype: "f32" });
    expect(listed.map(({ label, count, error }) => ({ label, count, error }))).toEqual([
      { label: "rank tokens", count: 1, error: undefined },
    ]);
  });

  it("refuses sizes that do not fit, and filters without a kernel", async () => {
    const refused = async (...args: string[]) => {
      const { code, stderr } = await run(...args, "--adapter", testAdapter);
      expect(code).toBe(2);
      return stderr;
    };
    expect(await refused("--size", "30x64")).toMatch(/^error: [^\n]*30x64[^\n]*\n$/);
    expect(await refused("--filter", "sofa", "--size", "32x48", "--patch", "8")).toMatch(
      /^error: no kernel has "sofa"[^\n]*\n$/,
    );
  });
});

const missing = laboratoryMissing();

describe.skipIf(missing !== undefined)(
  `bench/kernels.js with a driver${missing ? ` (skipped: ${missing})` : ""}`,
  () => {
    const filtered = ["--gpu", "rtx3090", "--filter", "rank tokens", "--size", "32x48", "--patch", "8"];

    it("prints and writes figures, and compares them with older ones", async () => {
      const first = await run(...filtered, "--json", at("now.json"), "--listings", at("listings"));
      expect(first.code).toBe(0);
      expect(first.stdout).toMatch(/warps\/SM/);
      const now = JSON.parse(readFileSync(at("now.json"), "utf8")) as KernelRecord;
      const [only] = now.kernels as [MeasuredKernel];
      expect(now.kernels.length).toBe(1);
      expect(only.stats).toMatchObject({ compiler: "nak", spills: 0, occupancy: { unit: "warps/SM" } });
      expect(only.stats?.instructions).toBeGreaterThan(10);
      const listings = readdirSync(at("listings")).sort();
      expect(listings).toEqual(["000-rank-tokens.txt", "000-rank-tokens.wgsl"]);
      expect(readFileSync(at("listings", "000-rank-tokens.wgsl"), "utf8")).toContain("@compute");
      expect(readFileSync(at("listings", "000-rank-tokens.txt"), "utf8")).toContain("Stage: compute");

      const same = await run(...filtered, "--compare", at("now.json"));
      expect(same.code).toBe(0);
      expect(same.stdout).toContain("compared 0 changed, 0 of them worse; 0 new, 0 gone");

      const other = { ...only, label: "another", node: "elsewhere" };
      writeFileSync(at("more.json"), JSON.stringify({ ...now, kernels: [only, other] }));
      expect((await run(...filtered, "--compare", at("more.json"))).stdout).toContain("0 new, 0 gone");
      const refused = await run(...filtered, "--batch", "3", "--compare", at("now.json"));
      expect(refused).toMatchObject({ code: 2, stdout: "" });
      expect(refused.stderr).toMatch(/^error: [^\n]*now\.json: cannot be compared: it has batch 16 instead of 3\n$/);

      const better = { ...only, stats: { ...only.stats, occupancy: { value: 64, unit: "warps/SM" } } };
      writeFileSync(at("better.json"), JSON.stringify({ ...now, kernels: [better] }));
      const worse = await run(...filtered, "--compare", at("better.json"), "--quiet");
      expect({ code: worse.code, stdout: worse.stdout }).toEqual({ code: 1, stdout: "" });
      expect(worse.stderr).toMatch(/^error: 1 of 1 kernels are worse than in [^\n]*better\.json\n$/);
    });
  },
);
