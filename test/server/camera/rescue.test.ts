import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { openInput } from "../../../src/node/media/open.js";
import { Recorder } from "../../../src/server/camera/recorder.js";
import { rescueClips } from "../../../src/server/camera/rescue.js";
import { capture } from "../../../src/server/capture.js";
import type { CameraEvent, EventChange } from "../../../src/server/records.js";
import { collect } from "../../support/dataset.js";
import { scratchPerTest } from "../../support/folders.js";

const at = scratchPerTest();

const event = (id: string, more: Partial<CameraEvent> = {}): CameraEvent => ({
  ...{ id, camera: "front", kind: "anomaly", start: "2026-11-30T23:59:59.000Z", end: "2026-12-01T00:00:09.000Z" },
  ...{ zones: [], snapshot: `clips/front/2026-11-30/${id}.jpg` },
  ...more,
});

async function rescued(events: readonly CameraEvent[], hasRoom = true) {
  const changes: EventChange[] = [];
  const warnings: string[] = [];
  const { done } = await rescueClips({
    ...{ data: at(), hasRoom, events: async () => events },
    keep: async (change) => changes.push(change),
    warn: (camera, line) => warnings.push(`${camera}: ${line}`),
  });
  // Cameras may begin now.
  const left = readdirSync(at("segments")).filter((name) => name === "front");
  await done;
  return { changes, warnings, left };
}

/** Records a video as live, and leaves it as a process does that is killed after some seconds. */
async function killedAfter(seconds: number, ...codec: string[]): Promise<Recorder> {
  const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", "200", "-pix_fmt", "yuv420p"];
  execFileSync(await findFfmpeg(), ["-v", "error", "-y", ...input, "-g", "10", ...codec, at("live.mkv")]);
  const recorder = await Recorder.open(at("segments", "front"), 1);
  const { connection, prefix } = recorder.connect();
  const stop = new AbortController();
  let frames = 0;
  const listener = {
    onFrame: () => {
      frames++;
      if (frames === 45) recorder.hold("e1", connection, 4.5);
      if (frames === 10 * seconds) stop.abort(new Error("killed"));
    },
    onSegment: recorder.add.bind(recorder),
  };
  const options = { source: at("live.mkv"), fps: 10, width: 48, height: 32, segments: recorder.folder };
  await capture(options, prefix, listener, stop.signal).catch(() => {});
  await sleep(100);
  return recorder;
}

test.each([
  ["H.264", ["-c:v", "libx264"]],
  ["MJPEG", ["-c:v", "mjpeg"]],
])(
  "the clip of an event that was going on begins before it, and ends where the recording does (%s)",
  async (_, codec) => {
    await killedAfter(9, ...codec);
    const { changes, warnings, left } = await rescued([event("e1"), event("e2"), event("e1", { camera: "back" })]);
    expect(warnings).toEqual([]);
    expect(left).toEqual([]);
    expect(readdirSync(at("segments"))).toEqual([]);
    const clip = "clips/front/2026-11-30/e1.mp4";
    expect(changes).toMatchObject([{ change: "clip", event: { ...event("e1"), clip } }]);
    // From second 2 on, where a segment begins, to the end of those that were complete at least.
    const frames = await collect((await openInput(at(clip))).frames());
    expect(frames.length).toBeGreaterThanOrEqual(58);
    expect(frames.length).toBeLessThanOrEqual(80);
    // As at the second 2 of the video.
    const video = await collect((await openInput(at("live.mkv"))).frames());
    const difference = (a: Uint8Array, b: Uint8Array) =>
      a.reduce((sum, byte, i) => sum + Math.abs(byte - b[i]), 0) / a.length;
    expect(difference(frames[0].data, video[20].data)).toBeLessThan(6);
    expect(difference(frames[0].data, video[30].data)).toBeGreaterThan(6);
  },
);

test("events that have a clip, and segments of other connections, are left alone", async () => {
  mkdirSync(at("segments", "front"), { recursive: true });
  for (const name of ["1-aa-000000.mkv", "2-bb-000000.mkv", "2-bb-000001.mkv"])
    writeFileSync(at("segments", "front", name), "damaged");
  writeFileSync(at("segments", "front", "e1.event"), "1-aa-000000.mkv");
  writeFileSync(at("segments", "front", "e2.event"), "3-cc-000000.mkv");
  writeFileSync(at("segments", "front", "e3.event"), "../../../secret");
  const events = [event("e1", { clip: "clips/there.mp4" }), event("e2"), event("e3")];
  const { changes, warnings } = await rescued(events);
  expect(changes).toEqual([]);
  expect(warnings).toEqual(["e2", "e3"].map((id) => `front: no clip of ${id}: nothing was recorded`));
  expect(readdirSync(at("segments"))).toEqual([]);
});

test("damaged segments give no clip; a process that is killed meanwhile leaves them to the next one", async () => {
  mkdirSync(at("segments", "front.old-12ab"), { recursive: true });
  writeFileSync(at("segments", "front.old-12ab", "1-aa-000000.mkv"), "damaged");
  writeFileSync(at("segments", "front.old-12ab", "e1.event"), "1-aa-000000.mkv");
  const { changes, warnings } = await rescued([event("e1")]);
  expect(changes).toEqual([]);
  expect(warnings).toEqual([expect.stringMatching(/^front: no clip of e1: .*e1\.mp4 cannot be made: /)]);
  expect(readdirSync(at("segments"))).toEqual([]);
  expect(readdirSync(at("clips", "front", "2026-11-30"))).toEqual([]);
});

test("a full disk gets no clips, and room", async () => {
  const recorder = await killedAfter(6, "-c:v", "libx264");
  const { changes, warnings } = await rescued([event("e1")], false);
  expect([changes, warnings]).toEqual([[], []]);
  expect(readdirSync(at("segments"))).toEqual([]);
  expect(basename(recorder.folder)).toBe("front");
});

test("without anything recorded there is nothing to do", async () => {
  mkdirSync(at("segments"));
  expect(await rescued([event("e1")])).toEqual({ changes: [], warnings: [], left: [] });
});
