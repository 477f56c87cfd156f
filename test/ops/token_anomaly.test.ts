import { describe, it } from "vitest";
import { tokenAnomalyOp } from "../../src/ops/token_anomaly.js";
import { casesFor, evaluateOne, useGpu } from "../support/gpu.js";
import { packImages, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";

const gpu = useGpu();

describe("anomaly and motion of a token", () => {
  for (const { batch, rows, columns, patch } of casesFor(
    [
      { batch: 2, rows: 1, columns: 3, patch: 16 },
      { batch: 1, rows: 3, columns: 5, patch: 8 },
    ],
    1,
  )) {
    it(`batch ${batch}, ${rows}×${columns} patches of ${patch}`, async () => {
      const random = new Random(columns);
      const [height, width, tokens] = [rows * patch, columns * patch, rows * columns];
      const images = Array.from({ length: batch }, () => randomImage(random, height, width, 3));
      const prediction = random.floats(batch * (1 + tokens) * patch ** 2, -1.3, 1.3);
      const got = await evaluateOne(gpu(), (bench) => {
        const inputs = {
          prediction: bench.input([batch, 1 + tokens, patch ** 2], prediction),
          gradient: bench.input([batch, height, width], packImages(images)),
        };
        return bench.graph.apply(tokenAnomalyOp, inputs, { patch })[0];
      });
      const want: number[] = [];
      for (let b = 0; b < batch; b++) {
        for (let token = 0; token < tokens; token++) {
          const sums = [0, 0, 0, 0];
          for (let i = 0; i < patch ** 2; i++) {
            const y = Math.floor(token / columns) * patch + Math.floor(i / patch);
            const at = (y * width + (token % columns) * patch + (i % patch)) * 3;
            const channels = [...(images[b].data as Uint8Array).subarray(at, at + 3)];
            const motion = channels.reduce((a, v) => a + v, 0) / 3;
            const predicted = prediction[(b * (1 + tokens) + 1 + token) * patch ** 2 + i];
            const anomaly = Math.min(1, Math.max(0, predicted / 2 + 0.5));
            sums[0] += anomaly / patch ** 2;
            sums[1] += motion / patch ** 2;
            sums[2] += (anomaly * motion) / patch ** 2;
            sums[3] = Math.max(sums[3], ...channels);
          }
          want.push(...sums);
        }
      }
      expectClose(got, want, 1e-5);
    });
  }
});
