import { describe, it } from "vitest";
import { frameScoresOp } from "../../src/ops/frame_scores.js";
import { casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { expectClose, Random } from "../support/numbers.js";
import { frameScore } from "../support/reference.js";

const gpu = useGpu();

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
          const inputs = {
            errors: bench.input([batch, tokens, 2], errors),
            idsRestore: maskedOnly ? bench.input([batch, tokens], Uint32Array.from(ids.flat())) : undefined,
          };
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
