import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { machineClock } from "../../../src/server/camera/frame_time.js";
import { Recording } from "../../../src/server/camera/recording.js";
import { configOf } from "../../../src/server/config/config.js";
import type { CameraConfig } from "../../../src/server/config/types.js";
import { scratchPerTest } from "../../support/folders.js";

const at = scratchPerTest();
const moment = { steady: 50, wall: 0, stream: 12 };

/** The recording of a camera, the disk's room, and what is warned of. */
async function recordingOf(config: Partial<CameraConfig> = {}, clock = { steady: () => 40, wall: () => 0 }) {
  const disk = { hasRoom: true };
  const warnings: string[] = [];
  const [read] = configOf(["rtsp://localhost/live"]).cameras;
  const recording = await Recording.open(
    { ...read, id: "cam", clip: { before: 1, after: 1 }, ...config },
    {
      ...{ data: at("data"), clock },
      canRecord: () => disk.hasRoom,
      warn: (line) => warnings.push(line),
    },
  );
  return { recording: recording!, disk, warnings };
}

test("the scored stream is recorded on its own clock, as long as the disk has room", async () => {
  const { recording, disk } = await recordingOf();
  expect(recording.at(moment)).toBeUndefined();
  expect(recording.connect()).toEqual({ segments: at("data", "segments", "cam"), prefix: expect.any(String) });
  expect(recording.at(moment)).toEqual({ connection: 1, time: 12 });
  expect(recording.roomChanged()).toBe(false);
  await recording.disconnect();
  disk.hasRoom = false;
  // It must be connected to again, now without a recording.
  expect(recording.roomChanged()).toBe(true);
  expect(recording.connect()).toBeUndefined();
  expect(recording.at(moment)).toBeUndefined();
  expect(recording.roomChanged()).toBe(false);
  disk.hasRoom = true;
  expect(recording.roomChanged()).toBe(true);
  expect(recording.connect()?.prefix).toMatch(/^2-/);
  expect(recording.at(moment)).toEqual({ connection: 2, time: 12 });
});

test("if another stream is recorded, the scored one is not, and goes on on a full disk", async () => {
  const { recording, disk } = await recordingOf({ record: at("none.mp4") });
  expect(recording.connect()).toBeUndefined();
  expect(recording.at(moment)).toBeUndefined();
  disk.hasRoom = false;
  expect(recording.roomChanged()).toBe(false);
});

test("another stream that cannot be read is tried again, and its fault is said once", async () => {
  const { recording, warnings } = await recordingOf({ record: at("none.mp4") });
  const stop = new AbortController();
  let tries = 0;
  const { connect } = recording.recorder;
  recording.recorder.connect = () => {
    if (++tries === 3) stop.abort();
    return connect.call(recording.recorder);
  };
  await recording.recordOther(stop.signal);
  expect(tries).toBe(3);
  expect(warnings).toEqual([expect.stringMatching(/^the stream for clips: .*none\.mp4/)]);
});

test("the clock of another stream begins with its first packet, however far apart its key frames are", async () => {
  const path = at("gop.mp4");
  const input = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10", "-t", "12"];
  execFileSync(await findFfmpeg(), [
    "-v",
    "error",
    ...input,
    "-c:v",
    "libx264",
    "-g",
    "30",
    "-sc_threshold",
    "0",
    path,
  ]);
  const { recording } = await recordingOf({ record: path }, machineClock);
  const stop = new AbortController();
  const began = machineClock.steady();
  const run = recording.recordOther(stop.signal);
  const add = recording.recorder.add.bind(recording.recorder);
  const ends: number[] = [];
  recording.recorder.add = (segment) => {
    add(segment);
    ends.push(segment.end);
  };
  await vi.waitFor(() => expect(ends.length).toBeGreaterThanOrEqual(2), { timeout: 60_000, interval: 20 });
  const now = machineClock.steady();
  // What has come by now ends here; ffmpeg reads a little ahead.
  const { time } = recording.at({ steady: now, wall: 0, stream: 0 })!;
  expect(time).toBeGreaterThan(ends.at(-1)! - 0.1);
  expect(time).toBeLessThan(now - began + 1);
  stop.abort();
  await run;
});

test("there is none without clips, nor in a folder that cannot be made, which is a warning", async () => {
  const without = await recordingOf({ clip: undefined });
  expect([without.recording, without.warnings, existsSync(at("data"))]).toEqual([undefined, [], false]);
  writeFileSync(at("data"), "no folder");
  const { recording, warnings } = await recordingOf();
  expect([recording, warnings]).toEqual([undefined, [expect.stringMatching(/^nothing is recorded: /)]]);
});
