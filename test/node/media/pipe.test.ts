import { execFileSync } from "node:child_process";
import { openSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { isIndexLast } from "../../../src/node/media/movie_index.js";
import { openInput } from "../../../src/node/media/open.js";
import { useClips } from "../../support/clips.js";
import { collect } from "../../support/dataset.js";
import { refusal } from "../../support/refusal.js";

const { at, bytes, expectFrames } = useClips("a.ts", "a.mp4");

/** What openInput says of a file as the standard input. */
const refusalOf = (path: string): Promise<string> => refusal(openInput("-", { stdin: openSync(path, "r") }));

describe("from a pipe", () => {
  test("a container, once", async () => {
    const stdin = openSync(at("a.ts"), "r");
    const source = await openInput("-", { stdin });
    // ffmpeg has ended by then: kernels may be compiled before the first frame is read.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await expectFrames(source, "a.ts");
    expect(await refusal(collect(source.frames()))).toBe("standard input can be read only once");
  });

  test("closed before it was read", async () => {
    const source = await openInput("-", { stdin: openSync(at("a.ts"), "r") });
    await source.close?.();
    expect(await refusal(collect(source.frames()))).toBe("standard input can be read only once");
  });

  test("what is not a video, and a playlist", async () => {
    for (const text of ["hello\n".repeat(50), "#EXTM3U\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"]) {
      writeFileSync(at("text"), text);
      expect(await refusalOf(at("text"))).toMatch(/^standard input is (text, )?not a video/);
    }
  });

  test("an MP4 with its index at the end, from a pipe", async () => {
    // Long enough that ffmpeg cannot jump back in what it has read.
    expect(isIndexLast(bytes["a.mp4"])).toBe(true);
    const ffmpeg = await findFfmpeg();
    const mp4 = at("long.mp4");
    const input = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10", "-frames:v", "60"];
    const make = (...options: string[]) =>
      execFileSync(ffmpeg, ["-v", "error", "-y", ...input, "-c:v", "mpeg4", "-q:v", "2", ...options, mp4]);
    make();
    expect(await refusalOf(mp4)).toBe(
      "standard input: an MP4 with its index at the end cannot be read from a pipe: give the file, or write it with -movflags +faststart",
    );
    make("-movflags", "+faststart");
    const stdin = openSync(mp4, "r");
    expect(await collect((await openInput("-", { stdin })).frames())).toHaveLength(60);
  });

  test("bytes that ffmpeg cannot read, and what stands in a video's place", async () => {
    const cases: [string | Buffer, string | RegExp][] = [
      [Buffer.alloc(9000, "\x01\xfe\x80\x33"), /^standard input .*; raw frames need --raw-size$/],
      ["", /^standard input is empty$/],
      ["<!doctype html><title>Sign in</title>", /: a web page \("Sign in"\), not the file itself/],
      [`version https://git-lfs.github.com/spec/v1\noid sha256:${"a".repeat(64)}\nsize 99\n`, /: a Git LFS pointer/],
      ['{"message": "Not Found"}', /: a server's answer in JSON, not the file itself: "Not Found"/],
      ['{"frames": [1, 2]}', / is JSON, not a video$/],
    ];
    for (const [content, says] of cases) {
      const path = at("not.mp4");
      writeFileSync(path, content);
      expect(await refusalOf(path)).toMatch(says);
      if (typeof content === "string" && content !== "") expect(await refusal(openInput(path))).toMatch(says);
    }
  });

  test("raw frames of a pipe or a file, in any layout", async () => {
    const path = at("frames.raw");
    // Two frames of 8×9 pixels: R, G, B count up.
    writeFileSync(
      path,
      Uint8Array.from({ length: 2 * 9 * 8 * 3 }, (_, i) => i % 251),
    );
    const raw = { width: 8, height: 9, format: "rgb", fps: 4 } as const;
    const stdin = openSync(path, "r");
    for (const source of [await openInput("-", { stdin, raw }), await openInput(path, { raw })]) {
      const frames = await collect(source.frames());
      expect(frames.map(({ time }) => time)).toEqual([0, 0.25]);
      expect([...frames[0].data.subarray(0, 6)]).toEqual([2, 1, 0, 5, 4, 3]);
    }
    expect((await openInput(path, { raw })).frameCount).toBe(2);
    const cut = await openInput(path, { raw: { width: 8, height: 10 } });
    expect(await refusal(collect(cut.frames()))).toMatch(
      /frames\.raw ends within frame 1: a raw frame of 8×10 bgr pixels has 240 bytes/,
    );
  });
});
