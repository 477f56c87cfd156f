import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expectRefusal, fixturePath, scratch, tool } from "./support.js";

const at = scratch();
// An adapter that does not exist: metrics must not look for one.
const check = (...args: string[]) => tool("check-fixture", ...args, "--adapter", "none such");
const rows = (stdout: string) =>
  [...stdout.matchAll(/^(ok|FAILED) +case (\d+): (\w+) +(\d+) values {2}(\S+) at most$/gm)].map(
    ([, verdict, number, name, count, error]) => ({
      verdict,
      number,
      name,
      count: Number(count),
      error: Number(error),
    }),
  );
const read = (name: string) => JSON.parse(readFileSync(fixturePath(name), "utf8"));
const write = (name: string, content: unknown) => {
  writeFileSync(at(name), typeof content === "string" ? content : JSON.stringify(content));
  return at(name);
};

describe("check-fixture on metrics", () => {
  it.each([
    ["frame-auc.json", ["filtered_first_video", "micro_auc", "macro_auc"]],
    ["rbdc-tbdc.json", ["rbdc", "tbdc", "reaches_fpr_1"]],
  ])("finds every metric of every case of %s to 1e-9", async (name, metrics) => {
    const cases = read(name);
    const { code, stdout, stderr } = await check(fixturePath(name));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const found = rows(stdout);
    expect(found).toHaveLength(cases.length * metrics.length);
    for (const [i, row] of found.entries()) {
      const [number, metric] = [Math.floor(i / metrics.length), metrics[i % metrics.length]];
      const count = metric === "filtered_first_video" ? cases[number][metric].length : 1;
      expect(row).toMatchObject({ verdict: "ok", number: `${number + 1}`, name: metric, count });
      expect(row.error).toBeLessThanOrEqual(1e-9);
    }
    expect(stdout).toContain(`${name}: ${found.length} of ${found.length} within tolerance (1e-9)\n`);
  });

  it("takes both kinds in one file, and fails where a metric is off", async () => {
    const [frames, regions] = [read("frame-auc.json")[1], read("rbdc-tbdc.json")[2]];
    const wrong = { ...regions, tbdc: regions.tbdc + 2e-9, reaches_fpr_1: true };
    const path = write("both.json", [{ ...frames, macro_auc: frames.macro_auc - 1e-3 }, wrong, regions]);
    const { code, stdout, stderr } = await check(path);
    expect({ code, stderr }).toEqual({ code: 1, stderr: "error: 3 of 9 comparisons are past the tolerance\n" });
    const failed = rows(stdout).filter(({ verdict }) => verdict === "FAILED");
    expect(failed.map(({ number, name }) => `${number} ${name}`)).toEqual(["1 macro_auc", "2 tbdc", "2 reaches_fpr_1"]);
    expect(failed[0]?.error).toBeCloseTo(1e-3, 9);
    const loose = await check(path, "--tolerance", "1e-8");
    expect(rows(loose.stdout).filter(({ verdict }) => verdict === "FAILED")).toHaveLength(2);
  });

  it("takes videos in the file's order where scores are equal, whatever their names", async () => {
    // The miss stands first in the file; JavaScript would put the key 7 before 08.
    const text = `[{ "alpha": 0.1, "beta": 0.1, "num_frames": 2, "reaches_fpr_1": false, "rbdc": 0.5, "tbdc": 0.5,
      "tracks": { "7": [[0, 0, 0, 0, 9, 9]] },
      "detections": { "08": [[0, 50, 0, 59, 9, 0.5]], "7": [[0, 0, 0, 9, 9, 0.5]] } }]`;
    expect(await check(write("order.json", text))).toMatchObject({ code: 0, stderr: "" });
  });

  it("names the file and the field that is missing or wrong", async () => {
    const [frames, regions] = [read("frame-auc.json")[3], read("rbdc-tbdc.json")[0]];
    const refused: [unknown, string][] = [
      ["[1, 2", "neither a safetensors file nor valid JSON"],
      ["", "neither a safetensors file nor valid JSON"],
      [{}, "is no JSON list of cases"],
      [[], "is no JSON list of cases"],
      [[7], "case 1: no JSON object"],
      [[frames, { range: 3 }], 'case 2: neither frame scores ("scores") nor regions ("tracks")'],
      [[{ ...frames, mu: undefined }], 'case 1: "mu" is missing: it should be a number'],
      [[{ ...frames, mu: 0 }], "case 1: the smoothing's mu 0 is not"],
      [[{ ...frames, normalize: 1 }], 'case 1: "normalize" is not true or false'],
      [[{ ...frames, scores: [1, "2"] }], 'case 1: "scores" is not a list of numbers'],
      [[{ ...frames, labels: [0, 1] }], 'case 1: there are 190 "videos", 190 "scores" and 2 "labels"'],
      [[{ ...frames, labels: [2, ...frames.labels.slice(1)] }], "case 1: video 01: the label of frame 0 is 2"],
      [[{ ...frames, filtered_first_video: [1] }], 'case 1: "filtered_first_video" has '],
      [[regions, { ...regions, tracks: [] }], 'case 2: "tracks" is not an object with a list of rows of six numbers'],
      [[{ ...regions, detections: { "01": [[1, 2, 3]] } }], 'case 1: "detections" is not an object'],
      [[{ ...regions, num_frames: 0 }], "case 1: regions are measured by frame: 0 frames"],
      [[{ ...regions, rbdc: "much" }], 'case 1: "rbdc" is not a number'],
    ];
    // Python writes NaN as it is; it stands for no number, and smoothing makes it 0.
    const text = JSON.stringify([
      { ...frames, scores: frames.scores.map((s: number, i: number) => (i === 3 ? null : s)) },
    ]);
    writeFileSync(at("nan.json"), text.replace("null", "NaN"));
    const nan = await check(at("nan.json"));
    expect(nan.code).toBe(1);
    expect(nan.stdout).toContain("FAILED  case 1: filtered_first_video");
    for (const [content, message] of refused) {
      expectRefusal(await check(write("refused.json", content)), "refused.json", message);
    }
    expectRefusal(
      await check(fixturePath("tiny-patch8.pth"), fixturePath("rbdc-tbdc.json")),
      "rbdc-tbdc.json is a case of metrics: name no checkpoint before it",
    );
  });
});
