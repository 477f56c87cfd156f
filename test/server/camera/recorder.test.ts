import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { openInput } from "../../../src/node/media/open.js";
import { normalClips } from "../../../src/server/camera/normal_video.js";
import { Recorder } from "../../../src/server/camera/recorder.js";
import { collect } from "../../support/dataset.js";
import { scratch } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratch();
let ffmpeg = "";
beforeAll(async () => {
  ffmpeg = await findFfmpeg();
});

/** Segments of two seconds at 10 frames per second, as ffmpeg cuts them. */
function record(
  folder: string,
  count: number,
  codec: readonly string[],
): { path: string; start: number; end: number }[] {
  const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", String(20 * count), "-g", "10"];
  const cut = [
    "-f",
    "segment",
    "-segment_time",
    "2",
    "-segment_format",
    "matroska",
    "-reset_timestamps",
    "1",
    "-avoid_negative_ts",
    "disabled",
    `${folder.replaceAll("%", "%%")}/1-%06d.mkv`,
  ];
  execFileSync(ffmpeg, ["-v", "error", "-y", ...input, "-pix_fmt", "yuv420p", ...codec, ...cut]);
  const names = readdirSync(folder).filter((name) => name.endsWith(".mkv"));
  return names.sort().map((name, i) => ({ path: `${folder}/${name}`, start: 2 * i, end: 2 * (i + 1) }));
}

test("a clip is made of the segments that it touches, once they are there", async () => {
  const recorder = await Recorder.open(at("it's 100%"), 5);
  const { connection } = recorder.connect();
  const segments = record(recorder.folder, 6, ["-c:v", "libx264"]);
  for (const segment of segments.slice(0, 4)) recorder.add(segment);
  recorder.hold("e1", connection, 5);
  let done = false;
  const clip = recorder.clip("e1", { connection, from: 3, to: 9 }, at("e1.mp4")).then((made) => {
    done = true;
    return made;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  // Second 9 is in a segment that is not complete.
  expect(done).toBe(false);
  for (const segment of segments.slice(4)) recorder.add(segment);
  expect(await clip).toBe(true);
  // From 2 s to 10 s, at the rate of the recording.
  const times = (await collect((await openInput(at("e1.mp4"))).frames())).map(({ time }) => time);
  expect(times).toHaveLength(80);
  expect(times.at(-1)).toBeCloseTo(7.9, 1);
  expect(readdirSync(at()).filter((name) => name.includes(".tmp"))).toEqual([]);
});

test("a clip of a second connection waits for that connection's segments", async () => {
  const recorder = await Recorder.open(at("again"), 5);
  recorder.connect();
  const [first, second] = record(recorder.folder, 2, ["-c:v", "libx264"]);
  recorder.add({ ...first, end: 100 });
  recorder.disconnect();
  const { connection } = recorder.connect();
  const clip = recorder.clip("e", { connection, from: 0, to: 9 }, at("again.mp4"));
  recorder.add({ ...second, start: 0, end: 2 });
  recorder.disconnect();
  expect(await clip).toBe(true);
  expect(await collect((await openInput(at("again.mp4"))).frames())).toHaveLength(20);
});

test("what browsers do not play is encoded", async () => {
  const recorder = await Recorder.open(at("mjpeg"), 5);
  const { connection } = recorder.connect();
  for (const segment of record(recorder.folder, 2, ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"])) recorder.add(segment);
  recorder.disconnect();
  expect(await recorder.clip("e", { connection, from: 0, to: 100 }, at("mjpeg.mp4"))).toBe(true);
  const said = (() => {
    try {
      return execFileSync(ffmpeg, ["-i", at("mjpeg.mp4")], { encoding: "utf8", stdio: "pipe" });
    } catch (error) {
      return String((error as { stderr: string }).stderr);
    }
  })();
  expect(said).toContain("Video: h264");
});

test("old segments are deleted, but not those that an event needs", async () => {
  const recorder = await Recorder.open(at("long"), 5);
  const { connection } = recorder.connect();
  const made = Array.from({ length: 60 }, (_, i) => {
    const path = at("long", `${i}.mkv`);
    return { path, start: 2 * i, end: 2 * (i + 1) };
  });
  recorder.hold("e", connection, 20);
  for (const segment of made) {
    writeFileSync(segment.path, "");
    recorder.add(segment);
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  const left = () => readdirSync(at("long")).filter((name) => name.endsWith(".mkv")).length;
  // From second 15 on, of 120.
  expect(left()).toBe(53);
  await expect(recorder.clip("e", { connection, from: 15, to: 25 }, at("none", "e.mp4"))).rejects.toThrow();
  await new Promise((resolve) => setTimeout(resolve, 100));
  // The last 25 seconds, and nothing else.
  expect(left()).toBe(13);
  expect(readdirSync(at("long"))).toHaveLength(13);
});

test("a clip of what was not recorded is none, and damaged segments leave no file", async () => {
  mkdirSync(at("old"));
  writeFileSync(at("old", "0-of-an-earlier-process.mkv"), "");
  const recorder = await Recorder.open(at("old"), 5);
  expect(readdirSync(at("old"))).toEqual([]);
  const { connection } = recorder.connect();
  recorder.disconnect();
  expect(await recorder.clip("e", { connection, from: 0, to: 5 }, at("no.mp4"))).toBe(false);
  writeFileSync(at("old", "1.mkv"), "damaged");
  recorder.add({ path: at("old", "1.mkv"), start: 0, end: 2 });
  expect(await refusal(recorder.clip("e", { connection, from: 0, to: 1 }, at("no.mp4")))).toMatch(
    /no\.mp4 cannot be made: /,
  );
  expect(existsSync(at("no.mp4"))).toBe(false);
});

test("a Matroska file takes any codec as it is, and what nothing holds is deleted", async () => {
  const recorder = await Recorder.open(at("copied"), 5);
  const { connection } = recorder.connect();
  const segments = record(recorder.folder, 3, ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]);
  recorder.hold("normal", connection, 0);
  for (const segment of segments) recorder.add(segment);
  expect(await recorder.clip("normal", { connection, from: 1, to: 3 }, at("copied.mkv"))).toBe(true);
  const clips = await normalClips(at(), () => {});
  const clip = clips.find(({ name }) => name === "copied.mkv")!;
  expect(clip.seconds).toBeCloseTo(4, 0);
  expect(readFileSync(at("copied.mkv")).includes("V_MJPEG")).toBe(true);
  recorder.hold("normal", connection, 0);
  recorder.add({ path: at("copied", "late.mkv"), start: 100, end: 102 });
  expect(existsSync(segments[0].path)).toBe(true);
  recorder.release("normal");
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(existsSync(segments[0].path)).toBe(false);
});

test("a connection that was cut off leaves no segment that nobody knows", async () => {
  const recorder = await Recorder.open(at("cut"), 5);
  const { prefix } = recorder.connect();
  const [whole, cut] = ["0", "1"].map((n) => `${recorder.folder}/${prefix}-00000${n}.mkv`);
  for (const path of [whole, cut]) writeFileSync(path, "");
  recorder.add({ path: whole, start: 0, end: 2 });
  recorder.disconnect();
  await expect.poll(() => existsSync(cut)).toBe(false);
  expect(existsSync(whole)).toBe(true);
});

test("the recording of an event that gets no clip is not kept", async () => {
  const recorder = await Recorder.open(at("released"), 5);
  const { connection, prefix } = recorder.connect();
  const paths = Array.from({ length: 40 }, (_, i) => `${recorder.folder}/${prefix}-${i}.mkv`);
  for (const path of paths) writeFileSync(path, "");
  recorder.hold("e1", connection, 8);
  for (const [i, path] of paths.entries()) recorder.add({ path, start: 2 * i, end: 2 * (i + 1) });
  await expect.poll(() => existsSync(paths[0])).toBe(false);
  expect(existsSync(paths[2])).toBe(true);
  const marker = at("released", "e1.event");
  await expect.poll(() => existsSync(marker)).toBe(true);
  recorder.release("e1");
  await expect.poll(() => existsSync(paths[2])).toBe(false);
  await expect.poll(() => existsSync(marker)).toBe(false);
});
