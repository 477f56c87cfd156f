import { describe, it } from "vitest";
import { tokenErrorsOp } from "../../src/ops/token_errors.js";
import { casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";
import { interleaved, meanDifference, normalizeTokens, targetTokens, withoutCls } from "../support/reference.js";

const gpu = useGpu();

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
              const samples = Array.from({ length: batch }, (_, b) => ({ target: b + 1 }));
              const inputs = {
                targets: bench.input([batch + 1, height, width], packImages(images)),
                samples: bench.input([batch, 8], packSamples(samples)),
                teacher: bench.input(shape, taught),
                student: student ? bench.input(shape, learned) : undefined,
              };
              return bench.graph.apply(tokenErrorsOp, inputs, { patch, norm, normalizeTarget })[0];
            });
            const learnedRows = withoutCls(learned, batch, values);
            const want = withoutCls(taught, batch, values).flatMap((prediction, b) => {
              const target = targetTokens(images[b + 1], patch);
              const goal = normalizeTarget ? normalizeTokens(target, values) : target;
              return interleaved(
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
