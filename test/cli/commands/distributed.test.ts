import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { openDataset } from "../../../src/node/datasets/index.js";
import { publishedSplit } from "../../../src/node/datasets/ubnormal_split.js";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { expectRefusal, filesIn, frameFolder, picture, sdmae, videoFile } from "../../support/cli.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";

const at = scratch();
const size = { height: 48, width: 80 };
const large = { height: 160, width: 320 };
const codec = ["-c:v", "mpeg4"];

/** Copies a fixture to a place under a root. */
function truth(name: string, ...path: string[]): void {
  mkdirSync(dirname(at(...path)), { recursive: true });
  copyFileSync(fixturePath(`ground_truth/${name}`), at(...path));
}

/** Encodes pictures as large as an object needs that can be cut out: at least 267 pixels. */
async function largeVideo(path: string, count: number): Promise<void> {
  const input = Buffer.concat(Array.from({ length: count }, (_, t) => picture(t, large)));
  const raw = [
    "-f",
    "rawvideo",
    "-pix_fmt",
    "bgr24",
    "-s",
    `${large.width}x${large.height}`,
    "-r",
    "10",
    "-i",
    "pipe:0",
  ];
  execFileSync(await findFfmpeg(), ["-v", "error", ...raw, ...codec, path], { input });
}

/** An image of numbers: 5 on a block of 20×18 pixels. */
async function map(path: string, { width, height }: typeof size): Promise<void> {
  const inside = (x: number, y: number) => x >= 20 && x < 40 && y >= 10 && y < 28;
  const data = Uint8Array.from({ length: width * height }, (_, i) =>
    inside(i % width, Math.floor(i / width)) ? 5 : 0,
  );
  await sharp(data, { raw: { width, height, channels: 1 } })
    .png()
    .toFile(path);
}

beforeAll(async () => {
  for (const folder of ["training_videos", "testing_videos"]) {
    mkdirSync(at("Avenue/Avenue Dataset", folder), { recursive: true });
    for (const name of ["01", "02"]) await videoFile(at("Avenue/Avenue Dataset", folder, `${name}.avi`), 6, ...codec);
  }
  for (const name of ["1", "2"]) {
    truth("video_label.mat", `Avenue/ground_truth_demo/testing_label_mask/${name}_label.mat`);
  }
  for (const folder of ["training/videos", "testing/frames"]) {
    mkdirSync(at("shanghaitech", folder), { recursive: true });
  }
  await videoFile(at("shanghaitech/training/videos/01_001.avi"), 6, ...codec);
  await frameFolder(at("shanghaitech/testing/frames/01_0014"), [0, 1, 2, 3, 4, 5], size);
  truth("video_labels.npy", "shanghaitech/testing/test_frame_mask/01_0014.npy");
  truth("video_masks.npy", "shanghaitech/testing/test_pixel_mask/01_0014.npy");
  for (const name of [
    "normal_scene_2_scenario_1",
    ...[1, 2, 3].map((scenario) => `abnormal_scene_2_scenario_${scenario}`),
  ]) {
    mkdirSync(at("UBnormal/Scene2"), { recursive: true });
    const isLarge = name === "abnormal_scene_2_scenario_3";
    if (isLarge) await largeVideo(at("UBnormal/Scene2", `${name}.mp4`), 6);
    else await videoFile(at("UBnormal/Scene2", `${name}.mp4`), 6, ...codec);
    if (name.startsWith("normal")) continue;
    const folder = at("UBnormal/Scene2", `${name}_annotations`);
    mkdirSync(folder);
    writeFileSync(join(folder, `${name}_tracks.txt`), "5.0,3.0,4.0\n");
    for (let i = 0; i < 6; i++) await map(join(folder, `${name}_000${i}_gt.png`), isLarge ? large : size);
  }
});

interface Listed {
  layout: string;
  notes: string[];
  faults: string[];
  videos: { split: string; name: string; frames: number; abnormal?: number[][]; hasMasks: boolean; tracks?: number }[];
}

async function listed(root: string): Promise<Listed & { rows: unknown[] }> {
  const ran = await sdmae("dataset", root, "--verify", "--quiet", "--json", "-");
  expect(ran.code, ran.stdout).toBe(0);
  const report = JSON.parse(ran.stdout) as Listed;
  const rows = report.videos.map((v) => [v.split, v.name, v.frames, v.abnormal, v.hasMasks]);
  return { ...report, rows };
}

/** The metrics that `eval` finds. */
async function measured(root: string, ...options: string[]): Promise<string[]> {
  const models = ["tiny-checkpoint-best.pth", "tiny-checkpoint-best-student.pth"].map(fixturePath);
  const model = ["--checkpoint", models[0] as string, "--student", models[1] as string];
  const ran = await sdmae(
    ...["eval", "--root", root, ...model, "--size", "32x64", "--adapter", testAdapter, "--quiet", "--json", "-"],
    ...options,
  );
  expect(ran).toMatchObject({ code: 0, stderr: "" });
  const { metrics } = JSON.parse(ran.stdout) as { metrics: { name: string; value?: number }[] };
  return metrics.filter(({ value }) => value !== undefined).map(({ name }) => name);
}

async function trained(root: string, run: string, ...options: string[]): Promise<void> {
  const network = ["--patch", "8", "--width", "16", "--decoder-width", "16", "--depth", "1", "--decoder-depth", "2"];
  const short = ["--batch", "4", "--epochs", "2", "--teacher-epochs", "1", "--anomalies", "none"];
  const ran = await sdmae(
    ...["train", "--root", root, "--out", run, "--size", "32x64", ...network, ...short, "--adapter", testAdapter],
    ...options,
  );
  expect(ran.code, ran.stderr).toBe(0);
  expect(existsSync(join(run, "model.safetensors"))).toBe(true);
}

describe("CUHK Avenue as distributed", () => {
  it.each(["Avenue", "Avenue/Avenue Dataset"])("is found in %s, with masks from N_label.mat", async (root) => {
    const { layout, rows, notes } = await listed(at(root));
    expect([layout, notes]).toEqual(["avenue", []]);
    expect(rows).toEqual([
      ["train", "01", 6, undefined, false],
      ["train", "02", 6, undefined, false],
      ["test", "01", 6, [[3, 4]], true],
      ["test", "02", 6, [[3, 4]], true],
    ]);
  });

  it("is measured and trained on as it is", async () => {
    expect(await measured(at("Avenue"))).toEqual(
      expect.arrayContaining(["micro-AUC", "macro-AUC", "pixel AUC", "RBDC"]),
    );
    await trained(at("Avenue"), at("avenue-run"));
  });
});

describe("ShanghaiTech as distributed", () => {
  it("has labels and masks from .npy", async () => {
    const { layout, rows, notes } = await listed(at("shanghaitech"));
    expect([layout, notes]).toEqual(["shanghai", []]);
    expect(rows).toEqual([
      ["train", "01_001", 6, undefined, false],
      ["test", "01_0014", 6, [[3, 4]], true],
    ]);
  });

  it("is measured and trained on as it is", async () => {
    expect(await measured(at("shanghaitech"))).toEqual(expect.arrayContaining(["micro-AUC", "pixel AUC", "RBDC"]));
    await trained(at("shanghaitech"), at("shanghai-run"));
  });
});

describe("UBnormal as distributed", () => {
  it("is split as published, with labels, masks and tracks", async () => {
    const { layout, rows, notes, videos } = await listed(at("UBnormal"));
    expect(layout).toBe("ubnormal");
    expect(rows).toEqual([
      ["train", "normal_scene_2_scenario_1", 6, [], true],
      ["validation", "abnormal_scene_2_scenario_2", 6, [[3, 4]], true],
      ["test", "abnormal_scene_2_scenario_1", 6, [[3, 4]], true],
    ]);
    expect(videos[2]?.tracks).toBe(1);
    expect(notes).toEqual([
      "not trained on, because abnormal: 1 video of the training split; create-anomalies ubnormal cuts objects out of them",
    ]);
  });

  it("is measured as it is", async () => {
    const metrics = ["micro-AUC", "pixel AUC", "RBDC", "TBDC"];
    expect(await measured(at("UBnormal"))).toEqual(expect.arrayContaining(metrics));
    expect(await measured(at("UBnormal"), "--split", "validation")).toEqual(expect.arrayContaining(metrics));
  });

  it("is measured on its validation videos, and trained with them, if asked to", async () => {
    const model = ["--checkpoint", fixturePath("tiny-checkpoint-best.pth"), "--size", "32x64", "--quiet"];
    const ran = await sdmae(
      ...["eval", "--root", at("UBnormal"), ...model, "--split", "validation", "--adapter", testAdapter],
    );
    expect(ran.stdout).toMatch(/^UBnormal \(validation\), .*: 1 validation video$/m);
    expect(ran.stdout).toMatch(/^abnormal_scene_2_scenario_2 +6 /m);
    await trained(at("UBnormal"), at("ubnormal-run"), "--split", "validation");
    const { data } = JSON.parse(readFileSync(at("ubnormal-run/settings.json"), "utf8")) as { data: object };
    expect(data).toEqual({ root: at("UBnormal"), split: "validation" });
    const tested = readFileSync(at("ubnormal-run/log.jsonl"), "utf8").match(/"type":"test"/g);
    expect(tested).toHaveLength(2);
    const again = ["train", "--out", at("ubnormal-run"), "--resume", "--split", "test"];
    expectRefusal(await sdmae(...again), /--split has no effect with --resume/);
    for (const command of [
      ["eval", ...model],
      ["train", "--out", at("no-run")],
    ]) {
      const refused = await sdmae(...command, "--root", at("shanghaitech"), "--split", "validation");
      expectRefusal(refused, /has no validation videos: only UBnormal's are known/);
    }
  });

  // As in the code of SD-MAE's authors, a track's last frame is left out here.
  it("gives cut-outs of its abnormal training videos", async () => {
    const out = ["--dataset-root", at("shanghaitech"), "--out", at("pasted"), "--sequences", at("cut"), "--quiet"];
    expect(await sdmae("create-anomalies", "ubnormal", at("UBnormal"), ...out)).toMatchObject({ code: 0, stderr: "" });
    expect(filesIn(at("cut"))).toEqual(["abnormal_scene_2_scenario_3"]);
    expect(filesIn(at("cut/abnormal_scene_2_scenario_3/sequence_0000/masks"))).toEqual(["0.png"]);
    expect(filesIn(at("pasted/train/masks/01_001"))).toHaveLength(6);
  });

  it("gives Avenue frames with anomalies beside its training videos, where training finds them", async () => {
    const into = ["--dataset-root", at("Avenue"), "--in-place", "--sequences", at("cut-again"), "--quiet"];
    expect(await sdmae("create-anomalies", "ubnormal", at("UBnormal"), ...into)).toMatchObject({ code: 0, stderr: "" });
    const folder = at("Avenue/Avenue Dataset");
    expect(filesIn(join(folder, "frames_abnormal"))).toEqual(["01", "02"]);
    expect(filesIn(folder)).not.toContain("train");
    const { train } = await openDataset(at("Avenue"));
    expect((await train[0]?.abnormal?.masks())?.frameCount).toBe(6);
  });

  it("takes frames with anomalies itself, and then trains with them", async () => {
    const into = ["--dataset-root", at("UBnormal"), "--in-place", "--sequences", at("cut-third"), "--quiet"];
    expect(await sdmae("create-anomalies", "ubnormal", at("UBnormal"), ...into)).toMatchObject({ code: 0, stderr: "" });
    const { train, layout } = await openDataset(at("UBnormal"));
    expect([layout, (await train[0]?.abnormal?.frames())?.frameCount]).toEqual(["ubnormal", 6]);
  });

  it("has 543 videos in the published split", () => {
    const parts = [...publishedSplit()].map(([name, part]) => `${name.split("_")[0]} ${part}`);
    const counts = Object.fromEntries(
      [...new Set(parts)].map((part) => [part, parts.filter((p) => p === part).length]),
    );
    expect(counts).toEqual({
      ...{ "normal training": 186, "normal validation": 26, "normal test": 53 },
      ...{ "abnormal training": 82, "abnormal validation": 38, "abnormal test": 158 },
    });
    for (const name of [
      "normal_scene_1_scenario1_10",
      "normal_scene_17_scenario_3_1",
      "abnormal_scene_27_scenario_2_fire",
    ]) {
      expect([name, publishedSplit().get(name)]).toEqual([name, "test"]);
    }
  });
});

it("lists a name that is not UTF-8, with --verify too", async () => {
  mkdirSync(at("gbk/train"), { recursive: true });
  mkdirSync(at("gbk/test"));
  await videoFile(at("gbk/train/a.mp4"), 3, ...codec);
  const name = Buffer.concat([
    Buffer.from(at("gbk/test/")),
    Buffer.from([0xbc, 0xe0, 0xbf, 0xd8]),
    Buffer.from(".mp4"),
  ]);
  try {
    writeFileSync(name, readFileSync(at("gbk/train/a.mp4")));
  } catch {
    return; // A file system that takes UTF-8 only.
  }
  for (const options of [[], ["--verify"]]) {
    const { code, stdout } = await sdmae("dataset", at("gbk"), "--quiet", ...options);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^train\/a +~?3 /m);
    expect(stdout).toMatch(/^fault: .*\.mp4: this name is not UTF-8, so the file cannot be opened: rename it/m);
  }
});
