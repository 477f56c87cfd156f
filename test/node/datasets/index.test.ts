import { mkdirSync, symlinkSync, truncateSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Dataset, DatasetVideo } from "../../../src/data/dataset.js";
import { detectLayout, openDataset } from "../../../src/node/datasets/index.js";
import { frames, image, rectangles, size, text } from "../../support/dataset.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();

const find = (videos: readonly DatasetVideo[], name: string) =>
  videos.find((video) => video.name === name) as DatasetVideo;

/** Two normal videos and one with all ground truth, in the authors' layout. */
async function authorsLayout(root: string): Promise<Dataset> {
  await frames(at(root, "train/frames/10"), [0, 1]);
  await frames(at(root, "train/frames/2"), [0, 1, 2]);
  await frames(at(root, "test/frames/01"), [0, 1, 2, 3]);
  text(at(root, "test/labels/01.txt"), "0\n1\n1\n0\n");
  for (const number of [0, 1, 2, 3]) {
    const blob = number === 1 ? rectangles([255, 3, 2, 5, 4]) : number === 2 ? rectangles([1, 15, 7, 15, 7]) : 0;
    await image(at(root, `test/masks/01/${number}.png`), blob);
  }
  text(at(root, "test/tracks/01.txt"), "7,1,3,2,5,4\n7,2,15,7,15,7\n");
  return openDataset(at(root));
}

describe("the authors' layout", () => {
  it("has videos in natural order, with labels, masks and tracks", async () => {
    const dataset = await authorsLayout("ped2");
    expect({ ...dataset, train: 0, test: 0 }).toEqual({
      layout: "ped2",
      root: at("ped2"),
      train: 0,
      test: 0,
      notes: [],
    });
    expect(dataset.train.map((video) => [video.name, video.frameCount])).toEqual([
      ["2", 3],
      ["10", 2],
    ]);
    for (const video of dataset.train)
      expect([video.labels, video.mask, video.tracks]).toEqual(Array(3).fill(undefined));

    const video = find(dataset.test, "01");
    expect(video.frameCount).toBe(4);
    const source = await video.open();
    expect(source).toMatchObject({ ...size, frameCount: 4 });
    const values: number[] = [];
    for await (const frame of source.frames()) values.push(frame.data[0]);
    expect(values).toEqual([0, 1, 2, 3]);
    expect([...((await video.labels?.()) ?? [])]).toEqual([0, 1, 1, 0]);
    expect(await video.mask?.(1)).toEqual({ ...size, data: Uint8Array.from(rectangles([1, 3, 2, 5, 4])) });
    // Any value but 0 counts.
    expect((await video.mask?.(2))?.data).toEqual(Uint8Array.from(rectangles([1, 15, 7, 15, 7])));
    expect((await video.mask?.(3))?.data.every((value) => value === 0)).toBe(true);
    expect(await video.tracks?.()).toEqual([
      { track: 7, frame: 1, x1: 3, y1: 2, x2: 5, y2: 4 },
      { track: 7, frame: 2, x1: 15, y1: 7, x2: 15, y2: 7 },
    ]);
  });

  it('is recognised by the folder\'s name, else it is "folder"', async () => {
    for (const [name, layout] of Object.entries({
      Avenue_Dataset: "avenue",
      shanghaitech: "shanghai",
      UCSDped1: "ped1",
      "my-UCSD_Peds2": "ped2",
      UBnormal: "ubnormal",
      stopped1: "folder",
      mine: "folder",
    })) {
      await frames(at(name, "train/frames/1"), [0]);
      expect([name, await detectLayout(at(name))]).toEqual([name, layout]);
      expect((await openDataset(at(name))).layout).toBe(layout);
    }
    expect((await openDataset(at("mine"), { layout: "avenue" })).layout).toBe("avenue");
    expect(await refusal(openDataset(at("mine"), { layout: "kinetics" }))).toBe(
      '"kinetics" is not a data set layout; the layouts are ped1, ped2, avenue, shanghai, ubnormal, folder',
    );
  });

  it.each(["test/labels", "test/gt", "test/ground_truth", "labels", "gt", "ground_truth", "test/frames"])(
    "finds labels in %s",
    async (place) => {
      await frames(at("set/train/frames/01"), [0, 1]);
      await frames(at("set/test/frames/01"), [0, 1]);
      text(at("set", place, "01.txt"), "0\n1\n");
      const { train, test, notes } = await openDataset(at("set"));
      expect([...((await test[0]?.labels?.()) ?? [])]).toEqual([0, 1]);
      // Labels in the root belong to the test videos, though the training video has the same name.
      expect(train[0]?.labels).toBeUndefined();
      expect(notes).toEqual([]);
    },
  );

  it("takes another folder of labels, and names labels that are missing or belong to no video", async () => {
    for (const name of ["a", "b", "c"]) await frames(at("set/test/frames", name), [0, 1]);
    expect((await openDataset(at("set"))).notes).toEqual([
      "there is no train/",
      "test: no labels for a, b, c (looked for VIDEO.txt, .csv, .npy or .mat in test/labels, labels, test/gt, gt, " +
        "test/ground_truth, ground_truth, test/test_frame_mask, test_frame_mask)",
    ]);
    text(at("other/b.txt"), "1\n1\n");
    text(at("other/z.txt"), "1\n");
    const { test, notes } = await openDataset(at("set"), { labels: at("other") });
    expect(test.map((video) => video.labels !== undefined)).toEqual([false, true, false]);
    expect(notes.slice(1)).toEqual(["test: no labels for a, c", "test: labels for z, which are not videos here"]);
    expect(await refusal(openDataset(at("set"), { labels: at("none") }))).toContain(
      "none, the folder of the labels, is not a folder",
    );
    mkdirSync(at("empty"));
    expect(await refusal(openDataset(at("set"), { labels: at("empty") }))).toContain(
      "empty holds no labels of a test video, such as a.txt",
    );
  });

  it("mentions synthetic anomalies, gradients, gaps in the numbers and what it ignores", async () => {
    await frames(at("set/train/frames/01"), [3, 4, 7, 9]);
    await frames(at("set/train/frames_abnormal/01"), [3]);
    await frames(at("set/train/gradients2/01"), [3]);
    text(at("set/train/frames/readme.md"), "");
    text(at("set/train/frames/.DS_Store"), "");
    const { train, notes } = await openDataset(at("set"));
    expect(train.map((video) => [video.name, video.frameCount])).toEqual([["01", 4]]);
    expect(notes).toEqual([
      "ignored in train/frames: readme.md",
      "train 01: 3 frame numbers are missing between 3 and 9, from 5 on",
      "train/frames_abnormal is there: frames with synthetic anomalies",
      "train/gradients2 is there: motion gradients, which are computed here and not read",
      "there is no test/",
    ]);
  });
});

describe("a folder with another layout", () => {
  it("may hold video files and folders of frames, in the split or in frames/ and videos/, with labels beside them", async () => {
    await frames(at("set/train/cam1"), [0]);
    text(at("set/train/cam2.MP4"), "opened only later");
    await frames(at("set/test/frames/a"), [0]);
    text(at("set/test/videos/b.avi"), "");
    text(at("set/test/videos/b.txt"), "0 1 0\n");
    text(at("set/test/masks/a/000.png"), "");
    const { layout, train, test, notes } = await openDataset(at("set"));
    expect(layout).toBe("folder");
    expect(train.map((video) => [video.name, video.path, video.frameCount])).toEqual([
      ["cam1", at("set/train/cam1"), 1],
      ["cam2", at("set/train/cam2.MP4"), undefined],
    ]);
    expect(test.map((video) => [video.name, video.labels !== undefined, video.mask !== undefined])).toEqual([
      ["a", false, true],
      ["b", true, false],
    ]);
    expect([...((await test[1]?.labels?.()) ?? [])]).toEqual([0, 1, 0]);
    expect(notes).toEqual(["test: no labels for a", "test: no masks for b"]);
    expect(await refusal(train[1]?.open())).toContain("cam2.MP4 is not a video that ffmpeg can read");
  });

  it("may have videos of different sizes, but not two of one name", async () => {
    await frames(at("set/test/a"), [0, 1]);
    await image(at("set/test/b/0.png"), 0, { width: 32, height: 24 });
    const { test } = await openDataset(at("set"));
    expect(await Promise.all(test.map(async (video) => (await video.open()).width))).toEqual([16, 32]);
    text(at("set/test/a.avi"), "");
    expect(await refusal(openDataset(at("set")))).toMatch(/a\.avi and .*a are videos of one name$/);
  });

  it("is refused if it has no video, and the message says what was looked for", async () => {
    expect(await refusal(openDataset(at("none")))).toBe(
      `${at("none")} is not a folder: name the one that holds the data set`,
    );
    mkdirSync(at("bare/sub"), { recursive: true });
    expect(await refusal(openDataset(at("bare")))).toMatch(
      /bare has no known data set layout: looked for train\/ and test\/ with folders of frames or video files in them, .*Train\/Train001\/001\.tif/,
    );
    mkdirSync(at("hollow/train/frames"), { recursive: true });
    expect(await refusal(openDataset(at("hollow")))).toContain(
      'hollow holds no video of the layout "folder"; looked for',
    );
    await frames(at("flat/train"), [0, 1]);
    expect(await refusal(openDataset(at("flat")))).toContain(
      "flat/train holds 2 images itself (000.png): put the frames of each video into a separate folder",
    );
  });

  it("may be normal videos alone, if it is named", async () => {
    await frames(at("camera/b2"), [0, 1, 2]);
    await frames(at("camera/b10"), [0, 1]);
    text(at("camera/notes.txt"), "");
    const { layout, train, test, notes } = await openDataset(at("camera"), { layout: "folder" });
    expect({ layout, test }).toEqual({ layout: "folder", test: [] });
    expect(train.map((video) => [video.name, video.frameCount, video.labels])).toEqual([
      ["b2", 3, undefined],
      ["b10", 2, undefined],
    ]);
    expect(notes).toEqual([
      "there is neither train/ nor test/: all videos are normal, for training",
      "ignored: notes.txt",
    ]);
    expect(await refusal(openDataset(at("camera")))).toContain('its layout is "folder", which must be named');
  });

  it("does not follow links in a circle", async () => {
    await frames(at("real/01"), [0, 1]);
    mkdirSync(at("set/train/frames"), { recursive: true });
    symlinkSync(at("real/01"), at("set/train/frames/01"));
    symlinkSync("a", at("set/train/frames/b"));
    symlinkSync("b", at("set/train/frames/a"));
    symlinkSync("..", at("set/train/frames/up"));
    const faults: string[] = [];
    const { train } = await openDataset(at("set"), { onFault: ({ message }) => faults.push(message) });
    expect(train.map((video) => [video.name, video.frameCount])).toEqual([["01", 2]]);
    expect(faults).toHaveLength(3);
    for (const link of ["a", "b"]) {
      expect(faults).toContain(`${at("set/train/frames", link)} is a link that leads nowhere or in a circle`);
    }
    expect(faults[2]).toContain("frames/up holds no image (png, jpg, jpeg, tif, tiff, bmp, webp), but 1 folder");
  });
});

describe("a video is refused", () => {
  it("without frames, or with two frames of one number; onFault receives all such faults", async () => {
    await frames(at("set/test/good"), [0]);
    mkdirSync(at("set/test/empty"));
    await frames(at("set/test/twice"), [1, 2]);
    await image(at("set/test/twice/f_2.jpg"), 0);
    expect(await refusal(openDataset(at("set")))).toBe(
      `${at("set/test/empty")} is an empty folder: a video needs frames`,
    );
    const faults: string[] = [];
    const { test } = await openDataset(at("set"), { onFault: ({ message }) => faults.push(message) });
    expect(test.map((video) => video.name)).toEqual(["good"]);
    expect(faults[1]).toMatch(/twice: 002\.png and f_2\.jpg both have the frame number 2$/);
    expect(faults).toHaveLength(2);
  });

  it("at an image that is cut off or has another size", async () => {
    await frames(at("set/test/cut"), [0, 1, 2, 3, 4, 5, 6]);
    truncateSync(at("set/test/cut/005.png"), 60);
    await frames(at("set/test/mixed"), [0, 1]);
    await image(at("set/test/mixed/002.png"), 0, { width: 8, height: 16 });
    const { test } = await openDataset(at("set"));
    const seen: number[] = [];
    const read = async (video: DatasetVideo) => {
      seen.length = 0;
      for await (const { index } of (await video.open()).frames()) seen.push(index);
    };
    expect(await refusal(read(find(test, "cut")))).toContain("cut/005.png cannot be decoded as PNG");
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    expect(await refusal(read(find(test, "mixed")))).toContain("002.png is 8×16 pixels, but 000.png is 16×8");
    expect(seen).toEqual([0, 1]);
  });
});

describe("labels", () => {
  async function labelled(content: string): Promise<DatasetVideo> {
    await frames(at("set/test/frames/01"), [0, 1, 2, 3]);
    text(at("set/test/labels/01.txt"), content);
    return find((await openDataset(at("set"))).test, "01");
  }

  it.each([
    ["with Windows line ends", "0\r\n1\r\n1\r\n0\r\n"],
    ["behind a byte order mark", "\uFEFF0\n1\n1\n0"],
    ["with blank lines after them", "0\n1\n1\n0\n\n  \n"],
    ["several on a line", "0 1\t1,0\n"],
    ["separated by commas and blanks", "0, 1, 1\n0"],
    ["as fractions", "0.0\n1.0\n1.\n0\n"],
    ["as NumPy writes them", "0.000000000000000000e+00\n1.000000000000000000e+00\n1e0\n0\n"],
  ])("are read %s", async (_, content) => {
    expect([...((await (await labelled(content)).labels?.()) ?? [])]).toEqual([0, 1, 1, 0]);
  });

  it.each([
    ["fewer than the frames", "0\n1\n1\n", "01.txt has 3 labels, but its video has 4 frames"],
    ["more than the frames", "0\n1\n1\n0\n1\n", "01.txt has 5 labels, but its video has 4 frames"],
    ["of another number", "0\n2\n1\n0\n", "01.txt:2: a label is 0 (normal) or 1 (abnormal), not 2"],
    ["of words", "0\n\nnormal\n", '01.txt:3: "normal" is not a number'],
    ["that are not finite", "0\n1\nNaN\n0\n", '01.txt:3: "NaN" is not a number'],
    ["with a hole", "0,,1,1", '01.txt:1: "" is not a number'],
    ["that are not there", "\n \n", "01.txt is empty: it needs a 0 or 1 per frame"],
  ])("are refused: %s", async (_, content, message) => {
    expect(await refusal((await labelled(content)).labels?.())).toContain(message);
  });

  it("are missing if a folder has their name", async () => {
    await labelled("0\n");
    mkdirSync(at("set/test/labels/02.txt"));
    await frames(at("set/test/frames/02"), [0]);
    expect((await openDataset(at("set"))).notes).toContain("test: no labels for 02");
  });
});

describe("tracks", () => {
  async function tracked(content: string): Promise<DatasetVideo> {
    await frames(at("set/test/frames/01"), [5, 6, 8]);
    text(at("set/test/tracks/01.txt"), content);
    return find((await openDataset(at("set"))).test, "01");
  }

  it("may be none, and may reach beyond the frame's edge", async () => {
    expect(await (await tracked("")).tracks?.()).toEqual([]);
    const video = await tracked("\uFEFF1 2 -3 0.5 15 20\r\n\r\n");
    expect(await video.tracks?.()).toEqual([{ track: 1, frame: 2, x1: -3, y1: 0.5, x2: 15, y2: 20 }]);
  });

  it.each([
    ["0,1,0,0,3", "01.txt:2 has 5 values; a row is track,frame,x1,y1,x2,y2"],
    ["0,1,0,0,3,x", '01.txt:2: "x" is not a number'],
    ["0,1.5,0,0,3,3", "01.txt:2: track 0 and frame 1.5 must be whole numbers"],
    // By position, not by number.
    ["0,5,0,0,3,3", "01.txt:2: there is no frame 5; the video's frames are 0 to 2"],
    ["0,-1,0,0,3,3", "01.txt:2: there is no frame -1"],
    ["0,1,4,0,3,3", "01.txt:2: the box 4,0,3,3 ends before it begins"],
    ["0,1,16,0,20,3", "01.txt:2: the box 16,0,20,3 lies outside of the frame, 16×8 pixels"],
  ])("are refused: %s", async (row, message) => {
    expect(await refusal((await tracked(`0,0,0,0,1,1\n${row}\n`)).tracks?.())).toContain(message);
  });
});

describe("masks", () => {
  async function masked(numbers: readonly number[]): Promise<DatasetVideo> {
    await frames(at("set/test/frames/01"), [5, 6, 8]);
    await frames(at("set/test/masks/01"), numbers);
    return find((await openDataset(at("set"))).test, "01");
  }

  it("go by frame number; those without a frame do not matter", async () => {
    const video = await masked([0, 5, 6, 8, 9]);
    await image(at("set/test/masks/01/008.png"), rectangles([9, 0, 0, 1, 0]));
    expect((await video.mask?.(2))?.data).toEqual(Uint8Array.from(rectangles([1, 0, 0, 1, 0])));
    expect(await refusal(video.mask?.(3))).toContain("01 has no frame at position 3");
  });

  it("are refused if one is missing, whichever is asked for", async () => {
    expect(await refusal((await masked([5, 8])).mask?.(0))).toBe(
      `${at("set/test/masks/01")} has no mask for the frame number 6, but 2 others; a mask must have its frame's number`,
    );
  });

  it("are refused if one has another size or is cut off", async () => {
    const video = await masked([5, 6, 8]);
    await image(at("set/test/masks/01/006.png"), 0, { width: 8, height: 8 });
    truncateSync(at("set/test/masks/01/008.png"), 60);
    expect((await video.mask?.(0))?.width).toBe(16);
    expect(await refusal(video.mask?.(1))).toContain("006.png is 8×8 pixels, but the frames of its video are 16×8");
    expect(await refusal(video.mask?.(2))).toContain("008.png cannot be decoded as PNG");
  });
});
