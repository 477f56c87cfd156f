import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { pyTorchMissing, runPyTorch } from "../../bench/peers/pytorch/run.js";
import { figuresOf, parseBatches, parseDtypes, tableRows, withRatios } from "../../src/bench/compare.js";
import { runBenchmark } from "../../src/bench/index.js";
import type { PeerRequest, PeerResult } from "../../src/bench/peers.js";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.js";
import { exportPth } from "../../src/checkpoint/pth_write.js";
import { checkpointOrFresh } from "../../src/cli/options/model.js";
import { scoreSettings } from "../../src/detector/settings.js";
import {
  type ComparisonFigure,
  comparisonPage,
  comparisonPlot,
  comparisonTable,
} from "../../src/report/bench/comparison.js";
import { captured, expectRefusal, filesIn } from "../support/cli.js";
import { fixturePath } from "../support/fixtures.js";
import { scratch } from "../support/folders.js";
import { testAdapter } from "../support/gpu.js";

const at = scratch();

/** A rate of frames per second, with a range of ten percent. */
const rate = (median: number) => ({ median, min: 0.9 * median, max: 1.1 * median, measurements: 5 });

/** `node bench/compare.js …` with the peers `fast` and `broken`, and `absent`, which cannot run. */
function compare(...args: string[]) {
  const requests: { name: string; request: PeerRequest }[] = [];
  const runPeer = async (name: string, request: PeerRequest): Promise<PeerResult> => {
    requests.push({ name, request });
    if (name !== "fast") throw new Error(`${name} is\nout of memory`);
    const f32 = { variant: "eager f32", precision: "f32", fps: rate(1e6), latencyMs: 0.5, memoryBytes: 5e6 };
    const failed = { variant: "graph f32", precision: "f32", error: "no such graph" };
    return { name, version: "fast 1.2, eager f32", ...f32, all: [failed, f32] };
  };
  const peerMissing = async (name: string) => (name === "absent" ? "it is not here" : undefined);
  const peers = ["fast", "broken", "absent"];
  const ran = captured(() => runBenchmark("compare", args, peers, runPeer, peerMissing));
  return ran.then((result) => ({ ...result, requests }));
}

describe("options of compare", () => {
  it("are lists with each item once; batch sizes are sorted", () => {
    expect(parseBatches("16,1,4")).toEqual([1, 4, 16]);
    expect(parseDtypes("f16,f32")).toEqual(["f16", "f32"]);
    for (const wrong of ["", "0", "4,4", "1,,2", "5000", "1.5"]) expect(() => parseBatches(wrong), wrong).toThrow();
    for (const wrong of ["", "f64", "f32,f32"]) expect(() => parseDtypes(wrong), wrong).toThrow();
  });

  it("are refused before anything is measured, if something cannot be measured or written", async () => {
    const tiny = ["--size", "32x64", "--patch", "8", "--adapter", testAdapter];
    expectRefusal(await compare("--batch", "0"), "--batch");
    expectRefusal(await compare("--dtype", "f64"), "--dtype");
    expectRefusal(await compare("--peer", "torch"), "--peer");
    expectRefusal(await compare("--peer", "none", "fast"), "--peer none");
    expectRefusal(await compare("--peer", "fast", "absent"), "--peer absent: it is not here");
    expectRefusal(await compare("--seconds", "0"), "--seconds");
    expectRefusal(await compare(...tiny, "--out", at("plot.txt")), "plot.txt: the plot's file must be named *.html");
    expectRefusal(await compare(...tiny, "--json", at("none", "a.json")), "there is no folder");
    expectRefusal(await compare("--size", "30x64", "--patch", "8", "--adapter", testAdapter), "size 30x64");
    expectRefusal(await compare("--checkpoint", at("none.pth")), "none.pth: cannot be read");
    expectRefusal(await compare("--adapter", "nonsense"), 'no adapter named "nonsense"');
    expect((await compare("--batch", "0")).requests).toEqual([]);
  });

  it("are in the help", async () => {
    const { code, stdout } = await compare("--help");
    expect(code).toBe(0);
    const names = ["--size", "--batch", "--dtype", "--peer", "--seconds", "--adapter", "--json", "--out"];
    for (const name of names) expect(stdout).toContain(`${name} `);
  });
});

describe("figures", () => {
  it("are those of the fastest variant of each precision", () => {
    const all = [
      { variant: "eager f32", precision: "f32", fps: rate(10), latencyMs: 101, memoryBytes: 3e6 },
      { variant: "graph f32", precision: "f32", fps: rate(20), latencyMs: 51, memoryBytes: 4e6 },
      { variant: "compile f32", precision: "f32", error: "too old" },
      { variant: "eager f16", precision: "f16", error: "out of memory" },
    ];
    const result: PeerResult = { name: "torch", version: "2", fps: rate(20), all };
    expect(figuresOf(result, 4)).toEqual([
      {
        ...{ contestant: "torch f32", own: false, batch: 4, fps: rate(20), latencyMs: 51, memoryBytes: 4e6 },
        how: "graph f32",
      },
      { contestant: "torch f16", own: false, batch: 4, error: "out of memory" },
    ]);
    // A peer that waits for each batch reports the time of one.
    const msPerBatch = { median: 250, min: 240, max: 260 };
    const plain: PeerResult = { name: "ort", version: "1", form: "fused", fps: rate(4), msPerBatch };
    expect(figuresOf(plain, 1)).toMatchObject([{ contestant: "ort f32", latencyMs: 250, how: "fused" }]);
  });

  it("have ratios to the best peer, if a peer ran", () => {
    const own = (fps: number): ComparisonFigure => ({ contestant: "sdmae", own: true, batch: 1, fps: rate(fps) });
    const peer = (fps: number): ComparisonFigure => ({ contestant: "peer", own: false, batch: 1, fps: rate(fps) });
    const failed: ComparisonFigure = { contestant: "broken", own: false, batch: 1, error: "why" };
    const ratios = (...figures: ComparisonFigure[]) => withRatios(figures).map(({ ratio }) => ratio);
    expect(ratios(own(30), peer(10), failed, peer(20))).toEqual([1.5, 0.5, undefined, 1]);
    expect(ratios(own(30), own(60), failed)).toEqual([undefined, undefined, undefined]);
    // Peers also have how many times faster the engine is.
    const ahead = withRatios([own(30), own(60), peer(10), failed, peer(20)]).map((figure) => figure.ahead);
    expect(ahead).toEqual([undefined, undefined, 6, undefined, 3]);
    expect(withRatios([peer(20)])[0]).not.toHaveProperty("ahead");
  });

  it("make a table", () => {
    const fps = { median: 12345.6, min: 987.65, max: 20000, measurements: 3 };
    const shared = { own: true, batch: 16, contestant: "sdmae f16" };
    const lines = tableRows([
      { ...shared, fps, ratio: 2.345, latencyMs: 1234.5, memoryBytes: 5e8, how: "graph" },
      { ...shared, contestant: "peer", own: false, error: "out of memory" },
      { ...shared, contestant: "peer", own: false, fps, ratio: 1, ahead: 14.004 },
    ]);
    expect(lines[0]?.trim().split(/ {2,}/)).toEqual([
      ...["16", "sdmae f16", "12346", "987.6 to 20000", "2.35", "-", "1235 ms", "500 MB", "graph"],
    ]);
    expect(lines[1]?.trim().split(/ {2,}/)).toEqual(["16", "peer", "failed: out of memory"]);
    expect(lines[2]?.trim().split(/ {2,}/).slice(4)).toEqual(["1.00", "14.00", "-", "-"]);
  });
});

describe("the page", () => {
  const hostile = `</script><b id='x'>"&`;
  const figure = (contestant: string, batch: number, median: number): ComparisonFigure => {
    return {
      contestant,
      own: contestant === "own",
      batch,
      fps: { median, min: median / 2, max: 2 * median, measurements: 3 },
    };
  };
  const figures = [
    figure("own", 1, 10),
    figure("own", 4, 100),
    figure("own", 16, 1000),
    figure(hostile, 4, 100),
    { contestant: "broken", own: false, batch: 4, error: hostile },
  ];
  /** The points of a path. */
  const pointsOf = (path: string) =>
    [...path.matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)] as [number, number]);

  it("draws one line per contestant on logarithmic axes", () => {
    const svg = comparisonPlot(figures);
    const paths = [...svg.matchAll(/<path class="line[^"]*" d="([^"]*)"/g)].map(([, d]) => pointsOf(d));
    expect(paths.map((points) => points.length)).toEqual([3, 1]);
    const [[first, second, third], [other]] = paths as [[number, number][], [number, number][]];
    // Equal factors are equal distances: 4 times the batch to the right, 10 times the frames up.
    expect(second[0] - first[0]).toBeCloseTo(third[0] - second[0], 0);
    expect(first[1] - second[1]).toBeCloseTo(second[1] - third[1], 0);
    expect(second[0]).toBeGreaterThan(first[0]);
    expect(second[1]).toBeLessThan(first[1]);
    expect(other).toEqual(second);
    // From half to twice the median is log10(4) of the way to ten times it.
    const range = /<path class="range" d="M[\d.]+ ([\d.]+)V([\d.]+)/.exec(svg)!.slice(1).map(Number) as [
      number,
      number,
    ];
    expect((range[0] - range[1]) / (first[1] - second[1])).toBeCloseTo(Math.log10(4), 1);
    for (const [x, y] of paths.flat()) {
      expect(x > 0 && x < 860).toBe(true);
      expect(y > 0 && y < 460).toBe(true);
    }
    const labels = [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);
    // The engine's points are labelled with the ratio to the best peer, if there is one.
    const values = [
      ...comparisonPlot([figures[0], ...withRatios([figures[1], figures[3]])]).matchAll(
        /<text class="value"[^>]*>([^<]*)/g,
      ),
    ];
    expect(values.map(([, text]) => text)).toEqual(["1.00×"]);
    expect(labels).toEqual(
      expect.arrayContaining(["1", "4", "16", "10", "100", "1000", "batch size, frames", "frames/s"]),
    );
    expect(comparisonPlot([figures[4]])).toBe("<p>Nothing could be measured.</p>");
  });

  it("draws a single point", () => {
    expect(comparisonPlot([figure("own", 1, 5)])).not.toMatch(/NaN|Infinity/);
  });

  it("lists every figure in a table", () => {
    const rows = [...comparisonTable(withRatios(figures)).matchAll(/<tr[^>]*>(<th scope="row".*?)<\/tr>/g)].map(
      ([, row]) => [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell]) => cell),
    );
    expect(rows).toHaveLength(5);
    expect(rows[1]).toEqual(["own", "4", "100.0", "50.00", "200.0", "1.00×", "–", "–", "–", ""]);
    expect(rows[4]?.slice(0, 3)).toEqual(["broken", "4", "–"]);
    expect(rows[4]?.at(-1)).toMatch(/^failed: /);
  });

  it("loads nothing, and escapes names", () => {
    const facts = [[hostile, hostile]] as const;
    const html = comparisonPage({
      title: hostile,
      created: "2026-01-02T03:04:05.678Z",
      figures,
      notes: [hostile],
      complete: false,
      facts,
    });
    expect(html).not.toContain("<b id=");
    expect(html).toContain("The run has not finished");
    expect(html.match(/<script/g)).toHaveLength(1);
    expect(html).toMatch(
      /Content-Security-Policy" content="default-src 'none'; img-src data:; script-src 'sha256-[^' ]*';/,
    );
    expect(html.match(/\b(?:src|href|action)\s*=\s*["'](?!data:)/)).toBeNull();
    expect(html.match(/ style=/)).toBeNull();
    expect(html).toContain("2026-01-02 03:04 UTC");
    expect(html).toContain("light-dark(");
  });
});

describe("compare", () => {
  const model = ["--checkpoint", fixturePath("tiny-patch8.pth"), "--size", "32x64"];
  const tiny = [...model, "--seconds", "0.1", "--adapter", testAdapter];

  it("measures the engine alone", async () => {
    const json = at("alone.json");
    const { code, stdout, requests } = await compare(...tiny, "--batch", "2", "--peer", "none", "--json", json);
    expect(code).toBe(0);
    expect(requests).toEqual([]);
    const report = JSON.parse(readFileSync(json, "utf8"));
    expect(report).toMatchObject({
      size: { height: 32, width: 64 },
      patch: 8,
      batches: [2],
      dtypes: ["f32"],
      peers: [],
    });
    expect(report.versions.node).toBe(process.version);
    expect(report.complete).toBe(true);
    expect(report.adapter.kind).toMatch(/./);
    expect(Number.isNaN(Date.parse(report.date))).toBe(false);
    const [figure] = report.figures;
    expect(report.figures).toHaveLength(1);
    expect(figure).toMatchObject({ contestant: "sdmae f32", own: true, batch: 2 });
    expect(figure.ratio).toBeUndefined();
    expect(figure.fps.measurements).toBeGreaterThanOrEqual(3);
    for (const value of [figure.fps.min, figure.latencyMs, figure.memoryBytes]) expect(value).toBeGreaterThan(0);
    expect(figure.fps.min <= figure.fps.median && figure.fps.median <= figure.fps.max).toBe(true);
    expect(stdout).toMatch(/^ {4}2 {2}sdmae f32 /m);
  });

  it("takes turns with the peers that can run, and continues if one fails", async () => {
    const [json, out] = [at("all.json"), at("all.html")];
    const args = [...tiny, "--batch", "1,2", "--json", json, "--out", out];
    const { code, stdout, requests } = await compare(...args);
    expect(code).toBe(0);
    expect(requests.map(({ name, request }) => [name, request.batch])).toEqual([
      ...[
        ["fast", 1],
        ["broken", 1],
        ["fast", 2],
        ["broken", 2],
      ],
    ]);
    for (const { request } of requests) {
      expect(request).toMatchObject({ seconds: 0.1, precisions: ["f32", "tf32"] });
      expect(request.settings).toMatchObject({ size: { height: 32, width: 64 }, dtype: "f32" });
    }
    const report = JSON.parse(readFileSync(json, "utf8"));
    const names = report.figures.map(({ contestant, batch }: ComparisonFigure) => `${contestant} ${batch}`);
    expect(names).toEqual(["sdmae f32 1", "fast f32 1", "broken 1", "sdmae f32 2", "fast f32 2", "broken 2"]);
    const [own, fast, broken] = report.figures;
    expect(own.ratio).toBeCloseTo(own.fps.median / 1e6, 12);
    expect(fast).toMatchObject({ ratio: 1, latencyMs: 0.5, memoryBytes: 5e6, how: "eager f32" });
    expect(broken).toMatchObject({ error: "broken is out of memory" });
    expect(report.missing).toEqual([{ peer: "absent", reason: "it is not here" }]);
    expect(report.versions.peers).toEqual({ fast: "fast 1.2" });
    expect(stdout).toContain("left out      absent: it is not here");
    expect(stdout).toContain("note          fast, graph f32, batch 1 failed: no such graph");
    expect(stdout).toMatch(/^ {4}1 {2}broken {10,}failed: broken is out of memory$/m);
    expect(stdout).toContain(`written       ${out}`);
    const html = readFileSync(out, "utf8");
    expect(html.match(/<circle/g)).toHaveLength(4);
    expect(html).toContain("absent was left out: it is not here");
    expect(html).not.toContain("not at its end");
    expect(filesIn(at()).filter((name) => name.startsWith("all"))).toEqual(["all.html", "all.json"]);
  });
});

// Windows cannot run a script that names its program in the first line.
describe.skipIf(process.platform === "win32")("the peer pytorch", () => {
  afterEach(() => void vi.unstubAllEnvs());

  /** A stand-in for Python. */
  function python(name: string, code: string): string {
    const path = at(`${name}.cjs`);
    writeFileSync(path, `#!${process.execPath}\n${code}`);
    chmodSync(path, 0o755);
    vi.stubEnv("SDMAE_PYTHON", path);
    return path;
  }

  async function request(): Promise<PeerRequest> {
    const checkpoint: Checkpoint = await checkpointOrFresh({ patch: 8 });
    const settings = scoreSettings(checkpoint, { size: { height: 32, width: 64 } });
    return { checkpoint, settings, batch: 3, seconds: 0.5, adapterKind: "swiftshader", precisions: ["f32"] };
  }

  it("says what Python lacks", async () => {
    const path = python("no-torch", "process.exit(3);");
    expect(await pyTorchMissing()).toBe(`"${path}" has no torch (SDMAE_PYTHON names the Python that has it)`);
    await expect(runPyTorch(await request(), exportPth)).rejects.toThrow("the peer pytorch needs PyTorch");
    vi.stubEnv("SDMAE_PYTHON", at("nothing"));
    expect(await pyTorchMissing()).toContain("cannot be started");
  });

  it("receives the checkpoint and the settings, and returns what its program prints", async () => {
    const figures = `fps: { median: 5, min: 4, max: 6, measurements: 3 }, version: "torch 9", variant: "eager f32", form: "taps"`;
    const program = `if (process.argv[2] === "-c") process.exit(0);
const options = JSON.parse(process.argv[3]);
const bytes = require("node:fs").readFileSync(options.checkpoint);
console.log("a warning");
console.log(JSON.stringify({ name: "pytorch", ${figures}, options, bytes: bytes.length }));`;
    python("has-torch", program);
    vi.stubEnv("SDMAE_PYTORCH_VARIANTS", "eager, compile f32");
    const asked = await request();
    const result = await runPyTorch(asked, exportPth);
    expect(result).toMatchObject({ name: "pytorch", version: "torch 9, eager f32, taps", fps: { median: 5 } });
    const { options, bytes } = result as unknown as { options: Record<string, unknown>; bytes: number };
    expect(options).toMatchObject({ height: 32, width: 64, batch: 3, seconds: 0.5, device: "cpu", heads: 4 });
    expect(options).toMatchObject({ maskRatio: 0.5, masking: "random", norm: asked.settings.norm, maskedOnly: false });
    expect(options).toMatchObject({ precisions: ["f32"], variants: ["eager", "compile f32"] });
    expect(bytes).toBe(exportPth(asked.checkpoint).length);
  });

  it("fails with the error of its program", async () => {
    const traceback = "Traceback:\\n  somewhere\\nValueError: mask ratio 0.3: 5 tokens do not form a grid";
    python("fails", `if (process.argv[2] === "-c") process.exit(0);\nconsole.error("${traceback}"); process.exit(1);`);
    await expect(runPyTorch(await request(), exportPth)).rejects.toThrow(
      "the peer pytorch failed: ValueError: mask ratio 0.3: 5 tokens do not form a grid",
    );
  });
});
