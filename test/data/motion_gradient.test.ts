import { expect, test } from "vitest";
import { parseSafetensors } from "../../src/checkpoint/safetensors.js";
import { type Frame, fromIterable } from "../../src/data/frame.js";
import { motionGradient, withNeighbours } from "../../src/data/motion_gradient.js";
import { fixture } from "../support/fixtures.js";

test("the gradient equals the original's fixture in every value", () => {
  const { tensors } = parseSafetensors(fixture("preprocess.safetensors"), "preprocess.safetensors");
  const images = tensors.get("gray.frames_prev_cur_next_m1_p1")?.data as Uint8Array;
  const want = tensors.get("gray.motion_gradient")?.data as Uint8Array;
  const pixels = 240 * 360;
  const frame = (position: number): Frame => {
    const data = images.slice(position * pixels, (position + 1) * pixels);
    return { data, width: 360, height: 240, index: position, number: position };
  };
  const got = motionGradient({ frame: frame(1), before: frame(3), after: frame(4) });
  expect(want.length).toBe(pixels);
  expect(Buffer.compare(got, want)).toBe(0);
});

test("neighbours are found by number; for a missing one the frame itself stands in", async () => {
  const numbers = [2, 3, 4, 6, 9, 10];
  const options = { width: 8, height: 8, format: "gray" } as const;
  const source = fromIterable(
    numbers.map((number) => ({ number, data: new Uint8Array(64).fill(number) })),
    options,
  );
  const seen: number[][] = [];
  for await (const { before, frame, after } of withNeighbours(source.frames())) {
    seen.push([before.number, frame.number, after.number]);
  }
  expect(seen).toEqual([
    [2, 2, 3],
    [2, 3, 4],
    [3, 4, 4],
    [6, 6, 6],
    [9, 9, 10],
    [9, 10, 10],
  ]);
  for await (const _ of withNeighbours(fromIterable([], options).frames())) expect.unreachable();
});
