// A short video in several containers, for sources that are not plain files.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { beforeAll, expect } from "vitest";
import type { FrameSource } from "../../src/data/frame.js";
import { findFfmpeg } from "../../src/node/media/ffmpeg.js";
import { openInput } from "../../src/node/media/open.js";
import { collect } from "./dataset.js";
import { scratch } from "./folders.js";

/**
 * Makes a video in each of these containers: ten frames a tenth of a second apart, 96×64. To be
 * called at the top of a file.
 * @param names a.ts, a.mp4, …
 * @returns paths in a folder, and the bytes of each file once the tests run
 */
export function useClips(...names: string[]) {
  const at = scratch();
  const bytes: Record<string, Buffer> = {};
  beforeAll(async () => {
    const ffmpeg = await findFfmpeg();
    const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", "10"];
    for (const name of names) {
      execFileSync(ffmpeg, ["-v", "error", "-y", ...input, "-c:v", "mpeg4", "-g", "5", at(name)]);
      bytes[name] = readFileSync(at(name));
    }
  });
  /** Checks that a source gives the first frames of a file, with their bytes and times. */
  const expectFrames = async (source: FrameSource, name: string, count = 10): Promise<void> => {
    const frames = await collect(source.frames());
    const wanted = await collect((await openInput(at(name))).frames());
    const tenths = Array.from({ length: count }, (_, i) => i / 10);
    expect(frames.map(({ time }) => Number(time?.toFixed(6)))).toEqual(tenths);
    for (const [i, { data }] of frames.entries()) expect(Buffer.compare(data, wanted[i].data)).toBe(0);
  };
  return { at, bytes, expectFrames };
}
