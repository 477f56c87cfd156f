import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { createAnomaliesCommand } from "../../../src/cli/commands/create_anomalies.js";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { readImage } from "../../../src/node/media/images.js";
import { expectRefusal, filesIn, tool } from "../../support/cli.js";
import { scratch } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratch();

/** Runs the command; returns what it prints on stderr. */
async function create(...args: string[]): Promise<string> {
  const write = vi.spyOn(process.stderr, "write").mockImplementation(() => true);
  try {
    await createAnomaliesCommand().parseAsync([...args, "--quiet"], { from: "user" });
    return write.mock.calls.map(([text]) => text).join("");
  } finally {
    write.mockRestore();
  }
}

const refusalOf = (...args: string[]) => refusal(create(...args));

async function gray(
  path: string,
  width: number,
  height: number,
  value: (x: number, y: number) => number,
): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const data = Uint8Array.from({ length: width * height }, (_, i) => value(i % width, Math.floor(i / width)));
  await sharp(data, { raw: { width, height, channels: 1 } })
    .png()
    .toFile(path);
}

const within = (x: number, y: number, [x1, y1, w, h]: readonly [number, number, number, number]) =>
  x >= x1 && x < x1 + w && y >= y1 && y < y1 + h;

/** A training set of two videos in which a block walks. */
async function trainingSet(root: string, count = 30): Promise<string> {
  for (const [video, speed] of [
    ["01", 1.5],
    ["02", -1],
  ] as const) {
    for (let t = 0; t < count; t++) {
      const block = [40 + Math.round(speed * t), 30, 10, 24] as const;
      await gray(join(root, "train", "frames", video, `${String(t).padStart(3, "0")}.png`), 120, 80, (x, y) =>
        within(x, y, block) ? 20 : 120 + ((x * 7 + y * 3 + t) % 4),
      );
    }
  }
  await gray(join(root, "test", "frames", "01", "000.png"), 120, 80, () => 120);
  return root;
}

/**
 * A small UBnormal: an object of 18×20 pixels that shrinks below 267 pixels in its fourth frame,
 * and one that is too large to paste.
 */
async function ubnormal(root: string): Promise<string> {
  const video = "abnormal_scene_1_scenario_1";
  const notes = join(root, "train", "annotations", `${video}_annotations`);
  for (let t = 0; t < 5; t++) {
    const small = [30 + 4 * t, 20, t < 4 ? 18 : 13, 20] as const;
    const large = [160, 40, 100, 100] as const;
    const number = (x: number, y: number) => (within(x, y, small) ? 3 : within(x, y, large) ? 7 : 0);
    const name = String(t).padStart(4, "0");
    await gray(join(root, "train", "frames", video, `${name}.png`), 320, 160, (x, y) =>
      number(x, y) ? 90 + 10 * t : 200,
    );
    await gray(join(notes, `${video}_${name}_gt.png`), 320, 160, number);
  }
  writeFileSync(join(notes, `${video}_tracks.txt`), "3.0,0,5\n7,0,2\n9,0,5\n");
  const empty = "abnormal_scene_2_scenario_1";
  await gray(join(root, "train", "frames", empty, "0000.png"), 320, 160, () => 0);
  await gray(join(root, "train", "annotations", `${empty}_annotations`, `${empty}_0000_gt.png`), 320, 160, () => 0);
  writeFileSync(join(root, "train", "annotations", `${empty}_annotations`, `${empty}_tracks.txt`), "");
  mkdirSync(join(root, "train", "frames", "normal_scene_1_scenario_1"));
  return root;
}

describe("ubnormal", () => {
  let [root, set] = ["", ""];
  beforeAll(async () => {
    root = await ubnormal(at("ubnormal"));
    set = await trainingSet(at("set"), 6);
  });
  const frame = async (path: string) => (await readImage(path)).data;

  it("cuts out sequences and pastes them", async () => {
    const said = await create("ubnormal", root, "--dataset-root", set, "--out", at("pasted"), "--seed", "2");
    expect(said).toBe("warning: no tracks in abnormal_scene_2_scenario_1\n");
    const sequences = join(root, "abnormal_sequences", "abnormal_scene_1_scenario_1");
    expect(filesIn(join(root, "abnormal_sequences"))).toEqual(["abnormal_scene_1_scenario_1"]);
    expect(filesIn(sequences)).toEqual(["sequence_0000", "sequence_0001"]);
    expect(filesIn(join(sequences, "sequence_0000", "anomalies"))).toEqual(["0.png", "1.png", "2.png", "3.png"]);
    // Twice as wide and as high: the small object's inner pixels keep their value.
    const mask = await frame(join(sequences, "sequence_0000", "masks", "1.png"));
    const cutOut = await frame(join(sequences, "sequence_0000", "anomalies", "1.png"));
    const inside = (60 * 640 + 88) * 3;
    expect([mask[inside], cutOut[inside], mask[0], mask.length]).toEqual([255, 100, 0, 640 * 320 * 3]);

    expect(filesIn(at("pasted", "train"))).toEqual(["anomalies.json", "frames", "masks"]);
    for (const video of ["01", "02"]) {
      const names = Array.from({ length: 6 }, (_, i) => `${i}.png`);
      expect(filesIn(at("pasted", "train", "frames", video))).toEqual(names);
      expect(filesIn(at("pasted", "train", "masks", video))).toEqual(names);
      // Only one object is small enough. Its four frames follow each other, then start again.
      for (const [i, value] of [90, 100, 110, 120, 90, 100].entries()) {
        const at_ = (60 * 640 + 2 * (30 + 4 * (i % 4)) + 20) * 3;
        const pasted = await frame(at("pasted", "train", "frames", video, `${i}.png`));
        const own = await frame(at("pasted", "train", "masks", video, `${i}.png`));
        expect([pasted[at_], own[at_], own[0]]).toEqual([value, 255, 0]);
        expect(pasted[0]).toBeGreaterThan(115);
      }
    }
  });

  it("continues a stopped run, keeps complete videos, and refuses folders that it did not make", async () => {
    const kept = statSync(at("pasted", "train", "frames", "01", "0.png")).mtimeMs;
    rmSync(at("pasted", "train", "masks", "02"), { recursive: true });
    mkdirSync(at("pasted", "train", "frames", ".02.partial"));
    const before = readFileSync(at("pasted", "train", "frames", "02", "3.png"));
    await create("ubnormal", root, "--dataset-root", set, "--out", at("pasted"), "--seed", "2");
    expect(statSync(at("pasted", "train", "frames", "01", "0.png")).mtimeMs).toBe(kept);
    expect(readFileSync(at("pasted", "train", "frames", "02", "3.png"))).toEqual(before);
    expect(readdirSync(at("pasted", "train", "frames")).sort()).toEqual(["01", "02"]);
    expect(filesIn(at("pasted", "train", "masks"))).toEqual(["01", "02"]);

    const other = await refusalOf("ubnormal", root, "--dataset-root", set, "--out", at("pasted"), "--seed", "3");
    expect(other).toMatch(/anomalies\.json: these anomalies were made with other settings/);
    const own = await refusalOf("ubnormal", root, "--dataset-root", set, "--out", set);
    expect(own).toMatch(/frames is not empty, and this command did not make it/);
  });

  it("names what is missing", async () => {
    expect(await refusalOf("ubnormal", set, "--dataset-root", set, "--out", at("none"))).toMatch(
      /holds no video with "abnormal" in its name/,
    );
    expect(await refusalOf("ubnormal", root, "--dataset-root", set)).toMatch(/give --out DIR, --in-place or --preview/);
    expect(existsSync(at("none"))).toBe(false);
    const notes = "train/annotations/abnormal_scene_1_scenario_1_annotations";
    const broken = await ubnormal(at("broken"));
    writeFileSync(join(broken, notes, "abnormal_scene_1_scenario_1_tracks.txt"), "3,0\n");
    const args = ["ubnormal", broken, "--dataset-root", set, "--out", at("none")];
    expect(await refusalOf(...args)).toMatch(/tracks\.txt, line 1: "3,0" is not a track/);
    writeFileSync(join(broken, notes, "abnormal_scene_1_scenario_1_tracks.txt"), "7,0,5\n");
    rmSync(join(broken, notes, "abnormal_scene_1_scenario_1_0004_gt.png"));
    expect(await refusalOf(...args)).toMatch(
      /track 0 needs an annotation of frame 4, but there are only 4 annotations/,
    );
    // The one object that remains has only masks that are too large.
    writeFileSync(join(broken, notes, "abnormal_scene_1_scenario_1_tracks.txt"), "7,0,2\n");
    expect(await refusalOf(...args)).toMatch(/each of the 1 sequences begins with a mask of more than 5000 values/);
    expect(existsSync(at("none"))).toBe(false);
  });
});

describe("pseudo", () => {
  it("works on Avenue as distributed, whose videos are files, and says so if they are too short", async () => {
    const made = await trainingSet(at("avenue-frames"), 30);
    for (const [root, count] of [
      ["Avenue", "30"],
      ["Short Avenue", "6"],
    ] as const) {
      mkdirSync(at(root, "training_videos"), { recursive: true });
      mkdirSync(at(root, "testing_videos"));
      for (const name of ["01", "02"]) {
        const input = ["-framerate", "25", "-i", join(made, "train", "frames", name, "%03d.png"), "-frames:v", count];
        const output = ["-c:v", "ffv1", at(root, "training_videos", `${name}.avi`)];
        execFileSync(await findFfmpeg(), ["-v", "error", ...input, ...output]);
      }
    }
    await create("pseudo", at("Avenue"), "--in-place", "--preview", at("avenue.png"));
    expect(filesIn(at("Avenue"))).toEqual([
      ...["anomalies.json", "frames_abnormal", "masks_abnormal", "testing_videos", "training_videos"],
    ]);
    for (const folder of ["frames_abnormal", "masks_abnormal"]) {
      for (const name of ["01", "02"]) expect(filesIn(at("Avenue", folder, name))).toHaveLength(30);
    }
    expect(statSync(at("avenue.png")).size).toBeGreaterThan(1000);
    expect(await refusalOf("pseudo", at("Short Avenue"), "--out", at("short-out"))).toMatch(
      /Short Avenue\/training_videos\/01\.avi has 6 frames, and no training video has more: pseudo-anomalies need 7, better /,
    );
    expect(existsSync(at("short-out"))).toBe(false);
  });

  it("changes frames only where their masks are, and in the same way for the same seed", async () => {
    const set = await trainingSet(at("walkers"));
    await create("pseudo", set, "--in-place", "--seed", "5", "--speedup", "0", "--preview", at("sheet.png"));
    expect(filesIn(join(set, "train"))).toEqual(["anomalies.json", "frames", "frames_abnormal", "masks_abnormal"]);
    let [masked, frames] = [0, 0];
    for (const video of ["01", "02"]) {
      for (let t = 0; t < 30; t++) {
        const clean = (await readImage(join(set, "train", "frames", video, `${String(t).padStart(3, "0")}.png`))).data;
        const made = await readImage(join(set, "train", "frames_abnormal", video, `${t}.png`));
        const mask = (await readImage(join(set, "train", "masks_abnormal", video, `${t}.png`))).data;
        expect([made.width, made.height]).toEqual([120, 80]);
        let [apart, beside] = [0, 0];
        for (let i = 0; i < mask.length; i += 3) {
          const changed = Math.abs(made.data[i] - clean[i]) > 20;
          if (mask[i] === 255) apart++;
          else if (changed) beside++;
        }
        // Only the soft edge is pasted beyond the mask.
        expect(beside).toBeLessThanOrEqual(0.25 * apart + 2);
        masked += apart;
        if (apart > 100) frames++;
      }
    }
    expect(frames).toBeGreaterThan(40);
    expect(masked / frames).toBeLessThan(2000);
    const sheet = await sharp(at("sheet.png")).metadata();
    expect([sheet.width, sheet.height]).toEqual([6 + 2 * 326, 6 + 4 * (213 + 6)]);

    await create("pseudo", set, "--out", at("again"), "--seed", "5", "--speedup", "0");
    await create("pseudo", set, "--out", at("other"), "--seed", "6", "--speedup", "0");
    const bytes = (root: string, folder: string) => readFileSync(join(root, "train", folder, "02", "12.png"));
    expect(bytes(at("again"), "frames")).toEqual(bytes(set, "frames_abnormal"));
    expect(bytes(at("other"), "frames")).not.toEqual(bytes(set, "frames_abnormal"));
  });

  it("pastes cut-outs of the only video, and drawn objects", async () => {
    const set = await trainingSet(at("alone"), 20);
    rmSync(join(set, "train", "frames", "02"), { recursive: true });
    for (const [name, ...share] of [
      ["cutouts", "--drawn", "0"],
      ["objects", "--drawn", "1"],
    ] as const) {
      await create("pseudo", set, "--out", at(name), "--seed", "5", "--speedup", "0", ...share);
      const [frames, masks] = ["frames", "masks"].map((folder) => join(at(name), "train", folder, "01"));
      let masked = 0;
      for (const file of filesIn(masks)) {
        const mask = (await readImage(join(masks, file))).data;
        const pasted = (await readImage(join(frames, file))).data;
        // The video is gray, and so is what is pasted.
        for (let i = 0; i < pasted.length; i += 3) {
          if (pasted[i] !== pasted[i + 1] || pasted[i] !== pasted[i + 2]) expect.fail(`${name}: ${file} is not gray`);
        }
        if (mask.includes(255)) masked++;
      }
      expect(masked, name).toBeGreaterThan(10);
    }
    const bytes = (name: string) => readFileSync(join(at(name), "train", "frames", "01", "5.png"));
    expect(bytes("objects")).not.toEqual(bytes("cutouts"));
    // Decoys are pasted into normal samples, and those are not written.
    const decoys = await tool("create-anomalies", "pseudo", set, "--out", at("decoys"), "--decoys", "0.5");
    expectRefusal(decoys, "unknown option '--decoys'");
  });

  it("refuses videos without motion", async () => {
    const still = at("still");
    for (const video of ["01", "02"]) {
      for (let t = 0; t < 8; t++) {
        await gray(join(still, "train", "frames", video, `${t}.png`), 64, 48, (x, y) => 100 + ((x * y + t) % 3));
      }
    }
    await gray(join(still, "test", "frames", "01", "0.png"), 64, 48, () => 0);
    expect(await refusalOf("pseudo", still, "--out", at("no"))).toMatch(/^no moving foreground was found/);
    // It leaves nothing new, and removes nothing that was there.
    expect(existsSync(at("no"))).toBe(false);
    expect(await refusalOf("pseudo", still, "--in-place")).toMatch(/^no moving foreground was found/);
    expect(filesIn(join(still, "train"))).toEqual(["frames"]);
    rmSync(join(still, "train", "frames", "02"), { recursive: true });
    expect(await refusalOf("pseudo", still, "--out", at("no"))).toMatch(
      /^no moving foreground was found in the training video /,
    );
    expect(await refusalOf("pseudo", still, "--preview", at("no.jpg"))).toMatch(/must end in \.png/);
  });
});
