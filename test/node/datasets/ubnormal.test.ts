import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync } from "node:fs";
import sharp from "sharp";
import { describe, expect, it, test } from "vitest";
import type { DatasetVideo } from "../../../src/data/dataset.js";
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
const annotation = (name: string) => at("set/train/annotations", `${abnormal}_annotations`, name);
const map = (number: number) => annotation(`${abnormal}_000${number}_gt.png`);

/** Object 1 is abnormal in the frames 4 and 5, object 9 in 5 and 6; object 2 never is. */
async function makeSet(tracks = "1.0,4.0,6.0\n9.0,5.0,7.0\n"): Promise<void> {
  await frames(at("set/train/frames", abnormal), numbers);
  await frames(at("set/train/frames", normal), numbers);
  for (const number of numbers) {
    await image(map(number), rectangles([2, 0, 0, 15, 1], [1, number, 3, number + 1, 4], [9, 9, 5, 12, 7]));
  }
  text(annotation(`${abnormal}_tracks.txt`), tracks);
}

async function open(name = abnormal): Promise<DatasetVideo> {
  return (await openDataset(at("set"))).train.find((video) => video.name === name) as DatasetVideo;
}

const pixels = (...boxes: Parameters<typeof rectangles>) => ({ ...size, data: Uint8Array.from(rectangles(...boxes)) });

describe("UBnormal", () => {
  it("gives labels, masks and boxes of the objects with an active track, by frame number", async () => {
    await makeSet();
    const { layout, train, notes } = await openDataset(at("set"));
    expect(layout).toBe("ubnormal");
    expect(train.map((video) => video.name)).toEqual([abnormal, normal]);
    expect(notes).toEqual(["there is no test/"]);
    const video = train[0];
    expect([...((await video.labels?.()) ?? [])]).toEqual([0, 1, 1, 1, 0]);
    expect(await video.mask?.(0)).toEqual(pixels());
    expect(await video.mask?.(1)).toEqual(pixels([1, 4, 3, 5, 4]));
    expect(await video.mask?.(2)).toEqual(pixels([1, 5, 3, 6, 4], [1, 9, 5, 12, 7]));
    expect(await video.mask?.(3)).toEqual(pixels([1, 9, 5, 12, 7]));
    expect(await video.mask?.(4)).toEqual(pixels());
    expect(await video.tracks?.()).toEqual([
      { track: 0, frame: 1, x1: 4, y1: 3, x2: 5, y2: 4 },
      { track: 0, frame: 2, x1: 5, y1: 3, x2: 6, y2: 4 },
      { track: 1, frame: 2, x1: 9, y1: 5, x2: 12, y2: 7 },
      { track: 1, frame: 3, x1: 9, y1: 5, x2: 12, y2: 7 },
    ]);
  });

  it("has normal videos without annotations, and takes abnormal ones without tracks as normal", async () => {
    await makeSet("");
    for (const name of [normal, abnormal]) {
      const video = await open(name);
      expect([...((await video.labels?.()) ?? [])]).toEqual([0, 0, 0, 0, 0]);
      expect(await video.mask?.(4)).toEqual(pixels());
      expect(await video.tracks?.()).toEqual([]);
    }
    renameSync(annotation(`${abnormal}_tracks.txt`), at("elsewhere"));
    expect((await openDataset(at("set"))).notes).toContain(
      `train: no _tracks.txt, so all frames are taken as normal: ${abnormal}`,
    );
  });

  it("finds tracks in annotations/ too; without annotations there is no ground truth", async () => {
    await makeSet();
    renameSync(annotation(`${abnormal}_tracks.txt`), at("set/train/annotations", `${abnormal}_tracks.txt`));
    expect([...((await (await open()).labels?.()) ?? [])]).toEqual([0, 1, 1, 1, 0]);
    await frames(at("set/test/frames", abnormal), numbers);
    mkdirSync(at("set/validation"));
    const { test, notes } = await openDataset(at("set"));
    expect(test[0]?.labels).toBeUndefined();
    expect(notes).toEqual([
      "test: no labels, masks or tracks (looked for test/annotations)",
      "validation/ is not read",
    ]);
    expect(await refusal(openDataset(at("set"), { labels: at("set") }))).toContain("come from its annotations");
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
      at("set/train/frames", abnormal, "%03d.png"),
    ];
    execFileSync(await findFfmpeg(), [...options, "-c:v", "mpeg4", at("video.mp4")]);
    renameSync(at("set/train/frames"), at("frames"));
    mkdirSync(at("set/train/frames"));
    renameSync(at("video.mp4"), at("set/train/frames", `${abnormal}.mp4`));
    const video = await open();
    expect(video.frameCount).toBeUndefined();
    expect([...((await video.labels?.()) ?? [])]).toEqual([0, 0, 0, 0, 1]);
    expect(await video.mask?.(4)).toEqual(pixels([1, 4, 3, 5, 4]));
    expect(await video.tracks?.()).toEqual([{ track: 0, frame: 4, x1: 4, y1: 3, x2: 5, y2: 4 }]);
  });

  it.each([
    ["1,4", "_tracks.txt:1: a row is object,first,last in whole numbers, not 1,4"],
    ["1,4,6\n1.5,4,6", "_tracks.txt:2: a row is object,first,last in whole numbers, not 1.5,4,6"],
    ["1,6,4", "_tracks.txt:1: a track from frame 6 to before 4 is impossible: the video's last frame is 7"],
    ["1,8,9", "_tracks.txt:1: a track from frame 8 to before 9 is impossible: the video's last frame is 7"],
    ["a,b,c", '_tracks.txt:1: "a" is not a number'],
  ])("refuses the tracks %j", async (tracks, message) => {
    await makeSet(tracks);
    expect(await refusal((await open()).labels?.())).toContain(message);
  });

  it("refuses an annotation that is missing, double, of another size, or in colour", async () => {
    await makeSet("1,3,8\n");
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
