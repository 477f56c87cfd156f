import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseSafetensors, serializeSafetensors } from "../../src/checkpoint/safetensors.js";
import { expectRefusal, filesIn, fixturePath, fps, scratch, sdmae, tool, withoutPatience } from "../support/cli.js";
import { testAdapter } from "../support/gpu.js";

const at = scratch();
const adapter = ["--adapter", testAdapter];

describe("check-fixture", () => {
  const patch8 = fixturePath("tiny-patch8.pth");
  const inference = fixturePath("tiny-patch8-infer.safetensors");
  const check = (...args: string[]) => tool("check-fixture", ...args, ...adapter);
  const compared = [...parseSafetensors(new Uint8Array(readFileSync(inference)), inference).tensors.keys()].filter(
    (name) => /^(act|out)\./.test(name),
  );
  /** The printed rows: verdict, name, number of values, error. */
  const rows = (stdout: string) =>
    [...stdout.matchAll(/^(ok|FAILED) +(\S.*?) +(\d+) values {2}(\S.*)$/gm)].map(([, verdict, name, count, error]) => {
      return { verdict, name: name, count: Number(count), error: error };
    });

  it("recognises a training case, and refuses a checkpoint and --dtype f16 for it", async () => {
    const training = fixturePath("tiny-train-stage2.safetensors");
    expectRefusal(await check(patch8, training), "is a training case, which holds its weights: it takes no checkpoint");
    expectRefusal(await check(training, "--dtype", "f16"), "is not an inference case: only those take --dtype f16");
  });

  it("passes if the engine computes what the original did, with a row for each tensor", async () => {
    const { code, stdout, stderr } = await check(patch8, inference);
    expect({ code, stderr: withoutPatience(stderr) }).toEqual({ code: 0, stderr: "" });
    const found = rows(stdout);
    expect(compared.length).toBeGreaterThan(20);
    expect(found.map((row) => row.name)).toEqual(expect.arrayContaining([...compared, "in.ids_restore"]));
    expect(new Set(found.map((row) => row.name)).size).toBe(found.length);
    for (const { verdict, error } of found) {
      expect(verdict).toBe("ok");
      expect(Number(error)).toBeLessThanOrEqual(1e-4);
    }
    // The count is the file's own: [2, 33, 256].
    expect(found.find((row) => row.name === "act.decoder_pred")?.count).toBe(2 * 33 * 256);
    const last = stdout.trimEnd().split("\n").at(-1);
    expect(last).toBe(`tiny-patch8-infer.safetensors: ${found.length} of ${found.length} within tolerance (0.0001)`);
  });

  it("fails with exit code 1 if a tensor exceeds the tolerance", async () => {
    // One value of one tensor is wrong. With a tolerance of 0, rounding errors fail as well.
    const { tensors, metadata } = parseSafetensors(new Uint8Array(readFileSync(inference)), inference);
    const wrong = tensors.get("act.blocks.1")?.data as Float32Array;
    wrong[7] = wrong[7] + 1;
    writeFileSync(at("wrong.safetensors"), serializeSafetensors(tensors, metadata));
    const { code, stdout, stderr } = await check(patch8, at("wrong.safetensors"), "--tolerance", "0");
    const found = rows(stdout);
    const failed = found.filter((row) => row.verdict === "FAILED");
    expect({ code, stderr: withoutPatience(stderr) }).toEqual({
      code: 1,
      stderr: `error: wrong.safetensors: ${failed.length} of ${found.length} comparisons exceed the tolerance\n`,
    });
    expect(found.filter((row) => Number(row.error) > 1e-4).map((row) => row.name)).toEqual(["act.blocks.1"]);
    for (const { verdict, error } of found) expect(verdict).toBe(Number(error) > 0 ? "FAILED" : "ok");
    expect(failed.length).toBeGreaterThan(20);
    // Ranks are whole numbers.
    expect(found.find((row) => row.name === "in.ids_restore")?.verdict).toBe("ok");
  });

  it("checks the preprocessing without a checkpoint", async () => {
    const { code, stdout, stderr } = await check(fixturePath("preprocess.safetensors"));
    expect({ code, stderr: withoutPatience(stderr) }).toEqual({ code: 0, stderr: "" });
    const found = rows(stdout);
    expect(found).toHaveLength(8);
    expect(found.map((row) => row.name)).toContain("gray.motion_gradient");
    expect(found.find((row) => row.name === "gray.motion_gradient")?.error).toBe("0 grey levels at most");
    for (const { verdict, error } of found) {
      expect(verdict).toBe("ok");
      expect(error).toMatch(/^[01] grey levels at most$/);
    }
  });

  it("refuses files that do not belong together, do not exist, or are not fixtures", async () => {
    const patch16 = fixturePath("tiny-checkpoint-best.pth");
    expectRefusal(
      await check(patch16, inference),
      "tiny-patch8-infer.safetensors is of a model with patch 8",
      "patch 16",
    );
    expectRefusal(await check(inference), "tiny-patch8-infer.safetensors is an inference case: give its checkpoint");
    expectRefusal(await check(at("none.safetensors")), "none.safetensors: cannot be read (no such file or folder)");
    expectRefusal(await check(patch8, patch8), "tiny-patch8.pth: not a valid safetensors file");
    expectRefusal(await check(inference, patch8), "tiny-patch8.pth");
    const tensor = { dtype: "F32", shape: [2], data: new Float32Array(2) } as const;
    writeFileSync(at("other.safetensors"), serializeSafetensors(new Map([["x", tensor]])));
    expectRefusal(await check(patch8, at("other.safetensors")), "other.safetensors is not a case");
    const { tensors } = parseSafetensors(new Uint8Array(readFileSync(inference)), inference);
    writeFileSync(at("no-metadata.safetensors"), serializeSafetensors(tensors));
    expectRefusal(await check(patch8, at("no-metadata.safetensors")), "no-metadata.safetensors: its metadata has no");
    expectRefusal(await check(patch8, inference, "--heads", "three"), "--heads");
    expectRefusal(await check(patch8, inference, "--tolerance", "-1"), "--tolerance");
    expectRefusal(await check(), "missing required argument 'files'");
  });
});

describe("adapters", () => {
  it("lists what --adapter takes, with the default first and a star at it", async () => {
    const { code, stdout, stderr } = await sdmae("adapters");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^\* \S.* {2}(gpu|lavapipe|software|swiftshader) {2}\S.* {2}\(.*\)$/);
    for (const [i, line] of lines.entries()) {
      expect(line).toMatch(i % 2 === 1 ? /^ {4}matrix units: \S/ : i > 0 ? /^ {2}\S/ : /^\* \S/);
    }
    if (testAdapter === "swiftshader") expect(stdout).toMatch(/^[* ] swiftshader {2}swiftshader {2}SwiftShader/m);
  });
});

describe("--help", () => {
  const model = ["--preset", "--size", "--mask-ratio", "--norm", "--masked-only"];
  const cases: [name: string, options: string[]][] = [
    [
      "score",
      [
        ...[...model, "--masking", "--score", "--checkpoint", "--student", "--out", "--seed", "--batch"],
        ...["--adapter", "--robust", "--no-tune", "--order", "--step", "--raw-size", "--raw-format", "--raw-fps"],
        ...["--dtype", "--heads", "--profile", "--quiet", "--frame-score", "--tokens", "--top-k", "--min-motion"],
        ...[
          "--report",
          "--video",
          "--events",
          "--threshold",
          "--normal",
          "--normal-quantile",
          "--calibration",
          "--fps",
        ],
      ],
    ],
    [
      "eval",
      [
        ...[
          ...model,
          "--masking",
          "--score",
          "--dataset",
          "--root",
          "--labels",
          "--checkpoint",
          "--student",
          "--videos",
        ],
        ...[
          "--json",
          "--report",
          "--work",
          "--seed",
          "--maskings",
          "--frame-score",
          "--tokens",
          "--top-k",
          "--min-motion",
        ],
        ...["--smoothing", "--range", "--mu", "--sigma", "--normalize", "--no-normalize", "--map", "--region-quantile"],
        ...[
          "--alpha",
          "--beta",
          "--fps",
          "--batch",
          "--dtype",
          "--heads",
          "--adapter",
          "--robust",
          "--no-tune",
          "--quiet",
        ],
      ],
    ],
    [
      "calibrate",
      [
        ...[model, "--masking", "--score", "--checkpoint", "--student", "--out", "--seed", "--batch"].flat(),
        ...["--alarms-per-day", "--fps", "--frame-score", "--tokens", "--top-k", "--min-motion"],
        ...["--dtype", "--heads", "--adapter", "--robust", "--no-tune", "--quiet"],
      ],
    ],
    ["dataset", ["--dataset", "--labels", "--verify", "--json", "--quiet"]],
    ["extract-gradients", ["--out", "--dataset", "--split", "--force", "--quiet"]],
    ["create-anomalies", []],
    [
      "make-scene",
      [
        ...[
          "--seed",
          "--train",
          "--test",
          "--frames",
          "--size",
          "--fps",
          "--anomalies",
          "--view",
          "--vary-camera",
          "--format",
        ],
        ...["--preview", "--force", "--quiet"],
      ],
    ],
    ["demo", ["--seed", "--frames", "--report", "--adapter", "--robust", "--no-tune"]],
    ["adapters", []],
    ["convert-checkpoint", ["--half", "--heads"]],
    ["export-checkpoint", ["--student", "--heads"]],
    ["check-fixture", ["--tolerance", "--heads", "--dtype", "--adapter", "--robust"]],
    [
      "tune",
      [
        "--checkpoint",
        "--size",
        "--patch",
        "--batch",
        "--mask-ratio",
        "--dtype",
        "--adapter",
        "--robust",
        "--again",
        "--json",
        "--quiet",
      ],
    ],
    ["export-onnx", [...model, "--batch", "--heads", "--predictions", "--fused"]],
  ];

  it.each(cases)("of %s lists exactly its options, as a tool and as a command of sdmae", async (name, options) => {
    const { code, stdout, stderr } = await tool(name, "--help");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(new RegExp(`^Usage: ${name} `));
    const listed = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map((match) => match[1]);
    expect(listed.sort()).toEqual([...options, "--help"].sort());
    const below = await sdmae(name, "--help");
    expect({ ...below, stdout: below.stdout.replace("Usage: sdmae ", "Usage: ") }).toEqual({ code, stdout, stderr });
  });

  it("of fps lists its options", async () => {
    const { code, stdout } = await fps("--help");
    expect(code).toBe(0);
    const options = ["--size", "--patch", "--batch", "--seconds", "--dtype", "--checkpoint", "--adapter"];
    for (const option of [...options, "--list-adapters", "--peer", "--profile", "--json"]) {
      expect(stdout).toContain(`${option} `);
    }
  });

  it("of sdmae lists every command; without a command it is printed with exit code 2", async () => {
    const { code, stdout } = await sdmae("--help");
    expect(code).toBe(0);
    for (const [name] of cases) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
    const none = await sdmae();
    expect(none).toEqual({ code: 2, stdout: "", stderr: stdout });
  });
});

describe("fps", () => {
  it("prints and writes rates", async () => {
    const json = at("fps.json");
    const size = ["--size", "32x64", "--patch", "8", "--seconds", "0.2"];
    const { code, stdout, stderr } = await fps(...size, ...adapter, "--json", json);
    // On a slow machine progress is printed, but nothing else.
    const others = stderr
      .split("\n")
      .filter((line) => !/^(?:compiling kernels; .*|\d of 3 measurements.*|)$/.test(line));
    expect({ code, others }).toEqual({ code: 0, others: [] });
    const report = JSON.parse(readFileSync(json, "utf8"));
    expect(report).toMatchObject({ size: { height: 32, width: 64 }, patch: 8, dtype: "f32", peers: [] });
    for (const rate of [report.model, report.endToEnd]) {
      expect(rate.measurements).toBeGreaterThanOrEqual(3);
      expect(rate.min).toBeGreaterThan(0);
      expect(rate.median).toBeGreaterThanOrEqual(rate.min);
      expect(rate.max).toBeGreaterThanOrEqual(rate.median);
      expect(rate.max).toBeLessThan(Number.POSITIVE_INFINITY);
    }
    for (const key of ["gflopPerFrame", "gflopPerSecond", "peakGflopPerSecond", "dispatches", "memoryBytes"]) {
      expect(report[key], key).toBeGreaterThan(0);
      expect(report[key], key).toBeLessThan(Number.POSITIVE_INFINITY);
    }
    expect(report.gflopPerSecond).toBeCloseTo(report.gflopPerFrame * report.model.median, 9);
    expect(stdout).toContain(`model         ${report.model.median.toPrecision(4)} frames/s (`);
    expect(stdout).toContain(`end to end    ${report.endToEnd.median.toPrecision(4)} frames/s (`);
    expect(stdout).toContain(`written       ${json}`);
    expect(filesIn(at()).filter((name) => name.startsWith("fps"))).toEqual(["fps.json"]);
  });

  it("refuses sizes, peers, types, checkpoints and adapters that do not work", async () => {
    expectRefusal(await fps("--size", "30x64", "--patch", "8", ...adapter), "size 30x64 does not divide");
    expectRefusal(
      await fps("--size", "24x40", "--patch", "8", "--mask-ratio", "0.5", ...adapter),
      "mask ratio 0.5 leaves no grid at 24x40",
    );
    expectRefusal(await fps("--peer", "torch"), "--peer");
    expectRefusal(await fps("--dtype", "f64"), "--dtype");
    expectRefusal(await fps("--checkpoint", at("none.pth")), "none.pth: cannot be read");
    expectRefusal(await fps("--adapter", "nonsense"), 'no adapter named "nonsense"');
  });
});
