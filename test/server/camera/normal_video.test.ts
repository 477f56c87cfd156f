import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import {
  clipFrames,
  isKept,
  keptName,
  keptTime,
  type NormalClip,
  normalClips,
} from "../../../src/server/camera/normal_video.js";
import { collect } from "../../support/dataset.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();

test("pieces are told from what people marked by their names, which hold their time", () => {
  const name = keptName(Date.UTC(2026, 10, 30, 14, 29, 41, 7));
  expect(name).toBe("kept-20261130T142941.mkv");
  expect(keptTime(name)).toBe(Date.UTC(2026, 10, 30, 14, 29, 41));
  expect(["20261130T142941008-front-c6a1fa.mp4", `${name}.1-abc.tmp`, `x${name}`].filter(isKept)).toEqual([]);
});

test("frames have the rate and size at which the camera is scored, with what is private black", async () => {
  const white = ["-f", "lavfi", "-i", "color=white:size=96x64:rate=25", "-t", "4"];
  execFileSync(await findFfmpeg(), ["-v", "error", ...white, "-c:v", "libx264", "-pix_fmt", "yuv420p", at("a.mkv")]);
  mkdirSync(at("folder.mp4"));
  writeFileSync(at("b.mp4"), "no video");
  writeFileSync(at("c.txt"), "");
  const faults: string[] = [];
  const clips = await normalClips(at(), (line) => faults.push(line));
  expect(clips.map(({ name }) => name)).toEqual(["a.mkv"]);
  expect(clips[0].seconds).toBeCloseTo(4, 1);
  expect(faults).toEqual([
    expect.stringMatching(/b\.mp4 is left out: it is no video that can be read$/),
    expect.stringMatching(/folder\.mp4 is left out/),
  ]);
  const privacy = [{ x: 0.5, y: 0, width: 0.5, height: 1 }];
  const source = clipFrames(clips[0], { fps: 5, size: { width: 48, height: 32 }, privacy });
  const frames = await collect(source.frames());
  expect(frames).toHaveLength(20);
  expect(frames[3]).toMatchObject({ width: 48, height: 32, number: 3, time: 0.6 });
  const { data } = frames[10];
  expect(data).toHaveLength(48 * 32 * 3);
  const pixel = (x: number) => data[3 * (16 * 48 + x)];
  expect(pixel(5)).toBeGreaterThan(200);
  expect(pixel(40)).toBeLessThan(30);
});

test("a folder that is not there has no video, and one that is cut off or stopped says so", async () => {
  expect(await normalClips(at("none"), () => {})).toEqual([]);
  const clip: NormalClip = { name: "x.mp4", path: at("x.mp4"), seconds: 1 };
  const how = { fps: 5, size: { width: 48, height: 32 }, privacy: [] };
  writeFileSync(clip.path, "no video");
  expect(await refusal(collect(clipFrames(clip, how).frames()))).toMatch(/x\.mp4: /);
  const stop = AbortSignal.abort(new Error("enough"));
  await expect(collect(clipFrames(clip, how).frames(stop))).rejects.toThrow("enough");
});
