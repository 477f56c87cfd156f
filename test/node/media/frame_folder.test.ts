import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import sharp from "sharp";
import { expect, test } from "vitest";
import { listFrameFiles, openFrameFolder } from "../../../src/node/media/frame_folder.js";
import { openInput } from "../../../src/node/media/open.js";
import { collect } from "../../support/dataset.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();

/** Writes an image of one gray value under this name. */
async function image(name: string, value: number, width = 16, height = 8): Promise<void> {
  const data = Buffer.alloc(width * height * 3, value);
  const made = sharp(data, { raw: { width, height, channels: 3 } });
  await made.toFormat(name.endsWith("png") ? "png" : name.endsWith("jpg") ? "jpeg" : "tiff").toFile(at(name));
}

test("frames come in the order of the numbers in their names, and gaps stay", async () => {
  await image("cam2_10.png", 10);
  await image("cam2_9.jpg", 9);
  await image("7-late.tif", 7);
  await image("cam2_0012.png", 12);
  writeFileSync(at(".5.png"), "hidden");
  writeFileSync(at("notes 3.txt"), "no image");
  mkdirSync(at("4.png"));
  const source = await openInput(at());
  expect([source.width, source.height, source.frameCount]).toEqual([16, 8, 4]);
  for (const inFlight of [1, 4, 100]) {
    const again = await openFrameFolder(at(), { fps: 2, decodesInFlight: inFlight });
    const frames = await collect(again.frames());
    expect(frames.map((f) => [f.index, f.number, f.time, f.data[0]])).toEqual([
      [0, 7, 0, 7],
      [1, 9, 0.5, 9],
      [2, 10, 1, 10],
      [3, 12, 1.5, 12],
    ]);
    expect(frames[0].data.length).toBe(16 * 8 * 3);
  }
});

test("names without a number come last, sorted by name, with the numbers that follow", async () => {
  for (const name of ["b.png", "a.png", "3.png"]) await image(name, 0);
  expect((await listFrameFiles(at())).map((f) => [f.name, f.number])).toEqual([
    ["3.png", 3],
    ["a.png", 4],
    ["b.png", 5],
  ]);
});

test("names that are not UTF-8 are listed in one line", async () => {
  await image("1.png", 0);
  const named = (...bytes: number[]) => Buffer.concat([Buffer.from(`${at()}/`), Uint8Array.from(bytes)]);
  try {
    writeFileSync(named(0xbc, 0xe0, ...Buffer.from("2.png")), "");
  } catch {
    return; // A file system that takes UTF-8 only.
  }
  // A file whose name has the replacement character itself can be opened.
  await image("\uFFFD4.png", 0);
  expect(await refusal(openInput(at()))).toBe(
    `${at()}/\uFFFD\uFFFD2.png: this name is not UTF-8, so the file cannot be opened: rename it, for example with convmv`,
  );
  writeFileSync(named(0xbf, ...Buffer.from("3.jpg")), "");
  expect(await refusal(openInput(at()))).toMatch(
    /: 2 names are not UTF-8 \(\uFFFD\S+, \uFFFD\S+\), so these files cannot be opened: rename them, for example/,
  );
});

test("two images of one number are refused", async () => {
  await image("001.png", 0);
  await image("1.jpg", 0);
  expect(await refusal(openInput(at()))).toMatch(/: 001\.png and 1\.jpg both have the frame number 1$/);
});

test("a folder that is empty, has no images, has only folders, or does not exist is refused", async () => {
  expect(await refusal(openInput(at()))).toBe(`${at()} holds no image (png, jpg, jpeg, tif, tiff, bmp, webp)`);
  writeFileSync(at("readme.txt"), "");
  expect(await refusal(openInput(at()))).toContain("holds no image");
  mkdirSync(at("01"));
  expect(await refusal(openInput(at()))).toContain(", but 1 folder: name the one with the frames");
  expect(await refusal(openInput(at("none")))).toContain("no such file or folder");
});

test("a folder in which hardly any frame has a neighbour has a warning, unless the step is known", async () => {
  for (const number of [0, 8, 17, 25]) await image(`${number}.png`, number);
  const source = await openInput(at());
  expect(source.warnings).toEqual([
    `${at()}: no frame has a neighbour, because the numbers in the names have gaps (0, 8, …): motion cannot be seen. ` +
      "If the frames follow each other all the same, use --order name; if the numbers of neighbours are N apart, use --step N",
  ]);
  for (const options of [{ order: "name" }, { step: 8 }] as const) {
    expect((await openInput(at(), options)).warnings).toEqual([]);
  }
});

test("names that are times give frames their times, and the folder its duration", async () => {
  for (const second of [50, 65])
    await image(`2024-05-01_10-0${Math.floor(second / 60)}-${String(second % 60).padStart(2, "0")}.png`, second);
  const source = await openInput(at());
  expect(source.duration).toBe(15);
  const frames = await collect(source.frames());
  expect(frames.map((f) => [f.number, f.time, f.data[0]])).toEqual([
    [0, 0, 50],
    [1, 15, 65],
  ]);
});

test("a single image is not a video", async () => {
  await image("1.png", 0);
  expect(await refusal(openInput(at("1.png")))).toContain("is a single image; name a folder of frames or a video");
});

test("an image of 1×1 is refused", async () => {
  cpSync(fixturePath("images/one-pixel.png"), at("1.png"));
  expect(await refusal(openInput(at()))).toContain("1.png is 1×1 pixels; a side needs at least 8");
});

test("images of two sizes are refused", async () => {
  await image("1.png", 0);
  await image("2.png", 0, 8, 16);
  const source = await openInput(at());
  expect(await refusal(collect(source.frames()))).toMatch(/2\.png is 8×16 pixels, but 1\.png is 16×8/);
});

test("an image that cannot be decoded ends the video at its place", async () => {
  for (let i = 0; i < 9; i++) await image(`${i}.png`, i);
  writeFileSync(at("5.png"), "not an image");
  const source = await openInput(at());
  const seen: number[] = [];
  const reading = (async () => {
    for await (const frame of source.frames()) seen.push(frame.number);
  })();
  expect(await refusal(reading)).toContain("5.png is not a PNG, JPEG, TIFF, BMP or WebP image");
  expect(seen).toEqual([0, 1, 2, 3, 4]);
});

test("a loop can be left early, and a signal ends it", async () => {
  for (let i = 0; i < 9; i++) await image(`${i}.png`, i);
  const source = await openInput(at());
  for await (const frame of source.frames()) if (frame.index === 1) break;
  const controller = new AbortController();
  const reason = new Error("enough");
  const seen: number[] = [];
  const reading = (async () => {
    for await (const frame of source.frames(controller.signal)) {
      seen.push(frame.index);
      if (frame.index === 2) controller.abort(reason);
    }
  })();
  await expect(reading).rejects.toBe(reason);
  expect(seen).toEqual([0, 1, 2]);
});
