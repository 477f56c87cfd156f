import { describe, expect, it } from "vitest";
import { headErrorsOp } from "../../src/ops/head_errors.js";
import { headErrorsKey, headErrorsVariants } from "../../src/ops/variants.js";
import { asGpu, casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { activationInput, roundedTo } from "../support/half.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { needsMatrixUnits } from "../support/matrix_units.js";
import { expectClose, Random } from "../support/numbers.js";
import { interleaved, linear, meanDifference, targetTokens, withoutCls } from "../support/reference.js";
import { choosing } from "../support/variants.js";

/**
 * The kernels for matrix units, on the units of the tests' adapter. lavapipe of Mesa 26 or newer
 * has units of 8x8x8.
 */
const gpu = useGpu();

describe("heads and errors on matrix units", () => {
  // In float16 and in float32. Rows that do not fill a tile; several samples in a tile; one step of
  // the features and many, of 16 and of 32.
  for (const { batch, rows, columns, patch, width, norm, withStudent, variant } of casesFor(
    [
      {
        batch: 3,
        rows: 1,
        columns: 5,
        patch: 4,
        width: 16,
        norm: "L2",
        withStudent: true,
        variant: "matrix 32x32 by 8",
      },
      {
        batch: 2,
        rows: 3,
        columns: 11,
        patch: 8,
        width: 64,
        norm: "L1",
        withStudent: true,
        variant: "matrix 64x64 by 16",
      },
      {
        batch: 1,
        rows: 3,
        columns: 3,
        patch: 12,
        width: 48,
        norm: "L2",
        withStudent: false,
        variant: "matrix 32x64 by 16",
      },
      {
        batch: 2,
        rows: 5,
        columns: 14,
        patch: 16,
        width: 96,
        norm: "L2",
        withStudent: true,
        variant: "matrix 64x128 by 32",
      },
      {
        batch: 1,
        rows: 5,
        columns: 7,
        patch: 8,
        width: 32,
        norm: "L1",
        withStudent: false,
        variant: "matrix 64x128 by 32",
      },
      {
        batch: 3,
        rows: 1,
        columns: 5,
        patch: 4,
        width: 16,
        norm: "L2",
        withStudent: true,
        variant: "split 32x32 by 8",
      },
      {
        batch: 2,
        rows: 3,
        columns: 11,
        patch: 8,
        width: 48,
        norm: "L1",
        withStudent: true,
        variant: "split 64x64 by 16",
      },
      {
        batch: 2,
        rows: 5,
        columns: 14,
        patch: 16,
        width: 96,
        norm: "L2",
        withStudent: true,
        variant: "split 64x128 by 32",
      },
      {
        batch: 1,
        rows: 3,
        columns: 3,
        patch: 12,
        width: 32,
        norm: "L1",
        withStudent: false,
        variant: "split 32x64 by 16",
      },
    ] as const,
    9,
  )) {
    const what = `${norm}${withStudent ? ", student" : ""}`;
    const name = `${variant}: batch ${batch}, ${rows}×${columns} patches of ${patch} from ${width}, ${what}`;
    it(name, { timeout: 240_000 }, async (test) => {
      needsMatrixUnits(gpu(), test);
      const random = new Random(rows * columns + width);
      const values = patch * patch * 4;
      const tokens = rows * columns;
      const kind = variant.split(" ")[0];
      const dtype = kind === "matrix" ? "f16" : "f32";
      const rounded = (values: Float32Array<ArrayBuffer>) => roundedTo(dtype, values);
      const shape = { dtype, batch, tokens, width, patch } as const;
      expect([...headErrorsVariants(asGpu(gpu()), shape).keys()]).toContain(variant);
      const target = choosing(asGpu(gpu()), headErrorsKey(shape), variant);
      const image = { height: rows * patch, width: columns * patch };
      const images = Array.from({ length: batch + 1 }, () => randomImage(random, image.height, image.width, 4));
      const head = () => ({
        weight: rounded(random.floats(values * width, -1 / Math.sqrt(width), 1 / Math.sqrt(width))),
        bias: random.floats(values, -0.3, 0.3),
        features: rounded(random.floats(batch * (1 + tokens) * width, -2, 2)),
      });
      const heads = withStudent ? [head(), head()] : [head()];
      const got = await evaluateOne(gpu(), (bench) => {
        const input = (of: readonly number[], floats: Float32Array<ArrayBuffer>) =>
          activationInput(bench, dtype, of, floats);
        // Weights lie by inputs: [heads, width, values].
        const weights = heads.flatMap(({ weight }) =>
          Array.from(weight, (_, i) => weight[(i % values) * width + Math.floor(i / values)]),
        );
        const samples = Array.from({ length: batch }, (_, b) => ({ target: batch - b }));
        const [teacher, student] = heads.map(({ features }) => input([batch, 1 + tokens, width], features));
        const inputs = {
          targets: bench.input([batch + 1, image.height, image.width], packImages(images)),
          samples: bench.input([batch, 8], packSamples(samples)),
          weight: input([heads.length, width, values], Float32Array.from(weights)),
          bias: bench.input([heads.length, values], Float32Array.from(heads.flatMap(({ bias }) => [...bias]))),
          teacher,
          student,
        };
        const op = {
          ...headErrorsOp,
          kernels: (call: Parameters<typeof headErrorsOp.kernels>[0]) => {
            const kernels = headErrorsOp.kernels(call, target);
            expect(kernels.at(-2)?.label).toBe(`head errors (${kind})`);
            return kernels;
          },
        };
        return bench.graph.apply(op, inputs, { patch, norm })[0];
      });
      const [taught, learned] = heads.map(({ weight, bias, features }) =>
        withoutCls(features, batch, width).map((own) => linear(own, weight, bias)),
      ) as [Float64Array[], Float64Array[]?];
      const want = taught.flatMap((prediction, b) =>
        interleaved(
          learned ? meanDifference(prediction, learned[b], values, norm) : [],
          meanDifference(targetTokens(images[batch - b], patch), prediction, values, norm),
        ),
      );
      expectClose(got, want, 3e-6);
    });
  }
});
