import { expect, it } from "vitest";
import { type Augmentation, augmentationWords, augmentOp, packAugmentations } from "../../src/ops/augment.js";
import { evaluate, useGpu } from "../support/gpu.js";
import { packImages, randomImage } from "../support/images.js";
import { Random } from "../support/numbers.js";

const gpu = useGpu();
const [height, width, pixels] = [11, 70, 770];

async function run(augmentations: (Augmentation | undefined)[], value?: number) {
  const random = new Random(3);
  const b = augmentations.length;
  const image = () => {
    const one = randomImage(random, height, width, 3);
    return value === undefined ? one : { ...one, data: new Uint8Array(one.data.length).fill(value) };
  };
  const images = Array.from({ length: 3 * b }, image);
  const clean = packImages(Array.from({ length: b }, (_, i) => images[3 * i + 1]));
  // Every third pixel is abnormal.
  const masked = clean.map((word, i) => (i % 3 === 0 ? word | 0xff000000 : word));
  const { augmented, changed } = await evaluate(gpu(), (bench) => {
    const inputs = {
      frames: bench.input([3 * b, height, width], packImages(images)),
      targets: bench.input([b, height, width], masked),
      augmentations: bench.input([b, augmentationWords], packAugmentations(augmentations)),
    };
    const [augmented, changed] = bench.graph.apply(augmentOp, inputs, {});
    return { augmented, changed };
  });
  const bytes = (words: Float32Array | Uint32Array) => new Uint8Array(Uint32Array.from(words).buffer);
  return { images, frames: bytes(augmented), targets: bytes(changed), masked: bytes(masked) };
}

it("moves, scales and clamps each frame by its own numbers, and the target like the current one", async () => {
  const frames = [
    { gain: 1.5, bias: -20, x: 2, y: 0 },
    { gain: 0.5, bias: 90, x: -3, y: 4 },
    { gain: 1, bias: 0, x: 0, y: -1 },
  ] as const;
  const { images, frames: got, targets, masked } = await run([undefined, { frames, noise: 0, seed: 9 }]);
  const clamp = (v: number, end: number) => Math.min(end - 1, Math.max(0, v));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const here = y * width + x;
      for (let c = 0; c < 3; c++) {
        for (let t = 0; t < 3; t++) {
          expect(got[4 * (t * pixels + here) + c]).toBe(images[t].data[3 * here + c]);
          const { gain, bias, x: dx, y: dy } = frames[t];
          const from = clamp(y + dy, height) * width + clamp(x + dx, width);
          const want = Math.min(255, Math.max(0, Math.floor(images[3 + t].data[3 * from + c] * gain + bias + 0.5)));
          // A product that ends in exactly .5 may round either way.
          expect(Math.abs(got[4 * ((3 + t) * pixels + here) + c] - want)).toBeLessThanOrEqual(1);
          if (t === 1) {
            expect(Math.abs(targets[4 * (pixels + here) + c] - want)).toBeLessThanOrEqual(1);
            expect(targets[4 * (pixels + here) + 3]).toBe(masked[4 * (pixels + from) + 3]);
          }
        }
        expect(targets[4 * here + c]).toBe(masked[4 * here + c]);
      }
    }
  }
});

it("adds gray noise of the wanted deviation, other noise to each frame and seed, and none to the target", async () => {
  const still = { gain: 1, bias: 0, x: 0, y: 0 };
  const noisy = (seed: number): Augmentation => ({ frames: [still, still, still], noise: 12, seed });
  const { frames, targets } = await run([noisy(1), noisy(2), noisy(1)], 128);
  const image = (i: number) => Array.from({ length: pixels }, (_, p) => frames[4 * (i * pixels + p)] - 128);
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const product = (a: number[], b: number[]) => mean(a.map((v, i) => v * b[i])) / 144;
  const all = Array.from({ length: 9 }, (_, i) => image(i));
  for (const one of all) {
    // Five standard deviations of 770 values.
    expect(Math.abs(mean(one))).toBeLessThan((5 * 12) / Math.sqrt(pixels));
    expect(Math.abs(product(one, one) - 1)).toBeLessThan(0.25);
  }
  expect(all[6]).toEqual(all[0]);
  for (const [a, b] of [
    [0, 1],
    [1, 2],
    [0, 3],
    [1, 4],
  ])
    expect(Math.abs(product(all[a], all[b])), `${a} and ${b}`).toBeLessThan(5 / Math.sqrt(pixels));
  for (let i = 0; i < pixels; i++) {
    expect(frames[4 * i]).toBe(frames[4 * i + 2]);
    expect(targets[4 * i]).toBe(128);
  }
});
