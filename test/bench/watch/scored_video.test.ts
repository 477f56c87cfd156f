import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { idleEngine } from "../../../src/bench/watch/idle_engine.js";
import { scoreVideo } from "../../../src/bench/watch/scored_video.js";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { scratch } from "../../support/folders.js";

const at = scratch();

test("every frame of a video is decided about, then scored, in order and by the video's clock", async () => {
  const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", "300", "-pix_fmt", "yuv420p"];
  execFileSync(await findFfmpeg(), ["-v", "error", ...input, "-c:v", "libx264", at("video.mp4")]);
  writeFileSync(at("engine.mjs"), idleEngine);
  const [frames, scores]: [number[], number[]] = [[], []];
  let last = Number.NaN;
  const video = {
    ...{ path: at("video.mp4"), fps: 10, checkpoint: "none", detector: {}, engine: { program: at("engine.mjs") } },
    ...{ size: { width: 96, height: 64 }, onNotice: () => {} },
  };
  const decider = {
    ready: () => {},
    frame: (_data: Uint8Array, _size: object, number: number, time: { steady: number; wall: number }) => {
      frames.push(number);
      last = time.wall;
    },
    score: ({ number }: { number: number }) => {
      // Its frame came before.
      expect(frames).toContain(number);
      scores.push(number);
    },
  };
  await scoreVideo(video, 5000, decider, new AbortController().signal);
  const all = Array.from({ length: 300 }, (_, i) => i);
  expect(frames).toEqual(all);
  expect(scores).toEqual(all);
  expect(last).toBe(5000 + 29_900);
}, 120_000);
