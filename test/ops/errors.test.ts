import { describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.js";
import { anomalyMapOp, frameScoresOp, headErrorsOp, type Norm, tokenErrorsOp } from "../../src/ops/errors.js";
import { linearWeights } from "../../src/ops/linear.js";
import { asGpu, casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";
import { anomalyMap, frameScore, linear, meanDifference, normalizeTokens, targetTokens } from "../support/reference.js";

const gpu = useGpu();

/** Interleaves the two errors of each token. */
function pairs(student: ArrayLike<number>, target: ArrayLike<number>): number[] {
  return Array.from({ length: target.length }, (_, i) => [student[i] ?? 0, target[i]]).flat();
}

/** The rows of [B, 1 + L, width] without each sample's first. */
function withoutCls(rows: Float32Array, batch: number, width: number): Float32Array[] {
  const size = rows.length / batch;
  return Array.from({ length: batch }, (_, b) => rows.slice(b * size + width, (b + 1) * size));
}

describe("token errors from stored predictions", () => {
  for (const { batch, rows, columns, patch } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 8 },
      { batch: 3, rows: 1, columns: 5, patch: 16 },
      { batch: 2, rows: 3, columns: 11, patch: 8 },
      { batch: 1, rows: 5, columns: 5, patch: 16 },
    ],
    1,
  )) {
    for (const norm of ["L1", "L2"] as const) {
      for (const student of [true, false]) {
        for (const normalizeTarget of [false, true]) {
          const what = `${norm}${student ? ", student" : ""}${normalizeTarget ? ", normalised target" : ""}`;
          it(`batch ${batch}, ${rows}×${columns} patches of ${patch}, ${what}`, async () => {
            const random = new Random(rows * columns + batch);
            const values = patch * patch * 4;
            const tokens = rows * columns;
            const [height, width] = [rows * patch, columns * patch];
            const images = Array.from({ length: batch + 1 }, () => randomImage(random, height, width, 4));
            const taught = random.floats(batch * (1 + tokens) * values, -1.5, 1.5);
            const learned = random.floats(batch * (1 + tokens) * values, -1.5, 1.5);
            const got = await evaluateOne(gpu(), (bench) => {
              const shape = [batch, 1 + tokens, values];
              const inputs = [
                bench.input([batch + 1, height, width], packImages(images)),
                bench.input([batch, 8], packSamples(Array.from({ length: batch }, (_, b) => ({ target: b + 1 })))),
                bench.input(shape, taught),
                ...(student ? [bench.input(shape, learned)] : []),
              ];
              return bench.graph.apply(tokenErrorsOp, inputs, { patch, norm, normalizeTarget })[0];
            });
            const learnedRows = withoutCls(learned, batch, values);
            const want = withoutCls(taught, batch, values).flatMap((prediction, b) => {
              const target = targetTokens(images[b + 1], patch);
              const goal = normalizeTarget ? normalizeTokens(target, values) : target;
              return pairs(
                student ? meanDifference(prediction, learnedRows[b], values, norm) : [],
                meanDifference(goal, prediction, values, norm),
              );
            });
            expectClose(got, want, 2e-6);
          });
        }
      }
    }
  }
});

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
            const inputs = [
              bench.input([batch + 1, image.height, image.width], packImages(images)),
              bench.input([batch, 8], packSamples(Array.from({ length: batch }, (_, b) => ({ target: batch - b })))),
            ];
            const heads = withStudent ? [teacher, student] : [teacher];
            const { weight, bias } = linearWeights(bench.graph, "heads", heads, "f32", "inputs");
            inputs.push(weight, bias);
            for (const { features } of heads) inputs.push(bench.input([batch, 1 + tokens, width], features));
            return bench.graph.apply(headErrorsOp, inputs, { patch, norm })[0];
          });
          const predict = ({ weight, bias, features }: typeof teacher) =>
            withoutCls(features, batch, width).map((rows) => linear(rows, weight, bias));
          const learned = predict(student);
          const want = predict(teacher).flatMap((prediction, b) =>
            pairs(
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
      const inputs = [bench.input([1, 8, 40], packImages([image])), bench.input([1, 8], packSamples([{}]))];
      const heads = [
        { weight, bias },
        { weight, bias },
      ];
      const packed = linearWeights(bench.graph, "heads", heads, "f32", "inputs");
      inputs.push(packed.weight, packed.bias);
      for (const own of [features, moved]) inputs.push(bench.input([1, 1 + tokens, width], own));
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

describe("frame scores", () => {
  for (const { batch, tokens, keep } of casesFor(
    [
      { batch: 1, tokens: 1, keep: 0 },
      { batch: 3, tokens: 13, keep: 6 },
      { batch: 2, tokens: 33, keep: 32 },
      { batch: 1, tokens: 101, keep: 25 },
      { batch: 2, tokens: 800, keep: 400 },
    ],
    1,
  )) {
    for (const maskedOnly of [false, true]) {
      it(`batch ${batch}, ${tokens} tokens${maskedOnly ? `, without the ${keep} kept ones` : ""}`, async () => {
        const random = new Random(tokens);
        const errors = random.floats(batch * tokens * 2, 0, 2);
        const ids = Array.from({ length: batch }, () => random.permutation(tokens));
        const got = await evaluateOne(gpu(), (bench) => {
          const inputs = [bench.input([batch, tokens, 2], errors)];
          if (maskedOnly) inputs.push(bench.input([batch, tokens], Uint32Array.from(ids.flat())));
          return bench.graph.apply(frameScoresOp, inputs, { keep })[0];
        });
        const want = ids.flatMap((own, b) =>
          [0, 1].map((which) => {
            const column = own.map((_, token) => errors[(b * tokens + token) * 2 + which]);
            return maskedOnly ? frameScore(column, own, keep) : frameScore(column);
          }),
        );
        expectClose(got, want, 1e-6);
      });
    }
  }
});

describe("anomaly map", () => {
  for (const { batch, rows, columns, patch } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 8 },
      { batch: 2, rows: 1, columns: 7, patch: 16 },
      { batch: 3, rows: 5, columns: 3, patch: 8 },
    ],
    1,
  )) {
    it(`batch ${batch}, ${rows}×${columns} patches of ${patch}`, async () => {
      const random = new Random(columns);
      const tokens = rows * columns;
      const [height, width] = [rows * patch, columns * patch];
      const prediction = random.floats(batch * (1 + tokens) * patch ** 2, -1.3, 1.3);
      const got = await evaluateOne(gpu(), (bench) => {
        const input = bench.input([batch, 1 + tokens, patch ** 2], prediction);
        return bench.graph.apply(anomalyMapOp, [input], { patch, height, width })[0];
      });
      const want = withoutCls(prediction, batch, patch ** 2).flatMap((rows) => [
        ...anomalyMap(rows, height, width, patch),
      ]);
      expectClose(got, want, 1e-6);
    });
  }

  it("refuses a size that the patch does not divide", () => {
    const prediction = { shape: [1, 5, 64], dtype: "f32" as const };
    expect(() => anomalyMapOp.outputs([prediction], { patch: 8, height: 12, width: 16 })).toThrow(
      "size 12x16 is no multiple of 8",
    );
  });
});
