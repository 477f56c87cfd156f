import { closeSync, openSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openInput } from "../../../src/node/media/open.js";
import { useClips } from "../../support/clips.js";
import { collect } from "../../support/dataset.js";
import { refusal } from "../../support/refusal.js";

const { at, expectFrames } = useClips("a.ts");

describe("from a pipe", () => {
  test("a container, once", async () => {
    const stdin = openSync(at("a.ts"), "r");
    const source = await openInput("-", { stdin });
    // ffmpeg has ended by then: kernels may be compiled before the first frame is read.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await expectFrames(source, "a.ts");
    expect(await refusal(collect(source.frames()))).toBe("standard input can be read only once");
    closeSync(stdin);
  });

  test("what is not a video, and a playlist", async () => {
    for (const text of ["hello\n".repeat(50), "#EXTM3U\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"]) {
      writeFileSync(at("text"), text);
      const stdin = openSync(at("text"), "r");
      expect(await refusal(openInput("-", { stdin }))).toMatch(/^standard input is (text, )?not a video/);
      closeSync(stdin);
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
