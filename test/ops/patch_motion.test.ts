import { describe, expect, it } from "vitest";
import { patchMotionOp } from "../../src/ops/patch_motion.js";
import { casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { packImages, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";
import { patchMaximum } from "../support/reference.js";

const gpu = useGpu();

describe("motion of a patch", () => {
  for (const { batch, rows, columns, patch } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 8 },
      { batch: 2, rows: 1, columns: 7, patch: 8 },
      { batch: 3, rows: 5, columns: 3, patch: 16 },
      { batch: 1, rows: 13, columns: 6, patch: 4 },
    ],
    2,
  )) {
    it(`batch ${batch}, ${rows}×${columns} patches of ${patch}`, async () => {
      const random = new Random(rows * columns);
      const images = Array.from({ length: batch }, () => {
        const image = randomImage(random, rows * patch, columns * patch, 3);
        // Dark except for some pixels, so that maxima differ from patch to patch.
        return { ...image, data: Array.from(image.data, (v) => (random.next() < 0.02 ? v : v >> 4)) };
      });
      const got = await evaluateOne(gpu(), (bench) => {
        const gradient = bench.input([batch, rows * patch, columns * patch], packImages(images));
        return bench.graph.apply(patchMotionOp, { gradient }, { patch })[0];
      });
      expectClose(
        got,
        images.flatMap((image) => [...patchMaximum(image, patch)]),
        1e-6,
      );
    });
  }

  it("keeps the order of all 256 levels, and equal ones equal", async () => {
    const image = { height: 8, width: 8 * 512, channels: 3, data: new Uint8Array(3 * 64 * 512) };
    for (let i = 0; i < 512; i++) image.data[((i % 8) * 8 * 512 + i * 8) * 3 + (i % 3)] = i % 256;
    const got = await evaluateOne(gpu(), (bench) => {
      const gradient = bench.input([1, 8, 8 * 512], packImages([image]));
      return bench.graph.apply(patchMotionOp, { gradient }, { patch: 8 })[0];
    });
    expect(got[0]).toBe(0);
    for (let level = 0; level < 256; level++) {
      expect(Math.abs(got[level] - level)).toBeLessThan(1e-4);
      expect(got[256 + level]).toBe(got[level]);
    }
  });

  it("refuses a size that the patch does not divide", () => {
    const gradient = { shape: [1, 24, 32], dtype: "u32" as const };
    expect(() => patchMotionOp.outputs({ gradient }, { patch: 16 })).toThrow(
      "size 24x32 is not a multiple of the patch, 16",
    );
  });
});
