import { describe, it } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.js";
import { headErrorsOp } from "../../src/ops/head_errors.js";
import { linearWeights } from "../../src/ops/linear.js";
import type { Norm } from "../../src/ops/token_errors.js";
import { asGpu, casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";
import { interleaved, linear, meanDifference, targetTokens, withoutCls } from "../support/reference.js";

const gpu = useGpu();

describe.each([
  ["the adapter's kernels", (gpu: Gpu) => gpu],
  ["a GPU's kernels", asGpu],
] as const)("heads and errors in one pass, by %s", (_, taken) => {
  for (const { batch, rows, columns, patch, width } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 8, width: 16 },
      { batch: 3, rows: 1, columns: 5, patch: 8, width: 32 },
      { batch: 2, rows: 3, columns: 11, patch: 8, width: 64 },
      { batch: 1, rows: 3, columns: 3, patch: 16, width: 128 },
      { batch: 2, rows: 1, columns: 13, patch: 16, width: 16 },
      { batch: 1, rows: 2, columns: 2, patch: 16, width: 20 },
      { batch: 2, rows: 5, columns: 14, patch: 8, width: 32 },
    ],
    1,
  )) {
    for (const norm of ["L1", "L2"] as const satisfies Norm[]) {
      for (const withStudent of [true, false]) {
        const what = `${norm}${withStudent ? ", student" : ""}`;
        it(`batch ${batch}, ${rows}×${columns} patches of ${patch} from ${width}, ${what}`, async () => {
          const random = new Random(rows * columns + width);
          const values = patch * patch * 4;
          const tokens = rows * columns;
          const image = { height: rows * patch, width: columns * patch };
          const images = Array.from({ length: batch + 1 }, () => randomImage(random, image.height, image.width, 4));
          const head = () => ({
            weight: random.floats(values * width, -1 / Math.sqrt(width), 1 / Math.sqrt(width)),
            bias: random.floats(values, -0.3, 0.3),
            features: random.floats(batch * (1 + tokens) * width, -2, 2),
          });
          const [teacher, student] = [head(), head()];
          const got = await evaluateOne(taken(gpu()), (bench) => {
            const samples = Array.from({ length: batch }, (_, b) => ({ target: batch - b }));
            const heads = withStudent ? [teacher, student] : [teacher];
            const features = [batch, 1 + tokens, width];
            const inputs = {
              targets: bench.input([batch + 1, image.height, image.width], packImages(images)),
              samples: bench.input([batch, 8], packSamples(samples)),
              ...linearWeights(bench.graph, "heads", heads, "f32", "inputs"),
              teacher: bench.input(features, teacher.features),
              student: withStudent ? bench.input(features, student.features) : undefined,
            };
            return bench.graph.apply(headErrorsOp, inputs, { patch, norm })[0];
          });
          const predict = ({ weight, bias, features }: typeof teacher) =>
            withoutCls(features, batch, width).map((rows) => linear(rows, weight, bias));
          const learned = predict(student);
          const want = predict(teacher).flatMap((prediction, b) =>
            interleaved(
              withStudent ? meanDifference(prediction, learned[b], values, norm) : [],
              meanDifference(targetTokens(images[batch - b], patch), prediction, values, norm),
            ),
          );
          expectClose(got, want, 3e-6);
        });
      }
    }
  }

  it("sees a student that is nearly the teacher: no cancellation in their small difference", async () => {
    const random = new Random(11);
    const [patch, width, values, tokens] = [8, 32, 256, 5];
    const weight = random.floats(values * width, -0.2, 0.2);
    const bias = random.floats(values);
    const features = random.floats((1 + tokens) * width, -2, 2);
    const moved = features.map((v) => v + 1e-3 * (random.next() - 0.5));
    const image = randomImage(random, 8, 40, 4);
    const got = await evaluateOne(taken(gpu()), (bench) => {
      const heads = [
        { weight, bias },
        { weight, bias },
      ];
      const inputs = {
        targets: bench.input([1, 8, 40], packImages([image])),
        samples: bench.input([1, 8], packSamples([{}])),
        ...linearWeights(bench.graph, "heads", heads, "f32", "inputs"),
        teacher: bench.input([1, 1 + tokens, width], features),
        student: bench.input([1, 1 + tokens, width], moved),
      };
      return bench.graph.apply(headErrorsOp, inputs, { patch, norm: "L2" })[0];
    });
    const predict = (rows: Float32Array) => linear(rows.subarray(width), weight, bias);
    const want = meanDifference(predict(features), predict(moved), values, "L2");
    expectClose(
      want.map((_, i) => got[2 * i]),
      want,
      1e-3,
    );
  });
});
