import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { VideoWriter } from "../../../src/node/media/video_writer.js";
import { scratch } from "../../support/folders.js";

const at = scratch();
const format = { width: 32, height: 16, fps: 10 };
const grey = (value: number) => new Uint8Array(32 * 16 * 3).fill(value);
const { SDMAE_FFMPEG } = process.env;
afterEach(() => {
  if (SDMAE_FFMPEG === undefined) delete process.env.SDMAE_FFMPEG;
  else process.env.SDMAE_FFMPEG = SDMAE_FFMPEG;
});

/** A program in place of ffmpeg. */
function fake(script: string): void {
  const path = at("fake.sh");
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  process.env.SDMAE_FFMPEG = path;
}

describe("a written video", () => {
  it("has the frames, and appears at the end", async () => {
    const path = at("video.mp4");
    const writer = await VideoWriter.create(path, format);
    for (const value of [20, 120, 220]) await writer.write(grey(value));
    expect(readdirSync(at())).not.toContain("video.mp4");
    await writer.commit();
    expect(readdirSync(at())).toEqual(["video.mp4"]);
    const decoded = execFileSync(await findFfmpeg(), [
      "-v",
      "error",
      "-i",
      path,
      "-f",
      "rawvideo",
      "-pix_fmt",
      "gray",
      "pipe:1",
    ]);
    expect(decoded).toHaveLength(3 * 32 * 16);
    for (const [i, value] of [20, 120, 220].entries()) {
      expect(Math.abs(decoded[i * 32 * 16 + 200] - value)).toBeLessThan(6);
    }
  });

  it("leaves nothing if it is given up, and an older one as it is", async () => {
    writeFileSync(at("old.mp4"), "old");
    const writer = await VideoWriter.create(at("old.mp4"), format);
    await writer.write(grey(0));
    await writer.discard();
    await writer.discard();
    expect(readFileSync(at("old.mp4"), "utf8")).toBe("old");
    expect(readdirSync(at()).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it.skipIf(process.platform === "win32")("says in one line why ffmpeg failed", async () => {
    fake("echo '[error] Unknown encoder' >&2; exit 1");
    const writer = await VideoWriter.create(at("failed.mp4"), format);
    const many = async () => {
      for (let i = 0; i < 1000; i++) await writer.write(grey(i % 256));
      await writer.commit();
    };
    await expect(many()).rejects.toThrow(/failed\.mp4: cannot be written \(Unknown encoder\)$/);
    await writer.discard();
    expect(readdirSync(at()).filter((name) => name.startsWith("failed"))).toEqual([]);
  });
});
