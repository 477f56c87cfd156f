import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import sharp from "sharp";
import { describe, expect, it, test } from "vitest";
import { type DatasetVideo, measuredOn } from "../../../src/data/dataset.js";
import { openDataset } from "../../../src/node/datasets/index.js";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { readPngValues } from "../../../src/node/media/png_values.js";
import { frames, image, rectangles, size, text } from "../../support/dataset.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();

const abnormal = "abnormal_scene_1_scenario_2";
const normal = "normal_scene_1_scenario_1";
const numbers = [3, 4, 5, 6, 7];
const annotation = (name: string) => at("set/test/annotations", `${abnormal}_annotations`, name);
const map = (number: number) => annotation(`${abnormal}_000${number}_gt.png`);

/** Object 1 is abnormal in the frames 4 and 5, object 9 in 5 and 6; object 2 never is. */
async function makeSet(tracks = "1.0,4.0,5.0\n9.0,5.0,6.0\n"): Promise<void> {
  await frames(at("set/test/frames", abnormal), numbers);
  await frames(at("set/test/frames", normal), numbers);
  for (const number of numbers) {
    await image(map(number), rectangles([2, 0, 0, 15, 1], [1, number, 3, number + 1, 4], [9, 9, 5, 12, 7]));
  }
  text(annotation(`${abnormal}_tracks.txt`), tracks);
}

async function open(name = abnormal): Promise<DatasetVideo> {
  return (await openDataset(at("set"))).test.find((video) => video.name === name) as DatasetVideo;
}

const labelsOf = async (video: DatasetVideo) => [...((await video.labels?.()) ?? [])];
const pixels = (...boxes: Parameters<typeof rectangles>) => ({ ...size, data: Uint8Array.from(rectangles(...boxes)) });

describe("UBnormal", () => {
  it("gives labels, masks and boxes of the objects with an active track, by frame number", async () => {
    await makeSet();
    const { layout, test, notes } = await openDataset(at("set"));
    expect(layout).toBe("ubnormal");
    expect(test.map((video) => video.name)).toEqual([abnormal, normal]);
    expect(notes).toEqual(["there is no train/"]);
    const video = test[0] as DatasetVideo;
    expect(await labelsOf(video)).toEqual([0, 1, 1, 1, 0]);
    expect(await video.mask?.(0)).toEqual(pixels());
    expect(await video.mask?.(1)).toEqual(pixels([1, 4, 3, 5, 4]));
    expect(await video.mask?.(2)).toEqual(pixels([1, 5, 3, 6, 4], [1, 9, 5, 12, 7]));
    expect(await video.mask?.(3)).toEqual(pixels([1, 9, 5, 12, 7]));
    expect(await video.mask?.(4)).toEqual(pixels());
    // As in the authors' script, the far corner lies a pixel beyond the object, within the image.
    expect(await video.tracks?.()).toEqual([
      { track: 0, frame: 1, x1: 4, y1: 3, x2: 6, y2: 5 },
      { track: 0, frame: 2, x1: 5, y1: 3, x2: 7, y2: 5 },
      { track: 1, frame: 2, x1: 9, y1: 5, x2: 13, y2: 7 },
      { track: 1, frame: 3, x1: 9, y1: 5, x2: 13, y2: 7 },
    ]);
  });

  it("takes a track's last frame as part of it, up to the end of the video", async () => {
    await makeSet("1,4,4\n9,6,12\n");
    const video = await open();
    expect(await labelsOf(video)).toEqual([0, 1, 0, 1, 1]);
    expect((await video.tracks?.())?.map(({ track, frame }) => [track, frame])).toEqual([
      [0, 1],
      [1, 3],
      [1, 4],
    ]);
  });

  it("takes regions and masks from _new_tracks.txt, and labels from _tracks.txt", async () => {
    await makeSet("1,3,7\n");
    text(annotation(`${abnormal}_new_tracks.txt`), "1,4,4\n1,6,6\n");
    const video = await open();
    expect(await labelsOf(video)).toEqual([1, 1, 1, 1, 1]);
    expect((await video.tracks?.())?.map(({ track, frame }) => [track, frame])).toEqual([
      [0, 1],
      [1, 3],
    ]);
    expect(await video.mask?.(1)).toEqual(pixels([1, 4, 3, 5, 4]));
    expect(await video.mask?.(2)).toEqual(pixels());
  });

  it("boxes the piece of an object with the largest box", async () => {
    await makeSet("1,4,5\n");
    // A compact piece of 9 pixels, and a line of 7 that is connected by corners: a box of 7×7.
    const line = Array.from({ length: 7 }, (_, i) => [1, 6 + i, i, 6 + i, i] as Parameters<typeof rectangles>[0]);
    await image(map(4), rectangles([1, 0, 0, 2, 2], ...line));
    // Two pieces: 3×2 before 2×4.
    await image(map(5), rectangles([1, 0, 0, 2, 1], [1, 5, 2, 6, 5]));
    expect(await (await open()).tracks?.()).toEqual([
      { track: 0, frame: 1, x1: 6, y1: 0, x2: 13, y2: 7 },
      { track: 0, frame: 2, x1: 5, y1: 2, x2: 7, y2: 6 },
    ]);
  });

  it("has normal videos without annotations, and takes abnormal ones without tracks as normal", async () => {
    await makeSet("");
    for (const name of [normal, abnormal]) {
      const video = await open(name);
      expect(await labelsOf(video)).toEqual([0, 0, 0, 0, 0]);
      expect(await video.mask?.(4)).toEqual(pixels());
      expect(await video.tracks?.()).toEqual([]);
    }
    renameSync(annotation(`${abnormal}_tracks.txt`), at("elsewhere"));
    expect((await openDataset(at("set"))).notes).toContain(
      `test: no _tracks.txt, so all frames are taken as normal: ${abnormal}`,
    );
  });

  it("finds tracks in annotations/ too; without annotations there is no ground truth", async () => {
    await makeSet();
    for (const [name, rows] of [
      ["tracks", "1,4,6\n"],
      ["new_tracks", "1,4,4\n"],
    ]) {
      text(at("set/test/annotations", `${abnormal}_${name}.txt`), rows as string);
    }
    renameSync(annotation(`${abnormal}_tracks.txt`), at("elsewhere"));
    expect(await labelsOf(await open())).toEqual([0, 1, 1, 1, 0]);
    expect(await (await open()).tracks?.()).toHaveLength(1);
    renameSync(at("set/test/annotations"), at("annotations"));
    const { test, notes } = await openDataset(at("set"), { layout: "ubnormal" });
    expect(test[0]?.labels).toBeUndefined();
    expect(notes).toEqual(["there is no train/", "test: no labels, masks or tracks (looked for test/annotations)"]);
    const withLabels = openDataset(at("set"), { layout: "ubnormal", labels: at("set") });
    expect(await refusal(withLabels)).toContain("come from its annotations");
  });

  it("has a validation split, which can be measured in place of the test videos", async () => {
    await makeSet();
    const testOnly = await openDataset(at("set"));
    expect(testOnly.validation).toBeUndefined();
    expect(() => measuredOn(testOnly, "validation")).toThrow(/has no validation videos/);
    renameSync(at("set/test"), at("set/validation"));
    const dataset = await openDataset(at("set"), { layout: "ubnormal" });
    expect(dataset.test).toEqual([]);
    const { test, testSplit } = measuredOn(dataset, "validation");
    expect([test.map(({ name }) => name), testSplit]).toEqual([[abnormal, normal], "validation"]);
    expect(await labelsOf(test[0] as DatasetVideo)).toEqual([0, 1, 1, 1, 0]);
    expect(measuredOn(dataset, "test")).toBe(dataset);
  });

  it("does not train on abnormal videos", async () => {
    await makeSet();
    renameSync(at("set/test"), at("set/train"));
    const { train, notes } = await openDataset(at("set"));
    expect(train.map((video) => video.name)).toEqual([normal]);
    const note =
      "not trained on, because abnormal: 1 video of the training split; create-anomalies ubnormal cuts objects out of them";
    expect(notes).toEqual([note, "there is no test/"]);
    rmSync(at("set/train/frames", normal), { recursive: true });
    expect((await openDataset(at("set"))).train).toEqual([]);
  });

  it("has synthetic anomalies of its training videos", async () => {
    await makeSet();
    renameSync(at("set/test"), at("set/training"));
    for (const folder of ["frames_abnormal", "masks_abnormal"]) {
      await frames(at("set/training", folder, normal), numbers);
    }
    const { train, trainFolder } = await openDataset(at("set"), { layout: "ubnormal" });
    expect(trainFolder).toBe(at("set/training"));
    expect((await train[0]?.abnormal?.frames())?.frameCount).toBe(5);
  });

  it("reads video files, whose frames are numbered from 0", async () => {
    await makeSet("1,4,6\n");
    const options = [
      "-v",
      "error",
      "-framerate",
      "10",
      "-start_number",
      "3",
      "-i",
      at("set/test/frames", abnormal, "%03d.png"),
    ];
    execFileSync(await findFfmpeg(), [...options, "-c:v", "mpeg4", at("video.mp4")]);
    renameSync(at("set/test/frames"), at("frames"));
    mkdirSync(at("set/test/frames"));
    renameSync(at("video.mp4"), at("set/test/frames", `${abnormal}.mp4`));
    const video = await open();
    expect(video.frameCount).toBeUndefined();
    expect(await labelsOf(video)).toEqual([0, 0, 0, 0, 1]);
    expect(await video.mask?.(4)).toEqual(pixels([1, 4, 3, 5, 4]));
    expect(await video.tracks?.()).toEqual([{ track: 0, frame: 4, x1: 4, y1: 3, x2: 6, y2: 5 }]);
  });

  it.each([
    ["1,4", "_tracks.txt:1: a row is object,first,last in whole numbers, not 1,4"],
    ["1,4,6\n1.5,4,6", "_tracks.txt:2: a row is object,first,last in whole numbers, not 1.5,4,6"],
    ["1,6,4", "_tracks.txt:1: a track from frame 6 to 4 is impossible: the video's last frame is 7"],
    ["1,8,9", "_tracks.txt:1: a track from frame 8 to 9 is impossible: the video's last frame is 7"],
    ["a,b,c", '_tracks.txt:1: "a" is not a number'],
  ])("refuses the tracks %j", async (tracks, message) => {
    await makeSet(tracks);
    expect(await refusal((await open()).labels?.())).toContain(message);
  });

  it("refuses an annotation that is missing, double, of another size, or in colour", async () => {
    await makeSet("1,3,7\n");
    const video = await open();
    await image(map(4), 1, { width: 8, height: 8 });
    expect(await refusal(video.mask?.(1))).toContain(
      "_0004_gt.png is 8×8 pixels, but the frames of its video are 16×8",
    );
    const red = Uint8Array.from({ length: 3 * 16 * 8 }, (_, i) => (i === 60 ? 200 : 7));
    await sharp(red, { raw: { ...size, channels: 3 } }).toFile(map(5));
    expect(await refusal(video.mask?.(2))).toContain(
      "_0005_gt.png is in colour at pixel 4,1; an image of numbers is gray or has a palette",
    );
    renameSync(map(6), annotation("x_0003_gt.png"));
    const again = await open();
    expect(await refusal(again.mask?.(0))).toMatch(/_0003_gt\.png and .*_0003_gt\.png are of one frame, 3$/);
    renameSync(annotation("x_0003_gt.png"), annotation("x_0003.png"));
    expect(await refusal((await open()).tracks?.())).toContain(
      "_annotations has no …_gt.png for the frame number 6, in which a track is active",
    );
  });
});

describe("an image of numbers", () => {
  const fixture = (name: string) => fixturePath(`images/${name}`);
  const { images } = JSON.parse(readFileSync(fixture("expected.json"), "utf8")) as {
    images: Record<string, { width: number; height: number; bgr: string }>;
  };
  /** What OpenCV gives for a fixture: B, G, R of each pixel. */
  const byOpenCv = (name: string) => Buffer.from((images[name] as { bgr: string }).bgr, "base64");

  test.each([1, 2, 4, 8])(
    "with gray samples of %i bits: OpenCV's values before it scales them to 255",
    async (bits) => {
      const { data, width, height } = await readPngValues(fixture(`gray${bits}.png`));
      expect([width, height]).toEqual([13, 9]);
      const scale = 255 / (2 ** bits - 1);
      expect(Array.from(data, (value) => value * scale)).toEqual(
        Array.from(data, (_, i) => byOpenCv(`gray${bits}.png`)[3 * i]),
      );
      expect(new Set(data).size).toBeGreaterThan(1);
    },
  );

  test.each([1, 2, 4, 8])("with a palette of %i bits: the index of the entry that OpenCV shows", async (bits) => {
    const path = fixture(`palette${bits}.png`);
    const { data } = await readPngValues(path);
    const bytes = readFileSync(path);
    const palette = bytes.subarray(bytes.indexOf("PLTE") + 4);
    const shown = byOpenCv(`palette${bits}.png`);
    data.forEach((index, i) => {
      expect([...palette.subarray(3 * index, 3 * index + 3)]).toEqual([...shown.subarray(3 * i, 3 * i + 3)].reverse());
    });
    expect(Math.max(...data)).toBeLessThan(2 ** bits);
  });

  test("is refused if it has 16 bits, is in colour, in another format, or missing", async () => {
    expect(await refusal(readPngValues(fixture("gray16.png")))).toContain("gray16.png has 16 bits per sample");
    expect(await refusal(readPngValues(fixture("rgb8.png")))).toContain("rgb8.png is in colour at pixel 0,0");
    expect(await refusal(readPngValues(fixture("gray8.bmp")))).toContain("gray8.bmp is not a PNG image");
    expect(await refusal(readPngValues(at("none.png")))).toContain("none.png cannot be read: no such file or folder");
  });
});
