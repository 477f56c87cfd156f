import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { saveCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { freshCheckpoint } from "../../../src/checkpoint/fresh.js";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { calibrateLive } from "../../../src/server/calibrate/live.js";
import { configOf } from "../../../src/server/config/config.js";
import { EventLog } from "../../../src/server/event_log.js";
import { LogInUseError } from "../../../src/server/log_lock.js";
import { withBundle } from "../../support/child.js";
import { scratchPerTest } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";
import { tinyConfig } from "../../support/model.js";

const at = scratchPerTest();
const size = { height: 32, width: 48 };
const detector = { size, dtype: "f32", tune: false, batch: 1, adapter: testAdapter } as const;
const kept = () => JSON.parse(readFileSync(at("data", "cameras", "cam", "calibration.json"), "utf8"));

/** Calibrates a looped video. @returns what was found, and from how many seconds */
async function calibrate(program: string, seconds: number, stopAt = Number.POSITIVE_INFINITY) {
  const read = configOf([at("cam.mp4")]);
  const config = { ...read, data: at("data"), web: undefined };
  // What the configuration says of thresholds and clips is for `watch`.
  const camera = { ...read.cameras[0], threshold: { day: 1e-6, infrared: 1e-6 }, clip: { before: 1, after: 1 } };
  const stop = new AbortController();
  let seen = 0;
  const listener = {
    onSeconds: (more: number) => {
      seen += more;
      if (seen >= stopAt) stop.abort(new Error("stopped"));
    },
    onNotice: () => {},
    onWarning: () => {},
  };
  const options = { checkpoint: [at("tiny.safetensors")], detector, engine: { program }, play: { loop: true } };
  const found = await calibrateLive(config, camera, { ...options, seconds, fresh: false }, listener, stop.signal);
  return { found, seen };
}

test("a camera is watched in shadow until enough was seen; it goes on where it was, also if it is stopped", async () => {
  const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", "300", "-pix_fmt", "yuv420p"];
  execFileSync(await findFfmpeg(), ["-v", "error", ...input, "-c:v", "libx264", "-g", "10", at("cam.mp4")]);
  writeFileSync(at("tiny.safetensors"), saveCheckpoint(freshCheckpoint(tinyConfig)));
  await withBundle('import "./src/server/engine/main.js";', async (program) => {
    const first = await calibrate(program, 8);
    expect(first.seen).toBeGreaterThanOrEqual(8);
    const { seen, state } = first.found.modes.day!;
    expect(seen.seconds).toBeGreaterThan(4);
    expect(state).toBeUndefined();
    const file = kept();
    expect(file.modes.day).toEqual(JSON.parse(JSON.stringify({ seen })));

    const blocks = [...Array<number>(24).fill(0), ...seen.blocks];
    const infrared = { width: 96, height: 54, luma: Buffer.alloc(96 * 54, 7).toString("base64") };
    const modes = { day: { seen: { ...seen, seconds: seen.seconds + 120, blocks } } };
    writeFileSync(
      at("data", "cameras", "cam", "calibration.json"),
      JSON.stringify({ ...file, modes, references: { infrared } }),
    );
    const second = await calibrate(program, 3600, 2);
    const { day } = second.found.modes;
    expect(day!.seen.seconds).toBeGreaterThan(seen.seconds + 120);
    expect(day!.seen.blocks.slice(0, blocks.length)).toEqual(blocks);
    expect(day!.state!.threshold).toBeGreaterThan(Math.max(...day!.seen.blocks));
    expect(kept().modes.day.state.threshold).toBe(day!.state!.threshold);
    // What was seen in infrared before stays.
    expect(kept().references).toEqual({ infrared });
    expect(existsSync(at("data", "clips"))).toBe(false);
  });
}, 400_000);

test("it refuses a data folder that another process uses", async () => {
  writeFileSync(at("tiny.safetensors"), saveCheckpoint(freshCheckpoint(tinyConfig)));
  writeFileSync(at("cam.mp4"), "");
  const lock = await EventLog.open(at("data", "events"));
  await expect(calibrate("none", 8)).rejects.toBeInstanceOf(LogInUseError);
  await lock.close();
});
