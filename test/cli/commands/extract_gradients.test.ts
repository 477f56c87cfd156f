import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, it, vi } from "vitest";
import { extractGradientsCommand } from "../../../src/cli/commands/extract_gradients.js";
import { readImage } from "../../../src/node/media/images.js";
import { videoFile } from "../../support/cli.js";
import { frames, image } from "../../support/dataset.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();

/** Runs the command, which must work; returns what it prints. */
async function extract(...args: string[]): Promise<string> {
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    await extractGradientsCommand().exitOverride().parseAsync(args, { from: "user" });
    return log.mock.calls.join("\n");
  } finally {
    log.mockRestore();
  }
}

/** The first pixel (B, G, R) of each PNG in a folder, by name. */
async function firstPixels(folder: string): Promise<Record<string, number[]>> {
  const found: Record<string, number[]> = {};
  for (const name of readdirSync(folder).sort())
    found[name] = [...(await readImage(join(folder, name))).data.subarray(0, 3)];
  return found;
}

const gray = (value: number) => [value, value, value];

describe("extract-gradients", () => {
  it("writes |frame before − frame after| beside the frames, named by the frames' numbers", async () => {
    // The grey value of a frame of b is its number, of a frame of a its number squared.
    for (const n of [1, 2, 3, 4]) await image(at("set/train/frames/a", `frame_0${n}.jpg.png`), n * n);
    await frames(at("set/test/frames/b"), [9, 10, 12, 13, 14]);
    expect(await extract(at("set"), "--quiet")).toBe("");
    expect(await firstPixels(at("set/train/gradients2/a"))).toEqual({
      "01.png": gray(3),
      "02.png": gray(8),
      "03.png": gray(12),
      "04.png": gray(7),
    });
    // Frame 11 is missing: 10 and 12 replace it.
    expect(await firstPixels(at("set/test/gradients2/b"))).toEqual({
      "009.png": gray(1),
      "010.png": gray(1),
      "012.png": gray(1),
      "013.png": gray(2),
      "014.png": gray(1),
    });
    expect(await sharp(at("set/test/gradients2/b/009.png")).metadata()).toMatchObject({
      format: "png",
      channels: 3,
      depth: "uchar",
      width: 16,
      height: 8,
    });
  });

  it("computes B, G and R separately", async () => {
    const colour = (r: number, g: number, b: number) => Buffer.from(Array(64).fill([r, g, b]).flat());
    const raw = { width: 8, height: 8, channels: 3 } as const;
    const folder = at("set/test/v");
    await image(join(folder, "1.png"), 0, { width: 8, height: 8 });
    await sharp(colour(200, 100, 50), { raw }).toFile(join(folder, "0.png"));
    await sharp(colour(10, 130, 55), { raw }).toFile(join(folder, "2.png"));
    await extract(at("set"), "--quiet", "--out", at("out"));
    const { data } = await sharp(at("out/test/gradients2/v/1.png")).raw().toBuffer({ resolveWithObject: true });
    expect([...data.subarray(0, 6)]).toEqual([190, 30, 5, 190, 30, 5]);
    expect(existsSync(at("set/test/gradients2"))).toBe(false);
  });

  it("continues a stopped run: keeps whole files, writes the others", async () => {
    await frames(at("set/train/frames/a"), [0, 1, 2, 3]);
    await frames(at("set/test/frames/b"), [0, 1]);
    expect(await extract(at("set"))).toMatch(/^6 motion gradients written in [\d.]+ s$/);
    const path = (n: number) => at("set/train/gradients2/a", `00${n}.png`);
    const before = readFileSync(path(1));
    const times = [0, 1, 2, 3].map((n) => statSync(path(n)).mtimeMs);
    truncateSync(path(1), 60);
    await image(path(2), 0, { width: 8, height: 8 });
    writeFileSync(path(3), "");
    expect(await extract(at("set"))).toMatch(/^3 motion gradients written in [\d.]+ s, 3 were there already$/);
    expect(readFileSync(path(1)).equals(before)).toBe(true);
    expect(statSync(path(0)).mtimeMs).toBe(times[0]);
    expect(Object.values(await firstPixels(at("set/train/gradients2/a")))).toEqual([1, 2, 2, 1].map(gray));
    expect(await extract(at("set"))).toMatch(/^0 motion gradients written in [\d.]+ s, 6 were there already$/);
    expect(await extract(at("set"), "--force", "--split", "test")).toMatch(/^2 motion gradients written in [\d.]+ s$/);
  });

  it("writes into the folder of UCSD's clips, and does not read its own folder as a clip", async () => {
    await frames(at("UCSDped1/Test/Test001"), [1, 2], "tif");
    expect(await extract(at("UCSDped1"))).toMatch(/^2 /);
    expect(Object.keys(await firstPixels(at("UCSDped1/Test/gradients2/Test001")))).toEqual(["001.png", "002.png"]);
    expect(await extract(at("UCSDped1"))).toMatch(/^0 .* 2 were there already$/);
  });

  it("reads video files, and counts their frames from 0", async () => {
    await frames(at("set/train/a"), [0]);
    await videoFile(at("set/train/v.avi"), 3, "-c:v", "ffv1");
    expect(await extract(at("set"))).toMatch(/^4 /);
    expect(readdirSync(at("set/train/gradients2/v"))).toEqual(["0000.png", "0001.png", "0002.png"]);
    expect(await extract(at("set"))).toMatch(/^0 .* 4 were there already$/);
  });

  it("refuses a bad image, a folder that cannot be made and an unknown split, without half-written files", async () => {
    await frames(at("set/train/a"), [0, 1, 2, 3, 4, 5, 6, 7]);
    truncateSync(at("set/train/a/006.png"), 60);
    expect(await refusal(extract(at("set"), "--quiet"))).toContain("006.png cannot be decoded as PNG");
    expect(readdirSync(at("set/train/gradients2/a"))).toEqual([0, 1, 2, 3, 4].map((n) => `00${n}.png`));
    writeFileSync(at("file"), "");
    expect(await refusal(extract(at("set"), "--quiet", "--out", at("file")))).toMatch(
      /file\/train\/gradients2\/a cannot be made \(not a folder\); choose another folder with --out$/,
    );
    expect(await refusal(extract(at("set"), "--split", "test"))).toContain("set has no video in test");
    const quiet = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    await expect(extract(at("set"), "--split", "validation")).rejects.toThrow("Give train, test, or train,test.");
    quiet.mockRestore();
  });

  it("stops after Ctrl-C, and leaves only whole files", async () => {
    await frames(
      at("set/train/a"),
      Array.from({ length: 40 }, (_, i) => i),
    );
    const running = extract(at("set"), "--quiet");
    const ended = running.catch((error: unknown) => error);
    const folder = at("set/train/gradients2/a");
    while (!existsSync(folder) || readdirSync(folder).length < 3)
      await new Promise((resolve) => setTimeout(resolve, 1));
    process.emit("SIGINT");
    expect(await ended).toMatchObject({ name: "Interrupted" });
    const names = readdirSync(folder);
    expect(names.length).toBeLessThan(40);
    for (const name of names) expect((await readImage(join(folder, name))).width).toBe(16);
    expect(await extract(at("set"))).toMatch(
      new RegExp(`^${40 - names.length} .* ${names.length} were there already$`),
    );
  });
});
