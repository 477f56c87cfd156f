import { expect, it } from "vitest";
import { growMasks } from "../../src/ops/grow_mask.js";
import { casesFor, evaluate, useGpu } from "../support/gpu.js";
import { Random } from "../support/numbers.js";

const gpu = useGpu();

it.each(
  casesFor(
    [
      [1, 20, 70, 2],
      [2, 33, 15, 4],
      [2, 8, 64, 9],
    ] as const,
    1,
  ),
)("masks %i×[%i, %i] grow by %i pixels; colours stay", async (b, height, width, radius) => {
  const random = new Random(radius);
  const words = Uint32Array.from({ length: b * height * width }, () => {
    const color = random.integer(2 ** 24);
    return (random.next() < 0.01 ? 0xff000000 : 0) + color;
  });
  const { y } = await evaluate(gpu(), (bench) => ({
    y: growMasks(bench.graph, bench.input([b, height, width], words), radius),
  }));
  const wanted = words.map((word, i) => {
    const [row, x] = [Math.floor(i / width), i % width];
    const [sample, line] = [Math.floor(row / height), row % height];
    let mask = 0;
    for (let v = Math.max(0, line - radius); v <= Math.min(height - 1, line + radius); v++) {
      for (let u = Math.max(0, x - radius); u <= Math.min(width - 1, x + radius); u++) {
        mask = Math.max(mask, words[(sample * height + v) * width + u] >>> 24);
      }
    }
    return (word & 0xffffff) + mask * 2 ** 24;
  });
  expect(y).toEqual(wanted);
});

it("by nothing stays", async () => {
  const words = Uint32Array.of(0xff000001, 2, 3, 4);
  const { y } = await evaluate(gpu(), (bench) => {
    const grown = growMasks(bench.graph, bench.input([1, 2, 2], words), 0);
    return { y: growMasks(bench.graph, grown, 1) };
  });
  expect(y).toEqual(Uint32Array.of(0xff000001, 0xff000002, 0xff000003, 0xff000004));
});
