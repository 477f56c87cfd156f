import { expect, test } from "vitest";
import { checkFrameSize, fromIterable, MAX_FRAME_SIDE, toBgr } from "../../src/data/frame.js";
import { InputError } from "../../src/errors.js";
import { collect } from "../support/dataset.js";
import { refusal } from "../support/refusal.js";

/** A frame of 8×8 BGR pixels whose bytes are all `value`. */
const plain = (value: number) => new Uint8Array(8 * 8 * 3).fill(value);

test("pixels of all layouts become B, G, R", () => {
  expect([...toBgr(new Uint8Array([1, 2, 3, 4, 5, 6]), "bgr")]).toEqual([1, 2, 3, 4, 5, 6]);
  expect([...toBgr(new Uint8Array([1, 2, 3, 4, 5, 6]), "rgb")]).toEqual([3, 2, 1, 6, 5, 4]);
  expect([...toBgr(new Uint8ClampedArray([1, 2, 3, 0, 4, 5, 6, 255]), "rgba")]).toEqual([3, 2, 1, 6, 5, 4]);
  expect([...toBgr(new Uint8Array([1, 2, 3, 0, 4, 5, 6, 255]), "bgra")]).toEqual([1, 2, 3, 4, 5, 6]);
  expect([...toBgr(new Uint8Array([7, 255]), "gray")]).toEqual([7, 7, 7, 255, 255, 255]);
  expect([...toBgr(new Uint16Array([0x00ff, 0xabcd, 0xffff]), "gray16")]).toEqual([
    0, 0, 0, 0xab, 0xab, 0xab, 255, 255, 255,
  ]);
  expect(() => toBgr(new Uint8Array(5), "rgb")).toThrow("5 values are not a whole number of rgb pixels");
});

test("sizes that no frame can have are refused", () => {
  expect(() => checkFrameSize("x.png", 1, 1)).toThrow("x.png is 1×1 pixels; a side needs at least 8");
  expect(() => checkFrameSize("x.png", MAX_FRAME_SIDE + 1, 8)).toThrow("a side may have at most 16384");
  expect(() => checkFrameSize("x.png", Number.NaN, 8)).toThrow(InputError);
  expect(() => checkFrameSize("x.png", 8, 8)).not.toThrow();
});

test("raw frames are numbered, timed and copied", async () => {
  const reused = plain(0);
  function* produce() {
    for (let i = 0; i < 3; i++) {
      reused.fill(i);
      yield reused;
    }
  }
  const source = fromIterable(produce, { width: 8, height: 8, fps: 4 });
  for (let pass = 0; pass < 2; pass++) {
    const frames = await collect(source.frames());
    expect(frames.map((f) => [f.index, f.number, f.time, f.data[191]])).toEqual([
      [0, 0, 0, 0],
      [1, 1, 0.25, 1],
      [2, 2, 0.5, 2],
    ]);
  }
});

test("frames of an async iterable may have their own numbers and times", async () => {
  async function* produce() {
    yield { data: plain(1), number: 5, time: 9 };
    yield { data: plain(2), width: 8, height: 8 };
  }
  const source = fromIterable(produce(), { width: 8, height: 8, name: "camera" });
  const frames = await collect(source.frames());
  expect(frames.map((f) => [f.number, f.time])).toEqual([
    [5, 9],
    [6, undefined],
  ]);
  await expect(collect(source.frames())).rejects.toThrow("camera: these frames were already read");
});

test.each([
  [[plain(0), plain(0).subarray(1)], "camera, frame 1 has 191 values, but 8×8 bgr pixels need 192"],
  [[{ data: plain(0), width: 9 }], "camera, frame 0 is 9×8 pixels, but the source is 8×8"],
  [[new Uint16Array(192)], "camera, frame 0: the data must be a Uint8Array for bgr pixels"],
  [
    [
      { data: plain(0), number: 3 },
      { data: plain(0), number: 3 },
    ],
    "camera, frame 1 has the number 3",
  ],
])("a raw frame that does not fit is an InputError", async (frames, message) => {
  const source = fromIterable(frames, { width: 8, height: 8, name: "camera" });
  expect(await refusal(collect(source.frames()))).toContain(message);
});

test("invalid options are InputErrors", () => {
  expect(() => fromIterable([], { width: 0, height: 8 })).toThrow(InputError);
  expect(() => fromIterable([], { width: 8, height: 8, fps: 0 })).toThrow("fps must be a positive number, not 0");
  expect(() => fromIterable([], { width: 8, height: 8, format: "yuv" as "rgb" })).toThrow('unknown pixel format "yuv"');
});

test("leaving early closes the producer", async () => {
  let closed = false;
  async function* produce() {
    try {
      while (true) yield plain(0);
    } finally {
      closed = true;
    }
  }
  for await (const frame of fromIterable(produce(), { width: 8, height: 8 }).frames()) {
    if (frame.index === 2) break;
  }
  expect(closed).toBe(true);
});

test("an abort ends the wait for a frame that never comes", async () => {
  const controller = new AbortController();
  async function* produce() {
    yield plain(0);
    await new Promise(() => {});
  }
  const reason = new Error("enough");
  const reading = collect(fromIterable(produce(), { width: 8, height: 8 }).frames(controller.signal));
  setTimeout(() => controller.abort(reason), 10);
  await expect(reading).rejects.toBe(reason);
  await expect(
    collect(fromIterable([plain(0)], { width: 8, height: 8 }).frames(AbortSignal.abort(reason))),
  ).rejects.toBe(reason);
});
