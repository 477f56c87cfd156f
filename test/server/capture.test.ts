import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findFfmpeg } from "../../src/node/media/ffmpeg.js";
import { liveInput } from "../../src/node/media/live_input.js";
import { openInput } from "../../src/node/media/open.js";
import { Recorder } from "../../src/server/camera/recorder.js";
import { type CaptureOptions, capture, type Segment } from "../../src/server/capture.js";
import { collect } from "../support/dataset.js";
import { scratch } from "../support/folders.js";
import { refusal } from "../support/refusal.js";
import { startCamera } from "../support/rtsp.js";

const at = scratch();
const servers: Server[] = [];
let ffmpeg = "";

/** Six seconds, ten frames per second, a key frame each second, in H.264. */
beforeAll(async () => {
  ffmpeg = await findFfmpeg();
  const input = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=10", "-frames:v", "60", "-pix_fmt", "yuv420p"];
  for (const name of ["a.mp4", "a.ts"])
    execFileSync(ffmpeg, ["-v", "error", ...input, "-c:v", "libx264", "-g", "10", at(name)]);
});
afterAll(() => {
  for (const server of servers) server.close();
});

const size = { width: 160, height: 120 };

/** All that a source gives. */
async function captured(options: Partial<CaptureOptions>, signal = new AbortController().signal) {
  const frames: Uint8Array[] = [];
  const indices: number[] = [];
  const pictures: Uint8Array[] = [];
  const segments: Segment[] = [];
  const listener = {
    onFrame: ({ data, index }: { data: Uint8Array; index: number }) => {
      frames.push(data);
      indices.push(index);
    },
    onPicture: (jpeg: Uint8Array) => pictures.push(Uint8Array.from(jpeg)),
    onSegment: (segment: Segment) => segments.push(segment),
  };
  const wanted = { source: at("a.mp4"), fps: 10, ...size, fast: true, ...options };
  const failure = await capture(wanted, "run", listener, signal).then(
    () => undefined,
    (error: unknown) => error,
  );
  return { frames, indices, pictures, segments, failure };
}

test("a file waits for who takes its frames, and that is no silence", async () => {
  let [waiting, most, count] = [0, 0, 0];
  const onFrame = async () => {
    most = Math.max(most, ++waiting);
    // Longer than the silence that ends a connection.
    if (count++ === 3) await new Promise((resolve) => setTimeout(resolve, 1500));
    waiting--;
  };
  const options = { source: at("a.mp4"), fps: 10, ...size, fast: true, silence: 1 };
  await capture(options, "run", { onFrame }, new AbortController().signal);
  expect([count, most]).toEqual([60, 1]);
});

/** The mean of a region's bytes. */
const mean = (frame: Uint8Array, x: number, y: number, side: number) => {
  let sum = 0;
  for (let row = y; row < y + side; row++)
    for (let i = 3 * (row * size.width + x); i < 3 * (row * size.width + x + side); i++) sum += frame[i];
  return sum / (3 * side * side);
};

test("a file gives frames at the wanted rate and size, pictures, and segments that can be played", async () => {
  const { frames, indices, pictures, segments, failure } = await captured({ fps: 5, segments: at("100% sure") });
  expect(failure).toBeUndefined();
  expect(frames.length).toBeGreaterThanOrEqual(29);
  expect(frames.length).toBeLessThanOrEqual(31);
  expect(indices).toEqual(frames.map((_, i) => i));
  expect(frames.every(({ length }) => length === 160 * 120 * 3)).toBe(true);
  // Five pictures per second, never larger than the video.
  expect(pictures.length).toBeGreaterThanOrEqual(29);
  expect(await sharp(pictures[3]).metadata()).toMatchObject({ format: "jpeg", width: 320, height: 240 });
  // Whole seconds, from key frame to key frame, without a gap.
  expect(segments.map(({ start }) => Math.round(start))).toEqual([0, 2, 4]);
  expect(segments.map(({ end }) => Math.round(end))).toEqual([2, 4, 6]);
  const frameTimes = await Promise.all(
    segments.map(async ({ path }) => (await collect((await openInput(path)).frames())).map(({ time }) => time)),
  );
  expect(frameTimes.map(({ length }) => length)).toEqual([20, 20, 20]);
  // So that a clip of several plays at the right rate.
  const recorder = await Recorder.open(at("clip"), 0);
  const { connection } = recorder.connect();
  for (const segment of segments) recorder.add(segment);
  recorder.disconnect();
  expect(await recorder.clip("e", { connection, from: 0, to: 6 }, at("clip.mp4"))).toBe(true);
  const clip = await collect((await openInput(at("clip.mp4"))).frames());
  expect(clip.map(({ time }) => Math.round(10 * time!))).toEqual(clip.map((_, i) => i));
});

test("privacy regions are black in frames, pictures and segments", async () => {
  const privacy = [{ x: 0.25, y: 0.5, width: 0.5, height: 0.25 }];
  const { frames, pictures, segments } = await captured({ privacy, segments: at("private") });
  const recorded = await collect((await openInput(segments[0].path)).frames());
  expect(mean(frames[5], 50, 65, 20)).toBeLessThan(2);
  expect(mean(frames[5], 10, 10, 20)).toBeGreaterThan(20);
  const shown = await sharp(pictures[3]).removeAlpha().raw().toBuffer();
  expect(shown[3 * (150 * 320 + 160)]).toBeLessThan(8);
  expect(recorded[5].data[3 * (150 * 320 + 160)]).toBeLessThan(8);
});

test("a camera by RTSP gives frames; that it ends is an error", async () => {
  const camera = await startCamera(readFileSync(at("a.ts")));
  const { frames, failure } = await captured({ source: `rtsp://localhost:${camera.port}/live` });
  camera.close();
  expect(frames.length).toBeGreaterThanOrEqual(55);
  expect(String(failure)).toMatch(/rtsp:\/\/localhost:\d+\/live: the stream ended$/);
});

test("pictures that come by HTTP, one after the other, are a camera", async () => {
  const jpegs = await Promise.all(
    [0, 80, 160, 240].map((gray) =>
      sharp({ create: { width: 320, height: 240, channels: 3, background: { r: gray, g: gray, b: gray } } })
        .jpeg()
        .toBuffer(),
    ),
  );
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-type": "multipart/x-mixed-replace; boundary=b" });
    let sent = 0;
    const timer = setInterval(() => {
      const jpeg = jpegs[sent++ % 4];
      response.write(`--b\r\nContent-Type: image/jpeg\r\nContent-Length: ${jpeg.length}\r\n\r\n`);
      response.write(jpeg);
      response.write("\r\n");
      if (sent < 20) return;
      clearInterval(timer);
      response.end("--b--\r\n");
    }, 100);
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const source = `http://localhost:${(server.address() as AddressInfo).port}/video`;
  const { frames, segments, failure } = await captured({ source, segments: at("mjpeg") });
  expect(String(failure)).toMatch(/the stream ended$/);
  // Two seconds, or more if the machine is busy. ffmpeg's 25 per second would make 8 frames of it.
  expect(frames.length).toBeGreaterThan(14);
  const recorded = await collect((await openInput(segments[0].path)).frames());
  expect(recorded.length).toBeGreaterThan(5);
});

test("pictures may change their size; another codec begins a new connection", async () => {
  const make = (name: string, size: string, ...codec: string[]) => {
    const input = ["-f", "lavfi", "-i", `testsrc=size=${size}:rate=10`, "-frames:v", "30", "-pix_fmt", "yuv420p"];
    const output = ["-g", "10", "-output_ts_offset", name.startsWith("first") ? "0" : "3", at(name)];
    execFileSync(ffmpeg, ["-v", "error", ...input, ...codec, ...output]);
    return readFileSync(at(name));
  };
  const first = make("first.ts", "320x240", "-c:v", "libx264");
  writeFileSync(at("larger.ts"), Buffer.concat([first, make("second.ts", "640x480", "-c:v", "libx264")]));
  const larger = await captured({ source: at("larger.ts"), segments: at("larger") });
  expect(larger.failure).toBeUndefined();
  expect(larger.frames.length).toBeGreaterThanOrEqual(59);
  expect(larger.frames.every(({ length }) => length === 160 * 120 * 3)).toBe(true);
  // Of both sizes there is a clip that plays to its end.
  const recorder = await Recorder.open(at("sizes"), 0);
  const { connection } = recorder.connect();
  for (const segment of larger.segments) recorder.add(segment);
  recorder.disconnect();
  expect(await recorder.clip("e", { connection, from: 0, to: 6 }, at("sizes.mp4"))).toBe(true);
  const played = await openInput(at("sizes.mp4"));
  expect(await collect(played.frames())).toHaveLength(60);
  expect(played.warnings).toEqual([expect.stringContaining("change from 320×240 to 640×480 pixels at frame 30")]);
  writeFileSync(at("other.ts"), Buffer.concat([first, make("third.ts", "320x240", "-c:v", "mpeg2video")]));
  const other = await captured({ source: at("other.ts"), segments: at("other") });
  expect(other.frames.length).toBeGreaterThan(20);
  expect(String(other.failure)).toContain("other.ts: ");
});

test("a camera that falls silent is given up", async () => {
  const camera = createServer((_, response) => {
    response.writeHead(200, { "content-type": "video/mp2t" });
    response.write(readFileSync(at("a.ts")).subarray(0, 120_000));
  });
  servers.push(camera);
  await new Promise<void>((done) => camera.listen(0, "127.0.0.1", done));
  const source = `http://localhost:${(camera.address() as AddressInfo).port}/silent.ts`;
  const { frames, failure } = await captured({ source, silence: 0.5 });
  expect(frames.length).toBeGreaterThan(0);
  expect(String(failure)).toMatch(/silent\.ts: no picture came for 0\.5 s$/);
});

test("an address that is no video is named", async () => {
  const server = createServer((_, response) => response.end("<!DOCTYPE html>\n<title>no video</title>\n"));
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const source = `http://localhost:${(server.address() as AddressInfo).port}/page`;
  expect(String((await captured({ source })).failure)).toMatch(/\/page is no video that ffmpeg knows$/);
});

test("it ends when asked to, and says what is no video", async () => {
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error("enough")), 300);
  const { failure } = await captured({ fast: false }, stop.signal);
  expect(failure).toEqual(new Error("enough"));
  // Also while the source is being opened.
  const early = new AbortController();
  queueMicrotask(() => early.abort(new Error("at once")));
  expect(await captured({ fast: false }, early.signal)).toMatchObject({ frames: [], failure: new Error("at once") });
  const listener = { onFrame: () => {} };
  const options = { fps: 10, ...size };
  const { signal } = new AbortController();
  expect(await refusal(capture({ source: at("none.mp4"), ...options }, "r", listener, signal))).toMatch(/no such file/);
  expect(existsSync(at("none.mp4"))).toBe(false);
});

test.skipIf(process.platform !== "linux")("a device that is none is refused in a line", async () => {
  const refused = async (path: string) =>
    refusal(
      capture({ source: `device:${path}`, fps: 10, ...size }, "r", { onFrame: () => {} }, new AbortController().signal),
    );
  expect(await refused("/nowhere")).toMatch(/^\/nowhere cannot be read: no such file/);
  expect(await refused(at("a.mp4"))).toBe(`${at("a.mp4")} cannot be read: it is no device`);
  // A device, and no camera.
  expect(await refused("/dev/null")).toMatch(/^\/dev\/null: .*(ioctl|not a video capture device)/i);
  const { open, ends } = await liveInput("device:/dev/null");
  expect(ends).toBe(false);
  expect((await open()).args).toEqual(["-protocol_whitelist", "file", "-f", "v4l2", "-i", "/dev/null"]);
});
