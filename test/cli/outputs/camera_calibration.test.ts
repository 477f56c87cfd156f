import { readFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { showCalibration } from "../../../src/cli/outputs/camera_calibration.js";
import { paperFrameScore } from "../../../src/detector/frame_score.js";
import type { ScoreSettings } from "../../../src/detector/settings.js";
import type { CameraCalibration } from "../../../src/server/calibrate/calibration.js";
import type { KnownMode } from "../../../src/server/camera/known.js";
import { settled } from "../../../src/server/camera/thresholds.js";
import { configOf } from "../../../src/server/config/config.js";
import { filesIn } from "../../support/cli.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();
const settings = {
  ...{ frameScore: { ...paperFrameScore, scoring: "top-anomaly" }, score: "teacher", norm: "L2" },
  ...{ size: { height: 32, width: 48 }, maskRatio: 0.5, masking: "random", maskedOnly: false, dtype: "f32" },
} satisfies ScoreSettings as ScoreSettings;

/** A mode of so many blocks of 5 s. */
function mode(blocks: number, highest = 0.45): KnownMode {
  const values = Array.from({ length: blocks }, (_, i) => ((i % 10) / 9) * highest);
  const seen = { seconds: 5 * blocks, blocks: values, median: 0.1, mapHigh: 0.3 };
  return settled({ day: { seen } }, 1, settings).day!;
}

/** @returns the lines that are results, and the others */
async function shown(found: Partial<CameraCalibration>, threshold = {}, report?: string) {
  const [camera] = configOf(["rtsp://me:secret@front/x"]).cameras;
  const [results, lines] = [[] as string[], [] as string[]];
  const spy = vi.spyOn(console, "log").mockImplementation((line: string) => void results.push(line));
  try {
    const calibration = { modes: {}, changed: [], adapter: "an adapter", settings, ...found };
    const calibrated = { data: at("data"), camera: { ...camera, id: "front", threshold }, videos: [], checkpoint: "m" };
    await showCalibration(calibration, calibrated, report, (line) => lines.push(line));
  } finally {
    spy.mockRestore();
  }
  return { results, lines };
}

test("each mode has its histogram and threshold, and a page", async () => {
  const { results, lines } = await shown({ modes: { infrared: mode(24), day: mode(12) } }, {}, at());
  const headings = results.filter((line) => line.trim().startsWith("front, "));
  expect(headings).toEqual(["front, by day:", "\nfront, in infrared:"]);
  expect(results.filter((line) => /^threshold [\d.]+ for 1 alarm per day$/.test(line))).toHaveLength(2);
  expect(results.join("\n")).toContain("the normal video raises 0 alarms at this threshold, in 2 min");
  expect(filesIn(at())).toEqual(["index.html", "infrared.html"]);
  expect(readFileSync(at("index.html"), "utf8")).toContain("by day</title>");
  expect(readFileSync(at("infrared.html"), "utf8")).toContain("in infrared</title>");
  expect(readFileSync(at("index.html"), "utf8")).not.toContain("secret");
  expect(lines.at(-1)).toMatch(/^kept in .*calibration\.json; `watch` takes it from its next start$/);
});

test("what does not help yet, another view, and a threshold of the configuration are said", async () => {
  const { lines } = await shown({ modes: { day: mode(12), infrared: mode(3) }, changed: ["day"] }, { day: 0.5 });
  expect(lines).toEqual([
    "front, in infrared: 15 s are too little for a threshold; they are kept",
    expect.stringMatching(/^front shows another view than before, by day: .* --fresh$/),
    expect.stringMatching(
      /^kept in .*calibration\.json; but `watch` uses the configuration's threshold of front by day until you remove it there$/,
    ),
  ]);
});

test("a threshold that nothing will reach is said", async () => {
  const { lines } = await shown({ modes: { day: mode(120, 0.9999), infrared: mode(120) } });
  expect(lines.filter((line) => line.includes("nothing will ever reach"))).toEqual([
    expect.stringMatching(/^front, by day: levels are at most 1: nothing will ever reach the threshold /),
  ]);
});

test("too little video is an error that says what became of it", async () => {
  expect(await refusal(shown({ modes: { day: mode(3) } }))).toMatch(
    /^front: 15 s of normal video are too little for a threshold: .*; they are kept, and the next run adds to them$/,
  );
  expect(await refusal(shown({}))).toBe("front: the video is too short: nothing was learnt");
});
