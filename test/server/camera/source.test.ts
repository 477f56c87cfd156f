import { execFileSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import sharp from "sharp";
import { beforeAll, expect, test } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { openInput } from "../../../src/node/media/open.js";
import { type FrameTime, machineClock } from "../../../src/server/camera/frame_time.js";
import { CameraSource, type Reading } from "../../../src/server/camera/source.js";
import { capture, type Segment } from "../../../src/server/capture.js";
import { collect } from "../../support/dataset.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();
const never = new AbortController().signal;
let ffmpeg = "";
beforeAll(async () => {
  ffmpeg = await findFfmpeg();
});

const settled = { followed: 0.1, last: 0.3 };
const size = { width: 48, height: 32 };

function folder(fps = 10) {
  mkdirSync(at("in"));
  const warnings: string[] = [];
  let onLook = () => {};
  const source = new CameraSource({
    ...{ source: at("in"), fps, clock: machineClock, warn: (line: string) => warnings.push(line) },
    folder: { interval: 0.05, settled: { video: settled, image: settled }, onLook: () => onLook() },
  });
  /** Waits for a connection; files are written once the folder has been looked at. */
  const next = async (write: () => void | Promise<void>): Promise<Reading> => {
    const looked = new Promise<void>((resolve) => {
      onLook = resolve;
    });
    const reading = source.next(never);
    await looked;
    await write();
    return reading;
  };
  return { source, warnings, next };
}

/** All that a connection gives. */
async function captured(
  { source, times }: Reading,
  signal = never,
  frames: { blue: number; time: FrameTime; isGap: boolean }[] = [],
) {
  const segments: Segment[] = [];
  const listener = {
    onFrame: ({ data, index }: { data: Uint8Array; index: number }) => {
      const isGap = times.isGap?.(index) ?? false;
      frames.push({ blue: data[3 * (16 * 48 + 24)], time: times.of(index), isGap });
    },
    onSegment: (segment: Segment) => segments.push(segment),
  };
  const failure = await capture({ source, fps: 10, ...size, segments: at("segments") }, "run", listener, signal).then(
    () => undefined,
    (error: unknown) => String(error),
  );
  return { frames, segments, failure };
}

/** A video of two seconds, whose last frame was written at this second. */
function recording(name: string, second: number, ...codec: string[]) {
  const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", "20", "-pix_fmt", "yuv420p"];
  execFileSync(ffmpeg, ["-v", "error", ...input, "-g", "10", ...codec, at(name)]);
  utimesSync(at(name), second, second);
  renameSync(at(name), at("in", name));
}

async function image(name: string, blue: number, second: number, more: { width?: number; height?: number } = {}) {
  const background = { r: 0, g: 0, b: blue };
  const picture = sharp({ create: { width: 320, height: 240, channels: 3, background, ...more } });
  writeFileSync(at(name), await picture.toFormat(name.endsWith("png") ? "png" : "jpeg").toBuffer());
  utimesSync(at(name), second, second);
  renameSync(at(name), at("in", name));
}

test("recordings of a folder are read one after the other, each with the times of its recording", async () => {
  const { source, warnings, next } = folder();
  recording("before.mp4", 1_600_000_000);
  const first = await next(() => {
    recording("a.mp4", 1_700_000_000);
    recording("b.mkv", 1_700_000_003);
    // Not long before: it was copied later, or the clock was set back.
    recording("c.avi", 1_700_000_003.5);
  });
  expect(first.kind).toBe("recording");
  const recordings = [first, await source.next(never), await source.next(never)];
  const read = [];
  for (const one of recordings) read.push(await captured(one));
  expect(read.map(({ failure }) => failure)).toEqual([undefined, undefined, undefined]);
  for (const { frames } of read) expect(Math.abs(frames.length - 20)).toBeLessThanOrEqual(1);
  const walls = read.map(({ frames }) => frames.map(({ time }) => time.wall));
  // It was written when its last frame was over.
  expect(walls[0][0]).toBe(1_699_999_998_000);
  expect(walls[0][10]).toBe(1_699_999_999_000);
  expect(walls[1][0]).toBe(1_700_000_001_000);
  const steady = read.flatMap(({ frames }) => frames.map(({ time }) => time.steady));
  expect(steady.slice(1).every((time, i) => time >= steady[i])).toBe(true);
  // Three seconds passed between the two, however fast they are read.
  expect(read[1].frames[0].time.steady - read[0].frames[0].time.steady).toBeCloseTo(3, 3);
  // The packets of the file are what clips are made of.
  expect(await collect((await openInput(read[0].segments[0].path)).frames())).toHaveLength(20);
  expect(warnings).toEqual([]);
});

test("a recording that is damaged is an error of its own, and cannot have other files read", async () => {
  const { source, next } = folder();
  recording("real.mp4", 1_600_000_000);
  const first = await next(() => {
    writeFileSync(at("in", "damaged.mp4"), "damaged");
    writeFileSync(at("in", "list.ts"), `ffconcat version 1.0\nfile real.mp4\n`);
    const playlist = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:2,", `file://${at("in", "real.mp4")}`];
    writeFileSync(at("in", "playlist.mp4"), `${[...playlist, "#EXT-X-ENDLIST"].join("\n")}\n`);
  });
  for (const reading of [first, await source.next(never), await source.next(never)]) {
    const { frames, failure } = await captured(reading);
    expect(frames).toEqual([]);
    expect(failure).toMatch(/in\/(damaged\.mp4|list\.ts|playlist\.mp4): .+/);
  }
});

test("images of a folder are frames at their own times, at the wanted rate, and are recorded", async () => {
  const { source, warnings, next } = folder();
  await image("before.jpg", 0, 1_600_000_000);
  const begin = 1_700_000_000;
  const reading = await next(async () => {
    // Twenty per second; half of them are frames.
    for (let i = 0; i < 41; i++) await image(`${i}.jpg`, 4 * i, begin + i / 20);
    writeFileSync(at("in", "damaged.jpg"), "damaged");
    utimesSync(at("in", "damaged.jpg"), begin + 2.01, begin + 2.01);
    // Five seconds later, of another size and format.
    await image("later.png", 200, begin + 7, { width: 100, height: 80 });
    await image("last.png", 250, begin + 7.1);
  });
  expect(reading.kind).toBe("images");
  const seen: Awaited<ReturnType<typeof captured>>["frames"] = [];
  const reads = captured(reading, never, seen);
  // ffmpeg gives a frame once it has the next one.
  while (seen.length < 22) await sleep(20);
  // A video ends the run of images.
  recording("now.mp4", begin + 20);
  const { frames, segments, failure } = await reads;
  expect(failure).toBeUndefined();
  expect(frames.slice(0, 23).map(({ time }) => time.wall - 1000 * begin)).toEqual([
    ...Array.from({ length: 21 }, (_, i) => 100 * i),
    ...[7000, 7100],
  ]);
  for (const [i, { blue }] of frames.slice(0, 21).entries()) expect(Math.abs(blue - 8 * i)).toBeLessThan(6);
  expect(Math.abs(frames[21].blue - 200)).toBeLessThan(3);
  expect(frames.map(({ isGap }) => isGap).indexOf(true)).toBe(21);
  expect(frames.filter(({ isGap }) => isGap)).toHaveLength(1);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/damaged\.jpg is not a PNG, JPEG/);
  const recorded = await Promise.all(segments.map(async ({ path }) => collect((await openInput(path)).frames())));
  expect(recorded.flat().length).toBeGreaterThanOrEqual(23);
  expect(recorded[0][0]).toMatchObject({ width: 320, height: 240 });
  expect((await source.next(never)).kind).toBe("recording");
}, 60_000);

test("images that come more slowly than frames are wanted are said to", async () => {
  const { warnings, next } = folder(10);
  const reading = await next(async () => {
    for (let i = 0; i < 22; i++) await image(`${i}.jpg`, i, 1_700_000_000 + i / 2);
  });
  const stop = new AbortController();
  const seen: Awaited<ReturnType<typeof captured>>["frames"] = [];
  const reads = captured(reading, stop.signal, seen);
  while (seen.length < 21) await sleep(20);
  stop.abort(new Error("enough"));
  await reads;
  expect(warnings).toEqual([`${at("in")}: a new image comes every 0.5 s; set fps to 2 (it is 10)`]);
}, 60_000);

test("a folder that is away is an error, and no end; a file is no folder", async () => {
  const { source, next } = folder();
  recording("before.mp4", 1_600_000_000);
  await next(() => recording("a.mp4", 1_700_000_000));
  renameSync(at("in"), at("away"));
  expect(await refusal(source.next(never))).toBe(`${at("in")} cannot be read: no such file or folder`);
  renameSync(at("away"), at("in"));
  await next(() => recording("b.mp4", 1_700_000_009));
  rmSync(at("in"), { recursive: true });
  writeFileSync(at("file"), "x");
  expect(statSync(at("file")).isFile()).toBe(true);
  const file = new CameraSource({ source: at("file"), fps: 10, clock: machineClock, warn: () => {} });
  expect(await file.next(never)).toMatchObject({ source: at("file"), kind: "stream" });
});
