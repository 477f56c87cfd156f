import { mkdirSync, renameSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openDataset } from "../../../src/node/datasets/index.js";
import { frames, image, rectangles, size, text } from "../../support/dataset.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();

const labels = `% ground truth
TestVideoFile = {};
TestVideoFile{end+1}.gt_frame = [2:3];   % a bicycle
TestVideoFile{end+1}.gt_frame = [1:1, 4:5];
TestVideoFile{end+1}.gt_frame = [];
`;

/** Three test clips as UCSD packed them, with macOS's hidden files. */
async function distributed(root = "UCSDped1", program = labels): Promise<void> {
  await frames(at(root, "Train/Train001"), [1, 2, 3], "tif");
  await frames(at(root, "Train/Train002"), [1, 2], "tif");
  for (const clip of [1, 2, 3]) await frames(at(root, `Test/Test00${clip}`), [1, 2, 3, 4, 5], "tif");
  await frames(at(root, "Test/Test001_gt"), [1, 4, 5]);
  for (const number of [2, 3]) await image(at(root, `Test/Test001_gt/00${number}.png`), rectangles([255, 1, 1, 2, 2]));
  for (const junk of ["Train/.DS_Store", "Train/Train001/._001.tif", "Test/._Test001", "Test/Test001_gt/._001.png"]) {
    text(at(root, junk), "\0");
  }
  text(at(root, "Test", `${root}.m`), program);
  text(at(root, "README.txt"), "");
}

const labelsOf = async (program: string, root = "UCSDped1") => {
  await distributed(root, program);
  const { test } = await openDataset(at(root));
  return Promise.all(test.map(async (video) => ((await video.labels?.()) ?? []).join("")));
};

describe("UCSD as distributed", () => {
  it("has clips in order, labels from the .m file, and masks of some clips", async () => {
    await distributed();
    const { layout, train, test, notes } = await openDataset(at("UCSDped1"));
    expect(layout).toBe("ped1");
    expect(train.map((video) => [video.name, video.frameCount, video.labels])).toEqual([
      ["Train001", 3, undefined],
      ["Train002", 2, undefined],
    ]);
    expect(test.map((video) => [video.name, video.frameCount, video.mask !== undefined])).toEqual([
      ["Test001", 5, true],
      ["Test002", 5, false],
      ["Test003", 5, false],
    ]);
    const found = await Promise.all(test.map(async (video) => ((await video.labels?.()) ?? []).join("")));
    expect(found).toEqual(["01100", "10011", "00000"]);
    expect(await test[0]?.mask?.(1)).toEqual({ ...size, data: Uint8Array.from(rectangles([1, 1, 1, 2, 2])) });
    expect(notes).toEqual(["test: no masks for Test002, Test003"]);
    const source = await test[0]?.open();
    expect(source).toMatchObject({ ...size, frameCount: 5 });
  });

  it("has synthetic anomalies beside its training clips, not in a train/ of their own", async () => {
    await distributed();
    mkdirSync(at("UCSDped1/train"), { recursive: true });
    for (const folder of ["frames_abnormal", "masks_abnormal"]) {
      await frames(at("UCSDped1/Train", folder, "Train002"), [1, 2]);
    }
    const { train, trainFolder, notes } = await openDataset(at("UCSDped1"));
    expect(trainFolder).toBe(at("UCSDped1/Train"));
    expect(train.map(({ name, abnormal }) => [name, abnormal !== undefined])).toEqual([
      ["Train001", false],
      ["Train002", true],
    ]);
    expect((await train[1]?.abnormal?.masks())?.frameCount).toBe(2);
    expect(notes).toEqual(["test: no masks for Test002, Test003"]);
  });

  it("is recognised by its label file under another name, unless the option says otherwise", async () => {
    await distributed("UCSDped2");
    renameSync(at("UCSDped2"), at("pedestrians"));
    expect((await openDataset(at("pedestrians"))).layout).toBe("ped2");
    expect((await openDataset(at("pedestrians"), { layout: "ped1" })).layout).toBe("ped1");
    expect(await refusal(openDataset(at("pedestrians"), { labels: at("pedestrians") }))).toContain(
      "are in its .m file",
    );
  });

  it("is refused if the folder holds both data sets, and the message names them", async () => {
    await distributed();
    mkdirSync(at("v1p2"));
    renameSync(at("UCSDped1"), at("v1p2/UCSDped1"));
    expect(await refusal(openDataset(at("v1p2")))).toBe(
      `${at("v1p2")} is not a data set itself, but holds UCSDped1: name it`,
    );
    mkdirSync(at("v1p2/UCSDped2/Train/Train001"), { recursive: true });
    expect(await refusal(openDataset(at("v1p2")))).toMatch(/holds UCSDped1 and UCSDped2: name one of them$/);
  });

  it("may lack clips: labels go by the clips' numbers", async () => {
    await distributed();
    renameSync(at("UCSDped1/Test/Test002"), at("elsewhere"));
    const { test, notes } = await openDataset(at("UCSDped1"));
    expect(test.map((video) => video.name)).toEqual(["Test001", "Test003"]);
    expect([...((await test[1]?.labels?.()) ?? [])]).toEqual([0, 0, 0, 0, 0]);
    expect(notes).toContain("test: labels for video 2, which are not videos here");
  });

  it("may lack labels", async () => {
    await distributed();
    renameSync(at("UCSDped1/Test/UCSDped1.m"), at("elsewhere.m"));
    const { test, notes } = await openDataset(at("UCSDped1"));
    expect(test[0]?.labels).toBeUndefined();
    expect(notes).toContain("test: no labels (looked for Test/*.m)");
  });
});

describe("the label file", () => {
  const entry = (frames: string) => `TestVideoFile{end+1}.gt_frame = ${frames};\n`;

  it.each([
    ["single frames and ranges", entry("[1 3:4]") + entry("2") + entry("[5]"), ["10110", "01000", "00001"]],
    [
      "explicit numbers, out of order",
      "TestVideoFile{3}.gt_frame=[1:5];TestVideoFile{1}.gt_frame=[1];TestVideoFile{2}.gt_frame=[2]",
      ["10000", "01000", "11111"],
    ],
    [
      "Windows line ends, lists over several lines",
      `${entry("[1:2, ...\r\n 4:5]")}${entry("[1,\r\n5]")}${entry("[]")}`,
      ["11011", "10001", "00000"],
    ],
    [
      "spaces",
      `TestVideoFile { end + 1 } . gt_frame = [ 1 : 2 , 4 ] ;\n${entry("[]")}${entry("[]")}`,
      ["11010", "00000", "00000"],
    ],
  ])("may have %s", async (_, program, expected) => {
    expect(await labelsOf(program)).toEqual(expected);
  });

  it.each([
    ["a program", `${entry("[1:2]")}system('rm -rf /');`, "UCSDped1.m:2: \"system('rm -rf /')\" is not of the form"],
    ["an expression", entry("[1:numel(x)]"), 'UCSDped1.m:1: "1:numel(x)" is not a range of frames'],
    ["a step", entry("[1:2:5]"), '"1:2:5" is not a range of frames, such as 61:180, counted from 1'],
    ["frame 0", entry("[0:2]"), '"0:2" is not a range'],
    ["a range backwards", entry("[4:2]"), '"4:2" is not a range'],
    ["an open list", entry("[1:2"), "its last list of frames is not closed"],
    ["nothing", "% nothing\n", "UCSDped1.m has no line TestVideoFile{end+1}.gt_frame = [61:180]"],
    [
      "frames that the video lacks",
      entry("[]") + entry("[2:6]") + entry("[]"),
      "UCSDped1.m:2: frames 2:6 are abnormal, but Test002 has 5 frames",
    ],
    ["too few entries", entry("[1:2]") + entry("[1]"), "UCSDped1.m has no entry for Test003, but 2 others"],
  ])("is refused with %s", async (_, program, message) => {
    expect(await refusal(labelsOf(program))).toContain(message);
  });
});
