import { describe, expect, it } from "vitest";
import { denseOp } from "../../src/ops/dense.js";
import { patchesOp } from "../../src/ops/patches.js";
import { casesFor, evaluate, useGpu } from "../support/gpu.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";
import { patchEmbed, pixel } from "../support/reference.js";

describe("patches of kept tokens", () => {
  const gpu = useGpu();
  for (const { batch, rows, columns, patch, keep } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 4, keep: 1 },
      { batch: 3, rows: 2, columns: 5, patch: 8, keep: 5 },
      { batch: 2, rows: 3, columns: 2, patch: 16, keep: 3 },
    ],
    1,
  )) {
    it(`batch ${batch}, ${keep} of ${rows}×${columns} patches of ${patch}; as the input of a linear layer`, async () => {
      const random = new Random(rows * columns + patch);
      const [height, width, d] = [rows * patch, columns * patch, 16];
      const values = 9 * patch * patch;
      const images = Array.from({ length: batch + 3 }, () => randomImage(random, height, width, 4));
      const samples = Array.from({ length: batch }, (_, b) => ({ previous: b + 2, current: b, next: b + 1 }));
      const kept = samples.map(() => random.permutation(rows * columns).slice(0, keep));
      const weight = random.floats(d * values, -1 / Math.sqrt(values), 1 / Math.sqrt(values));
      const bias = random.floats(d);
      const got = await evaluate(gpu(), (bench) => {
        const inputs = {
          frames: bench.input([images.length, height, width], packImages(images)),
          samples: bench.input([batch, 8], packSamples(samples)),
          idsKeep: bench.input([batch, keep], Uint32Array.from(kept.flat())),
        };
        const patches = bench.graph.apply(patchesOp, inputs, { patch, dtype: "f32" })[0];
        const layer = { weight: bench.input([1, d, values], weight), bias: bench.input([1, d], bias) };
        return { patches, embedded: bench.graph.apply(denseOp, { x: patches, ...layer }, {})[0] };
      });
      const frames = ({ previous, current, next }: (typeof samples)[0]) =>
        [images[previous], images[current], images[next]] as const;
      const want = samples.flatMap((sample, b) =>
        kept[b].flatMap((token) =>
          Array.from({ length: values }, (_, i) => {
            const [channel, within] = [Math.floor(i / patch ** 2), i % patch ** 2];
            const y = Math.floor(token / columns) * patch + Math.floor(within / patch);
            const x = (token % columns) * patch + (within % patch);
            return (pixel(frames(sample)[Math.floor(channel / 3)], y, x, channel % 3) - 127.5) / 127.5;
          }),
        ),
      );
      expectClose(got.patches, want, 2e-7);
      const embedded = samples.flatMap((sample, b) => {
        const all = patchEmbed(frames(sample), weight, bias, patch);
        return kept[b].flatMap((token) => [...all.subarray(token * d, (token + 1) * d)]);
      });
      expectClose(got.embedded, embedded, 3e-6);
    });
  }

  it("refuses a patch that does not fit", () => {
    const spec = (...shape: number[]) => ({ shape, dtype: "u32" as const });
    const inputs = { frames: spec(3, 24, 32), samples: spec(1, 8), idsKeep: spec(1, 2) };
    const outputs = (patch: number) => patchesOp.outputs(inputs, { patch, dtype: "f32" });
    expect(() => outputs(16)).toThrow("size 24x32 is not a multiple of the patch, 16");
    expect(() => outputs(6)).toThrow("patch 6 is not a multiple of 4");
  });
});
