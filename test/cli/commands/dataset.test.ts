import { readFileSync, truncateSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { CheckFailed } from "../../../src/cli/check_failed.js";
import { datasetCommand } from "../../../src/cli/commands/dataset.js";
import { videoFile } from "../../support/cli.js";
import { frames, image, rectangles, text } from "../../support/dataset.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();

/** Runs the command; returns what it prints and what it throws. */
async function dataset(...args: string[]): Promise<{ stdout: string; thrown: unknown }> {
  let stdout = "";
  const spies = [
    vi.spyOn(console, "log").mockImplementation((line: unknown) => {
      stdout += `${line}\n`;
    }),
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      stdout += text;
      return true;
    }),
  ];
  try {
    const thrown = await datasetCommand()
      .exitOverride()
      .parseAsync([...args, "--quiet"], { from: "user" })
      .then(() => undefined)
      .catch((error: unknown) => error);
    return { stdout: args.includes("-") ? stdout : cells(stdout), thrown };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

async function makeSet(): Promise<void> {
  await frames(at("ped2/train/frames/01"), [0, 1, 2]);
  await image(at("ped2/train/frames/02/7.png"), 0, { width: 24, height: 16 });
  await frames(at("ped2/test/frames/01"), [0, 1, 2, 3, 4, 5, 6, 7]);
  text(at("ped2/test/labels/01.txt"), "0\n1\n1\n0\n0\n1\n0\n1\n");
  for (const i of Array(8).keys()) await image(at(`ped2/test/masks/01/00${i}.png`), [1, 2, 5, 7].includes(i) ? 255 : 0);
  text(at("ped2/test/tracks/01.txt"), "4,1,0,0,2,2\n4,2,0,0,2,2\n6,5,1,1,2,2\n");
  await frames(at("ped2/test/frames/02"), [0, 1]);
  text(at("ped2/test/labels/02.txt"), "0\n0\n");
}

/** The lines of a table, with single blanks between cells. */
const cells = (stdout: string) =>
  stdout
    .split("\n")
    .filter((line) => !line.startsWith("─"))
    .map((line) => line.replace(/ +/g, " "))
    .join("\n");

const summary = `
split videos frames size abnormal labels masks tracks
train 2 4 16×8, 24×16 - - - -
test 2 10 16×8 4 (40.0 %) 2 of 2 1 of 2 1 of 2

video frames size abnormal (from 0) masks tracks
train/01 3 16×8 - - -
train/02 1 24×16 - - -
test/01 8 16×8 1-2 5 7 8 2
test/02 2 16×8 none - -

note: test: no masks for 02
note: test: no tracks for 02
`;

describe("dataset", () => {
  it("lists splits, videos, and what is missing", async () => {
    await makeSet();
    expect(await dataset(at("ped2"))).toEqual({
      stdout: `${at("ped2")}: layout ped2\n${summary}`,
      thrown: undefined,
    });
    expect(await dataset(at("ped2"), "--verify")).toEqual({
      stdout: `${at("ped2")}: layout ped2, every frame decoded\n${summary}`,
      thrown: undefined,
    });
  });

  it("writes JSON to a file beside the tables, or prints it in place of them", async () => {
    await makeSet();
    const { stdout, thrown } = await dataset(at("ped2"), "--json", "-", "--dataset", "shanghai");
    expect(thrown).toBeUndefined();
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      root: at("ped2"),
      layout: "shanghai",
      verified: false,
      splits: {
        train: { videos: 2, frames: 4, isEstimate: false, sizes: ["16×8", "24×16"], labels: 0, masks: 0, tracks: 0 },
        test: { videos: 2, frames: 10, labels: 2, labelledFrames: 10, abnormalFrames: 4, masks: 1, tracks: 1 },
      },
      notes: ["test: no masks for 02", "test: no tracks for 02"],
      faults: [],
    });
    expect(report.videos[2]).toEqual({
      split: "test",
      name: "01",
      path: at("ped2/test/frames/01"),
      frames: 8,
      width: 16,
      height: 8,
      hasLabels: true,
      abnormal: [
        [1, 2],
        [5, 5],
        [7, 7],
      ],
      abnormalFrames: 4,
      hasMasks: true,
      masks: 8,
      hasTracks: true,
      tracks: 2,
      faults: [],
    });
    const both = await dataset(at("ped2"), "--json", at("report.json"), "--dataset", "shanghai");
    expect(both.stdout).toBe(`${at("ped2")}: layout shanghai\n${summary}written to ${at("report.json")}\n`);
    expect(JSON.parse(readFileSync(at("report.json"), "utf8"))).toEqual(report);
  });

  it("estimates a video file's frames from its header, and counts them with --verify", async () => {
    await frames(at("set/train/a"), [0]);
    text(at("set/test/v.txt"), "0\n0\n1\n1\n1\n1\n");
    await videoFile(at("set/test/v.avi"), 6, "-c:v", "ffv1");
    const { stdout, thrown } = await dataset(at("set"));
    expect(thrown).toBeUndefined();
    expect(stdout).toContain("\ntest 1 ~6 80×48 4 (66.7 %) 1 of 1\n");
    expect(stdout).toContain("\ntest/v ~6 80×48 10 2-5\n");
    expect((await dataset(at("set"), "--verify")).stdout).toContain("\ntest/v 6 80×48 10 2-5\n");
    text(at("set/test/v.txt"), "0\n0\n");
    const short = await dataset(at("set"), "--verify");
    expect(short.stdout).toContain(
      `fault: the label file of ${at("set/test/v.avi")} has 2 labels, but its video has 6 frames\n`,
    );
    expect(short.thrown).toBeInstanceOf(CheckFailed);
  });

  it("finds ground truth that contradicts itself, with --verify", async () => {
    await frames(at("set/test/frames/01"), [0, 1, 2]);
    text(at("set/test/labels/01.txt"), "0\n0\n1\n");
    for (const i of [0, 1, 2]) await image(at(`set/test/masks/01/${i}.png`), rectangles([i > 0 ? 255 : 0, 2, 2, 5, 5]));
    text(at("set/test/tracks/01.txt"), "0,1,2,2,5,5\n0,2,12,2,16,5\n");
    expect((await dataset(at("set"))).thrown).toBeUndefined();
    const { stdout, thrown } = await dataset(at("set"), "--verify");
    expect(thrown).toBeInstanceOf(CheckFailed);
    expect(stdout).toContain(
      "labels and masks disagree in 1 of 3 frames: labelled normal, but with abnormal pixels; the first is at position 1",
    );
    expect(stdout).toContain("the box 12,2,16,5 of track 0 at position 2 reaches beyond the frame, 16×8 pixels");
  });

  it("continues after a fault, and fails at the end", async () => {
    await makeSet();
    text(at("ped2/test/labels/01.txt"), "0\n1\n");
    text(at("ped2/test/tracks/01.txt"), "1,99,0,0,1,1\n");
    await frames(at("ped2/test/frames/03"), [1]);
    await image(at("ped2/test/frames/03/f1.png"), 0);
    truncateSync(at("ped2/test/masks/01/003.png"), 60);
    truncateSync(at("ped2/train/frames/01/001.png"), 60);
    truncateSync(at("ped2/train/frames/01/002.png"), 60);
    await image(at("ped2/test/frames/02/001.png"), 0, { width: 8, height: 8 });
    const faultsOf = (stdout: string) => stdout.split("\n").filter((line) => line.startsWith("fault: "));

    const quick = await dataset(at("ped2"));
    expect(quick.thrown).toBeInstanceOf(CheckFailed);
    expect((quick.thrown as Error).message).toBe(`${at("ped2")} has 3 faults`);
    const known = [
      /03: 001\.png and f1\.png both have the frame number 1$/,
      /01\.txt has 2 labels, but its video has 8 frames$/,
      /01\.txt:1: there is no frame 99; the video's frames are 0 to 7$/,
    ];
    const quickFaults = faultsOf(quick.stdout);
    expect(quickFaults).toHaveLength(3);
    known.forEach((pattern, i) => {
      expect(quickFaults[i]).toMatch(pattern);
    });
    expect(quick.stdout).toMatch(/^test\/01 8 16×8 \? 8 yes$/m);

    const all = await dataset(at("ped2"), "--verify", "--json", "-");
    expect((all.thrown as Error).message).toBe(`${at("ped2")} has 7 faults`);
    const { faults, videos } = JSON.parse(all.stdout) as { faults: string[]; videos: { masks?: number }[] };
    for (const pattern of [
      ...known,
      /train\/frames\/01\/001\.png cannot be decoded as PNG/,
      /train\/frames\/01\/002\.png cannot be decoded as PNG/,
      /masks\/01\/003\.png cannot be decoded as PNG/,
      /frames\/02\/001\.png is 8×8 pixels, but 000\.png is 16×8$/,
    ]) {
      expect(faults.filter((fault) => pattern.test(fault))).toHaveLength(1);
    }
    expect(faults).toHaveLength(7);
    expect(videos[2]?.masks).toBe(7);
  });

  it("refuses a folder that does not exist", async () => {
    const { stdout, thrown } = await dataset(at("none"));
    expect(stdout).toBe("");
    expect(await refusal(Promise.reject(thrown))).toContain("none is not a folder");
  });
});
