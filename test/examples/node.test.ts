import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sceneDataset } from "../../src/core.js";
import { readCheckpoint } from "../../src/node/files/checkpoint_file.js";
import { frameFolder } from "../support/cli.js";
import { scratch } from "../support/folders.js";
import { copyProject, repository, runIn } from "../support/package.js";

const names = ["score", "evaluate", "train", "cameras"];
const at = scratch();
const project = at("project");
const example = async (name: string, ...args: string[]) =>
  (await runIn(at(), process.execPath, join(project, "examples", "node", `${name}.js`), ...args)).trim().split("\n");

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

beforeAll(async () => {
  await mkdir(project);
  copyProject(project);
  await runIn(project, process.execPath, "tools/build.js");
});

describe("the examples for Node", () => {
  it("score: scores each frame of a street, and a bicycle far above what is normal", async () => {
    const [header, ...lines] = await example("score");
    expect(header.split(/ +/)).toEqual(["frame", "seconds", "score", "where"]);
    const rows = lines.map((line) =>
      /^ +(\d+) +(\d+\.\d) +(\d\.\d{3}) {2}row ([1-8]) of 8, column ([1-9]|1[0-2]) of 12$/
        .exec(line)
        ?.slice(1)
        .map(Number),
    ) as number[][];
    expect(rows.map(([frame]) => frame)).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(rows.map(([, seconds]) => seconds)).toEqual(Array.from({ length: 40 }, (_, i) => i / 10));
    // The same street, for its ground truth.
    const size = { width: 288, height: 192 };
    const clips = { train: 0, test: 1, frames: 40, anomalies: ["bicycle"] } as const;
    const { test } = sceneDataset({ ...size, ...clips, seed: 123, fps: 10, view: "close" });
    const labels = (await test[0].labels?.()) as Uint8Array;
    const of = (label: number) => rows.filter((_, i) => labels[i] === label).map(([, , score]) => score);
    expect(of(1).length).toBeGreaterThan(5);
    expect(mean(of(1))).toBeGreaterThan(3 * mean(of(0)));
  });

  it("score: takes a folder of frames and a checkpoint", async () => {
    const frames = await frameFolder(at("frames"), [3, 4, 5, 6]);
    const lines = await example("score", frames, join(repository, "models", "scene.safetensors"));
    expect(lines.slice(1).map((line) => line.trim().split(/ +/).slice(0, 2))).toEqual([
      ["3", "-"],
      ["4", "-"],
      ["5", "-"],
      ["6", "-"],
    ]);
  });

  it("evaluate: prints the AUC of each clip, micro- and macro-AUC", async () => {
    const lines = await example("evaluate");
    const found = lines.map((line) => /^(.*): (\d+\.\d) %$/.exec(line)?.slice(1) as [string, string]);
    expect(found.map(([name]) => name)).toEqual([
      ...["123-01", "124-01"],
      ...["micro-AUC, all frames together", "macro-AUC, mean over videos"],
    ]);
    // docs/training.md: the model's micro-AUC on streets that it has not seen is above 90.
    for (const [, auc] of found) expect(Number(auc)).toBeGreaterThan(85);
  });

  it("train: prints the loss of each step and a test of each stage, and saves a checkpoint", async () => {
    const file = at("street.safetensors");
    const lines = await example("train", file, "2");
    const steps = lines.filter((line) => /^step \d+ of \d+: loss \d+\.\d{4}$/.test(line));
    // Two epochs; an epoch has two clips of 40 frames in batches of 8.
    expect(steps.map((line) => line.split(":")[0])).toEqual(
      Array.from({ length: 20 }, (_, i) => `step ${i + 1} of 20`),
    );
    expect(lines.slice(20)).toEqual([
      expect.stringMatching(/^epoch 1: micro-AUC \d+\.\d %$/),
      expect.stringMatching(/^epoch 2: micro-AUC \d+\.\d %$/),
      `saved ${file}`,
    ]);
    const { config } = await readCheckpoint([file]);
    expect(config).toMatchObject({ patch: 16, encoderWidth: 128, decoderDepth: 4 });
  });

  it("cameras: raises an alarm for each camera and counts its frames", async () => {
    const lines = await example("cameras");
    const alarms = lines.map((line) =>
      /^camera ([123]), \d\.\d s: score (\d\.\d{3})$/.exec(line)?.slice(1).map(Number),
    );
    const counts = lines.map((line) => /^camera ([123]): (\d+) frames above 0\.3$/.exec(line)?.slice(1).map(Number));
    const shown = alarms.flatMap((alarm) => (alarm ? [alarm] : []));
    for (const [, score] of shown) expect(score).toBeGreaterThanOrEqual(0.3);
    const perCamera = [1, 2, 3].map((camera) => [camera, shown.filter(([one]) => one === camera).length]);
    expect(counts.slice(-3)).toEqual(perCamera);
    for (const [, count] of perCamera) expect(count).toBeGreaterThan(0);
    expect(shown.length + 3).toBe(lines.length);
  });

  it("are quoted word for word in docs/library.md", () => {
    const guide = readFileSync(join(repository, "docs", "library.md"), "utf8");
    const blocks = [...guide.matchAll(/^```js\n(\/\/ (examples\/node\/\w+\.js)\n[\s\S]*?)^```$/gm)];
    expect([...new Set(blocks.map(([, , path]) => path))].sort()).toEqual(
      names.map((name) => `examples/node/${name}.js`).sort(),
    );
    for (const [, text, path] of blocks) {
      const [first, ...rest] = text.split("\n");
      expect(first).toBe(`// ${path}`);
      const file = readFileSync(join(repository, path), "utf8");
      expect(file.startsWith(`${first}\n`)).toBe(true);
      expect(file).toContain(rest.join("\n").trim());
    }
  });
});
