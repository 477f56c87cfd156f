import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import { saveCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { freshCheckpoint } from "../../../src/checkpoint/fresh.js";
import { Detector } from "../../../src/node/detector.js";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { openInput } from "../../../src/node/media/open.js";
import type { CalibrationListener } from "../../../src/server/calibrate/calibration.js";
import { calibrateRecorded } from "../../../src/server/calibrate/recorded.js";
import { type CameraConfig, configOf } from "../../../src/server/config/config.js";
import { EventLog } from "../../../src/server/event_log.js";
import { LogInUseError } from "../../../src/server/log_lock.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";
import { tinyConfig } from "../../support/model.js";

const at = scratch();
const size = { height: 32, width: 48 };
const detector = { size, dtype: "f32", tune: false, batch: 1, adapter: testAdapter } as const;
/** Seconds of the video, at a frame per second. */
const length = 70;

beforeAll(async () => {
  writeFileSync(at("tiny.safetensors"), saveCheckpoint(freshCheckpoint(tinyConfig)));
  // Without loss, so that each way of decoding gives the same pixels.
  const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=1", "-frames:v", String(length)];
  execFileSync(await findFfmpeg(), ["-v", "error", ...input, "-c:v", "ffv1", "-pix_fmt", "bgr0", at("normal.mkv")]);
});

const camera = (change: Partial<CameraConfig> = {}): CameraConfig => ({
  ...configOf([at("normal.mkv")]).cameras[0],
  ...{ id: "front", fps: 1, size: { width: 96, height: 64 }, ...change },
});

class Heard implements CalibrationListener {
  seconds = 0;
  readonly warnings: string[] = [];
  constructor(private readonly at: (seconds: number) => void = () => {}) {}
  onSeconds = (seconds: number): void => {
    this.seconds += seconds;
    this.at(this.seconds);
  };
  onNotice = (): void => {};
  onWarning = (line: string): void => void this.warnings.push(line);
}

function calibrate(
  data: string,
  of: CameraConfig,
  { videos = 1, fresh = false, heard = new Heard(), signal = new AbortController().signal } = {},
) {
  const options = { data: at(data), checkpoint: [at("tiny.safetensors")], detector, fresh };
  return calibrateRecorded(of, Array<string>(videos).fill(at("normal.mkv")), options, heard, signal);
}
const kept = (data: string) => JSON.parse(readFileSync(at(data, "cameras", "front", "calibration.json"), "utf8"));

test("a video is scored as the camera would be, and gives threshold and usual view", async () => {
  const heard = new Heard();
  const found = await calibrate("data", camera({ alarmsPerDay: 1440 }), { heard });
  expect(heard).toMatchObject({ seconds: length, warnings: [] });
  expect(found.videos).toEqual([at("normal.mkv")]);
  // The scores of the frames, without the first three, which have no neighbours before them.
  const alone = await Detector.open(at("tiny.safetensors"), { ...detector, tokenMaps: true });
  const scores: number[] = [];
  for await (const { score } of alone.stream(await openInput(at("normal.mkv")))) scores.push(score);
  alone.close();
  // Nothing is known of the fourth: it has lasted no time.
  const peaks = [scores.slice(4, 8)];
  for (let first = 8; first < length; first += 5) peaks.push(scores.slice(first, first + 5));
  const { day, infrared } = kept("data").modes;
  expect(infrared).toBeUndefined();
  expect(day.seen.seconds).toBeCloseTo(length - 4, 6);
  expect(day.seen.blocks).toHaveLength(peaks.length);
  for (const [i, block] of peaks.entries()) expect(day.seen.blocks[i]).toBeCloseTo(Math.max(...block), 5);
  // 14 blocks of 5 s: one of a minute's twelve may raise an alarm.
  const falling = peaks.map((block) => Math.max(...block)).sort((a, b) => b - a);
  expect(day.state.threshold).toBeCloseTo((falling[0] + falling[1]) / 2, 5);
  expect(found.modes.day?.state?.threshold).toBe(day.state.threshold);
  // A picture every five seconds.
  expect(Object.keys(kept("data").references)).toEqual(["day"]);
  // No event, clip or snapshot.
  expect(existsSync(at("data", "clips"))).toBe(false);
});

test("what complete videos show is added to what is known; an interrupted one counts for nothing", async () => {
  const first = kept("data").modes.day.seen.blocks;
  const stop = new AbortController();
  const heard = new Heard((seconds) => {
    if (seconds >= 2 * length + 10) stop.abort(new Error("stopped"));
  });
  const found = await calibrate("data", camera(), { videos: 3, heard, signal: stop.signal });
  expect(found.videos).toHaveLength(2);
  const { seen, state } = kept("data").modes.day;
  expect(seen.blocks).toEqual([...first, ...first, ...first]);
  expect(seen.seconds).toBeCloseTo(3 * (length - 4), 6);
  expect(state.alarmsPerDay).toBe(1);
});

test("all of it can be forgotten; what is private is black, and no view; without colour it is infrared", async () => {
  const privacy = [{ x: 0, y: 0, width: 1, height: 1 }];
  const found = await calibrate("data", camera({ privacy }), { fresh: true });
  expect(Object.keys(found.modes)).toEqual(["infrared"]);
  expect(Object.keys(kept("data").modes)).toEqual(["infrared"]);
  expect(kept("data").references).toEqual({});
});

test("without a complete video the file stays as it is, even if it is damaged", async () => {
  writeFileSync(at("data", "cameras", "front", "calibration.json"), "{}");
  const heard = new Heard();
  const found = await calibrate("data", camera(), { heard, signal: AbortSignal.abort(new Error("stopped")) });
  expect(found).toMatchObject({ videos: [], modes: {} });
  expect(heard.warnings).toEqual([expect.stringContaining("calibration.json is no calibration of a camera")]);
  expect(kept("data")).toEqual({});
});

test("it refuses a folder that another process uses", async () => {
  const lock = await EventLog.open(at("busy", "events"));
  await expect(calibrate("busy", camera())).rejects.toBeInstanceOf(LogInUseError);
  await lock.close();
  expect(existsSync(at("busy", "cameras"))).toBe(false);
});
