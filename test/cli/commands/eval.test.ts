import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { expectRefusal, filesIn, frameFolder, sdmae, videoFile } from "../../support/cli.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";

const at = scratch();
const model = [
  ...[
    "--checkpoint",
    fixturePath("tiny-checkpoint-best.pth"),
    "--student",
    fixturePath("tiny-checkpoint-best-student.pth"),
  ],
  ...["--size", "32x64", "--adapter", testAdapter, "--quiet"],
];
const size = { height: 40, width: 72 };

/** The bottom right quarter. */
async function maskFile(path: string, isAbnormal: boolean, { height, width } = size): Promise<void> {
  const data = Buffer.from(
    Array.from({ length: height * width }, (_, i) =>
      isAbnormal && i % width >= width / 2 && Math.floor(i / width) >= height / 2 ? 255 : 0,
    ),
  );
  await sharp(data, { raw: { height, width, channels: 1 } })
    .png()
    .toFile(path);
}

/**
 * Makes a data set in the original's layout: two test videos of 6 and 5 frames, with labels, and
 * masks for the first.
 */
async function dataSet(root: string): Promise<string> {
  for (const folder of ["train/frames", "test/frames", "test/labels", "test/masks/01"]) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  await frameFolder(join(root, "train/frames/01"), [0, 1, 2], size);
  await frameFolder(join(root, "test/frames/01"), [0, 1, 2, 3, 4, 5], size);
  await frameFolder(join(root, "test/frames/02"), [0, 1, 2, 3, 5], size);
  writeFileSync(join(root, "test/labels/01.txt"), "0\n0\n0\n1\n1\n1\n");
  writeFileSync(join(root, "test/labels/02.txt"), "1\n1\n0\n0\n0\n");
  for (let i = 0; i < 6; i++) await maskFile(join(root, `test/masks/01/${i}.png`), i > 2);
  return root;
}

interface Evaluated {
  dataset: { layout: string; videos: string[] };
  seed: number;
  maskings: number;
  settings: Record<string, unknown>;
  metrics: { name: string; value?: number; published?: number; note: string }[];
  threshold: number;
  events?: Record<string, unknown>;
  notes: string[];
  videos: { name: string; auc?: number; frames: number[]; raw: number[]; scores: number[]; labels?: number[] }[];
}

/** Evaluates a data set, which must work; returns the JSON and what was printed. */
async function evaluated(root: string, ...options: string[]): Promise<Evaluated & { printed: string }> {
  const json = at("eval.json");
  const ran = await sdmae("eval", "--root", root, ...model, ...options, "--json", json);
  expect(ran).toMatchObject({ code: 0, stderr: "" });
  const parsed = JSON.parse(readFileSync(json, "utf8")) as Evaluated;
  rmSync(json);
  return { ...parsed, printed: ran.stdout };
}

/** The area under the ROC curve, by counting pairs. */
function auc(labels: readonly number[], scores: readonly number[]): number {
  let [pairs, right] = [0, 0];
  for (const [i, a] of scores.entries()) {
    for (const [j, n] of scores.entries()) {
      if (labels[i] !== 1 || labels[j] !== 0) continue;
      pairs++;
      right += a > n ? 1 : a === n ? 0.5 : 0;
    }
  }
  return right / pairs;
}

let root: string;
beforeAll(async () => {
  root = await dataSet(at("set"));
});

describe("eval", () => {
  it("prints and writes the metrics of the scores that it writes", async () => {
    const result = await evaluated(root, "--smoothing", "none");
    expect(result.videos.map((v) => [v.name, v.frames.length])).toEqual([
      ["01", 6],
      ["02", 5],
    ]);
    expect(result.videos[1].frames).toEqual([0, 1, 2, 3, 5]);
    const figure = (name: string) => result.metrics.find((m) => m.name === name)?.value;
    const labels = result.videos.flatMap((v) => v.labels ?? []);
    const scores = result.videos.flatMap((v) => v.scores);
    expect(labels).toEqual([0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0]);
    expect(figure("micro-AUC")).toBeCloseTo(100 * auc(labels, scores), 9);
    for (const video of result.videos) {
      expect(video.scores).toEqual(video.raw);
      expect(video.auc).toBeCloseTo(100 * auc(video.labels!, video.scores), 9);
    }
    const padded = result.videos.map((v) => 100 * auc([0, ...v.labels!, 1], [0, ...v.scores, 1]));
    expect(figure("macro-AUC")).toBeCloseTo((padded[0] + padded[1]) / 2, 9);
    for (const name of ["pixel AUC", "RBDC", "TBDC", "EER"]) expect(figure(name)).toBeGreaterThanOrEqual(0);
    // Two events: frames 3…5 of the first video, 0 and 1 of the second.
    expect(result.printed).toMatch(/^events found +\d of 2 /m);
    expect(result.printed).toMatch(/^false alarms +[\d.]+ \/ h /m);
    // What the figures mean begins in one column.
    expect(result.printed).toMatch(/^micro-AUC +[\d.]+ +- {2}over the frames of all videos together$/m);
    expect(result.printed).toMatch(
      /^TBDC +[\d.]+ +- {2}share of abnormal tracks found, mean over 0 to 1 false alarms per frame$/m,
    );
    expect(result.printed).toContain(figure("micro-AUC")!.toFixed(2));
  });

  it("counts the events that score lists, at the same threshold", async () => {
    const { videos } = await evaluated(root, "--smoothing", "none");
    const sorted = videos.flatMap(({ raw }) => raw).sort((a, b) => a - b);
    // Between two scores, so that rounding does not matter.
    const threshold = String((sorted[2]! + sorted[3]!) / 2);
    const options = ["--threshold", threshold, "--fps", "4"];
    const result = await evaluated(root, ...options);
    expect(result.printed).toMatch(/^events found +\d of 2 +at the threshold, by the rule of score, /m);
    let listed = 0;
    for (const name of ["01", "02"]) {
      const events = at("events.csv");
      const ran = await sdmae("score", join(root, "test/frames", name), ...model, ...options, "--events", events);
      expect(ran.code).toBe(0);
      listed += readFileSync(events, "utf8").trim().split("\n").length - 1;
    }
    expect(listed).toBeGreaterThan(0);
    expect(result.events).toMatchObject({ threshold: Number(threshold), alarms: listed });
  });

  it("averages maskings, each scored as by `score`, and takes other frame scores and smoothings", async () => {
    const work = ["--work", at("maskings")];
    const both = await evaluated(root, ...work, "--smoothing", "none", "--seed", "5", "--maskings", "2");
    const out = at("scores.json");
    const scores: number[][] = [];
    for (const seed of ["5", "6"]) {
      const scored = await sdmae("score", join(root, "test/frames/01"), ...model, "--seed", seed, "--out", out);
      expect(scored.code).toBe(0);
      const { frames } = JSON.parse(readFileSync(out, "utf8")) as { frames: { score: number }[] };
      scores.push(frames.map((frame) => frame.score));
    }
    both.videos[0].raw.forEach((raw, i) => {
      expect(raw / (scores[0][i] + scores[1][i])).toBeCloseTo(0.5, 5);
    });
    const how = ["--frame-score", "maximum", "--smoothing", "gaussian", "--sigma", "2"];
    const top = await evaluated(root, ...work, "--seed", "5", ...how);
    expect(top.videos[0].raw[0]).toBeGreaterThan(scores[0][0]);
    expect(top.settings).toMatchObject({ scoring: "maximum", smoothing: { kind: "gaussian", sigma: 2 } });
    // A Gaussian that keeps its sum stays between the extremes.
    expect(Math.max(...top.videos[0].scores)).toBeLessThan(Math.max(...top.videos[0].raw));
  });

  it("continues from the records of an earlier run", async () => {
    const work = at("work");
    const first = await evaluated(root, "--work", work, "--seed", "3");
    const [own] = filesIn(work);
    const files = filesIn(join(work, own));
    expect(files).toEqual(["01.3.safetensors", "02.3.safetensors"]);
    const times = files.map((file) => statSync(join(work, own, file)).mtimeMs);
    rmSync(join(work, own, "02.3.safetensors"));
    const again = await evaluated(root, "--work", work, "--seed", "3");
    expect(again.videos).toEqual(first.videos);
    expect(statSync(join(work, own, "01.3.safetensors")).mtimeMs).toBe(times[0]);
    expect(filesIn(join(work, own))).toEqual(files);
    // Other settings of the model have other records.
    await evaluated(root, "--work", work, "--seed", "3", "--norm", "L1", "--videos", "02");
    expect(filesIn(work)).toHaveLength(2);
    // A damaged record is named.
    truncateSync(join(work, own, "01.3.safetensors"), 100);
    const json = at("never.json");
    const damaged = await sdmae("eval", "--root", root, ...model, "--work", work, "--seed", "3", "--json", json);
    expectRefusal(damaged, /01\.3\.safetensors/);
    expect(existsSync(json)).toBe(false);
  });

  it("writes a report with every video", async () => {
    const report = at("report");
    const ran = await sdmae("eval", "--root", root, ...model, "--report", report);
    expect(ran.code).toBe(0);
    expect(filesIn(report)).toEqual(["index.html"]);
    const page = readFileSync(join(report, "index.html"), "utf8");
    const json = /<script type="application\/json"[^>]*>([\s\S]*?)<\/script>/.exec(page)?.[1] ?? "";
    const data = JSON.parse(json) as { videos: { name: string; scores: number[] }[]; moments: { kind: string }[] };
    expect(data.videos.map((v) => [v.name, v.scores.length])).toEqual([
      ["01", 6],
      ["02", 5],
    ]);
    expect(data.moments.map((m) => m.kind)).toContain("detected");
  });

  it("prints JSON, with a note if only some videos are measured", async () => {
    const ran = await sdmae("eval", "--root", root, ...model, "--videos", "02", "--json", "-");
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    const data = JSON.parse(ran.stdout) as Evaluated;
    expect(data.dataset).toMatchObject({ videos: ["02"] });
    expect(data.notes).toEqual(["only 1 of 2 test videos: not comparable with the paper's figures"]);
  });

  it("leaves out the paper's column if only some videos are measured", async () => {
    const { stdout } = await sdmae("eval", "--root", root, ...model, "--videos", "02");
    expect(stdout).toMatch(/^in percent +here *$/m);
    expect(stdout).toMatch(/^micro-AUC +[\d.]+ {2}over the frames of all videos together$/m);
  });

  it("scores videos without labels, and says that the metrics need them", async () => {
    const own = at("own");
    mkdirSync(join(own, "test"), { recursive: true });
    await videoFile(join(own, "test", "yard.avi"), 4, "-c:v", "ffv1");
    const result = await evaluated(own, "--dataset", "folder");
    expect(result.videos.map((v) => v.name)).toEqual(["yard"]);
    expect(result.videos[0].labels).toBeUndefined();
    expect(result.metrics.find((m) => m.name === "micro-AUC")?.value).toBeUndefined();
    expect(result.printed).toContain("needs labels");
  });
});

describe("eval refuses, and leaves nothing behind for,", () => {
  async function refused(own: string, options: readonly string[], ...says: (string | RegExp)[]) {
    const json = at("refused.json");
    const ran = await sdmae("eval", "--root", own, ...model, ...options, "--json", json);
    expectRefusal(ran, ...says);
    expect(existsSync(json)).toBe(false);
  }

  it("labels shorter than a video", async () => {
    const own = await dataSet(at("short"));
    writeFileSync(join(own, "test/labels/02.txt"), "1\n1\n0\n");
    await refused(own, [], /02\.txt has 3 labels/, /5 frames/);
  });

  it("labels shorter than a video, before it makes the report's folder", async () => {
    const own = at("short");
    await refused(own, ["--report", at("no-report")], /02\.txt/);
    expect(existsSync(at("no-report"))).toBe(false);
  });

  it("an image without a number among numbered ones", async () => {
    const own = await dataSet(at("nameless"));
    renameSync(join(own, "test/frames/01/frame_002.png"), join(own, "test/frames/01/odd.png"));
    await refused(own, [], /odd\.png has no frame number/);
  });

  it("an unreadable image in the middle", async () => {
    const own = await dataSet(at("damaged"));
    truncateSync(join(own, "test/frames/01/frame_003.png"), 90);
    await refused(own, [], /frame_003\.png/);
  });

  it("frames of mixed sizes", async () => {
    const own = await dataSet(at("mixed"));
    await sharp(join(own, "test/frames/01/frame_001.png"))
      .resize(36, 20)
      .toFile(join(own, "test/frames/01/frame_006.png"));
    rmSync(join(own, "test/frames/01/frame_005.png"));
    await refused(own, [], /frame_006\.png is 36×20 pixels/);
  });

  it("two frames with the same number", async () => {
    const own = await dataSet(at("double"));
    await sharp(join(own, "test/frames/01/frame_001.png")).toFile(join(own, "test/frames/01/x1.png"));
    await refused(own, [], /both have the frame number 1/);
  });

  it("a root or a video that does not exist, and a root without test videos", async () => {
    await refused(at("nowhere"), [], /nowhere/);
    await refused(root, ["--videos", "01,09"], /no test video "09"; its test videos: 01, 02/);
    const own = at("only-train");
    mkdirSync(join(own, "train/frames"), { recursive: true });
    await frameFolder(join(own, "train/frames/01"), [0, 1], size);
    await refused(own, [], /only-train/, /test/);
  });

  it.each([
    [["--alpha", "2"], /--alpha/],
    [["--dataset", "kinetics"], /--dataset/],
    [["--frame-score", "best"], /--frame-score/],
    [["--top-k", "0"], /--top-k/],
    [["--region-quantile", "1"], /region quantile 1/],
    [["--sigma", "3"], /--sigma has no effect without --smoothing gaussian/],
    [["--smoothing", "none", "--range", "38"], /--range has no effect without --smoothing paper/],
    [["--top-k", "3"], /--top-k has no effect without --frame-score top-k/],
    [["--masked-only", "--tokens", "all"], /contradict each other/],
    [["--frame-score", "anomaly-map", "--score", "student"], /--score has no effect/],
    [["--masking", "gradient", "--maskings", "2"], /--maskings 2 has no effect/],
  ])("%j", async (options, message) => {
    await refused(root, options, message);
  });
});
