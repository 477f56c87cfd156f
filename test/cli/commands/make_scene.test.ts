import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { sceneDataset } from "../../../src/data/scene/dataset.js";
import { readImage } from "../../../src/node/media/images.js";
import { expectRefusal, filesIn, tool } from "../../support/cli.js";
import { scratch } from "../../support/folders.js";

const at = scratch();
const [height, width, frames] = [60, 90, 12];
const settings = [
  "--seed",
  "2",
  "--train",
  "1",
  "--test",
  "2",
  "--frames",
  `${frames}`,
  "--size",
  `${height}x${width}`,
];
const small = [...settings, "--fps", "5", "--anomalies", "bicycle,cart"];
const make = (...args: string[]) => tool("make-scene", ...args);

/** Every file below a folder with its content. */
function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  return Object.fromEntries(paths.map((path) => [relative(folder, path), readFileSync(path, "base64")]));
}

const numbers = Array.from({ length: frames }, (_, frame) => String(frame).padStart(3, "0"));
let whole: Record<string, string>;
beforeAll(async () => {
  const { code, stderr } = await make(at("whole"), ...small, "--quiet");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  whole = contents(at("whole"));
});

describe("make-scene", () => {
  it("writes only frames, labels, masks and tracks", () => {
    const wanted = ["scene.json", ...numbers.map((n) => `train/frames/01/${n}.png`)];
    for (const video of ["01", "02"]) {
      wanted.push(`test/labels/${video}.txt`, `test/tracks/${video}.txt`);
      for (const kind of ["frames", "masks"]) wanted.push(...numbers.map((n) => `test/${kind}/${video}/${n}.png`));
    }
    expect(Object.keys(whole).sort()).toEqual(wanted.sort());
  });

  it("writes files that agree with each other and with the scene in memory", async () => {
    const options = { seed: 2, width, height, fps: 5, train: 1, test: 2, frames };
    const { test } = sceneDataset({ ...options, anomalies: ["bicycle", "cart"] });
    for (const video of test) {
      const [labels, tracks] = ["labels", "tracks"].map((kind) =>
        readFileSync(at(`whole/test/${kind}/${video.name}.txt`), "utf8"),
      );
      expect(labels).toMatch(/^([01]\n){12}$/);
      expect(labels).toContain("1");
      const rows = tracks
        .trimEnd()
        .split("\n")
        .map((row) => row.split(",").map(Number));
      let frame = 0;
      for await (const { data } of (await video.open()).frames()) {
        const name = `${video.name}/${numbers[frame]}.png`;
        expect((await readImage(at("whole/test/frames", name))).data).toEqual(data);
        const mask = sharp(at("whole/test/masks", name));
        expect((await mask.metadata()).channels).toBe(1);
        const pixels = [...(await mask.extractChannel(0).raw().toBuffer()).entries()].filter(
          ([, value]) => value !== 0,
        );
        expect(pixels.every(([, value]) => value === 255)).toBe(true);
        expect(labels[2 * frame]).toBe(pixels.length > 0 ? "1" : "0");
        const [xs, ys] = [pixels.map(([i]) => i % width), pixels.map(([i]) => Math.floor(i / width))];
        const bounds = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
        expect(rows.filter((row) => row[1] === frame)).toEqual(pixels.length > 0 ? [[0, frame, ...bounds]] : []);
        frame++;
      }
    }
  });

  it("writes the missing files of the same scene, and leaves the others as they are", async () => {
    for (const name of ["train/frames/01/004.png", "test/masks/02/003.png", "test/labels/01.txt"])
      rmSync(at("whole", name));
    rmSync(at("whole/test/frames/02"), { recursive: true });
    const kept = at("whole/test/frames/01/002.png");
    const before = statSync(kept).mtimeMs;
    const { code, stdout } = await make(at("whole"), ...small);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^test {11}2 videos of 12 frames, \d+ of 24 frames abnormal$/m);
    expect(stdout).toContain(`: ${3 + frames} files in `);
    expect(contents(at("whole"))).toEqual(whole);
    expect(statSync(kept).mtimeMs).toBe(before);
  });

  it("stops after Ctrl-C with whole files only, and continues from there", async () => {
    const running = make(at("cut"), ...small, "--quiet");
    while (!existsSync(at("cut/train/frames/01/003.png"))) await new Promise((resolve) => setTimeout(resolve, 1));
    process.emit("SIGINT");
    expect(await running).toEqual({ code: 130, stdout: "", stderr: "" });
    const cut = contents(at("cut"));
    expect(Object.keys(cut).length).toBeLessThan(Object.keys(whole).length);
    for (const [name, content] of Object.entries(cut)) expect(content).toBe(whole[name]);
    expect((await make(at("cut"), ...small, "--quiet")).code).toBe(0);
    expect(contents(at("cut"))).toEqual(whole);
  });

  it("refuses a folder that holds something else, unless it may replace it", async () => {
    mkdirSync(at("mine"));
    writeFileSync(at("mine/notes.txt"), "mine");
    expectRefusal(await make(at("mine"), ...small), `${at("mine")} is not empty`, "--force");
    expect(filesIn(at("mine"))).toEqual(["notes.txt"]);
    mkdirSync(at("mine/test/frames/99"), { recursive: true });
    expect((await make(at("mine"), ...small, "--force", "--quiet")).code).toBe(0);
    const { "notes.txt": notes, ...others } = contents(at("mine"));
    expect(notes).toBe(Buffer.from("mine").toString("base64"));
    expect(others).toEqual(whole);
    expect(filesIn(at("mine/test/frames"))).toEqual(["01", "02"]);
    expectRefusal(await make(at("mine"), ...small, "--seed", "7"), "holds a scene with other settings");
    expectRefusal(await make(at("mine/notes.txt"), ...small), "notes.txt cannot be written");
  });

  it("writes JPEG frames, and a contact sheet", async () => {
    const one = [...settings, "--test", "1", "--frames", "2", "--format", "jpg"];
    expect((await make(at("jpg"), ...one, "--quiet", "--preview", at("sheet.png"))).code).toBe(0);
    expect(filesIn(at("jpg/train/frames/01"))).toEqual(["000.jpg", "001.jpg"]);
    expect(await sharp(at("jpg/test/frames/01/001.jpg")).metadata()).toMatchObject({ format: "jpeg", width, height });
    const alone = await make(...small, "--preview", at("alone.png"));
    expect(alone).toEqual({ code: 0, stdout: `contact sheet  ${at("alone.png")}\n`, stderr: "" });
    // A row for each of the three videos, four pictures in each.
    const sheet = await sharp(at("alone.png")).metadata();
    expect([sheet.width, sheet.height]).toEqual([4 * (width + 4) + 4, 3 * (height + 4) + 4]);
  });

  it("refuses bad options", async () => {
    expectRefusal(await make(), "give the folder to write, or --preview");
    expectRefusal(await make(at("bad"), "--preview", at("x.jpg")), "x.jpg: the name must end in .png");
    expectRefusal(await make(at("bad"), "--anomalies", "runner,dragon"), "--anomalies");
    expectRefusal(await make(at("bad"), "--anomalies", "cart,cart"), "--anomalies");
    expectRefusal(await make(at("bad"), "--size", "240"), "--size");
    expectRefusal(await make(at("bad"), "--size", "4x300"), "300×4 pixels; a side needs at least 8");
    expectRefusal(await make(at("bad"), "--fps", "0"), "--fps");
    expectRefusal(await make(at("bad"), "--frames", "0"), "--frames");
    expectRefusal(await make(at("bad"), "--format", "gif"), "--format");
    expect(existsSync(at("bad"))).toBe(false);
  });
});
