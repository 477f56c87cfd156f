import { describe, expect, it } from "vitest";
import { checkAnomalyMap } from "../../src/fixture/anomaly_map.js";
import { FixtureCase } from "../../src/fixture/case.js";
import { cleanMapOp } from "../../src/ops/clean_map.js";
import { fixture } from "../support/fixtures.js";
import { casesFor, evaluate, useGpu } from "../support/gpu.js";
import { packImages, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";

const gpu = useGpu();

describe("the cleaned-up map", () => {
  it("is the original's: the fixture", async () => {
    const original = new FixtureCase("anomaly-map.safetensors", fixture("anomaly-map.safetensors"));
    const comparisons = await checkAnomalyMap(gpu(), original);
    expect(comparisons.map((c) => c.name)).toEqual(["out.patch_scores", "out.patch_scores_no_morphology"]);
    for (const { error } of comparisons) expect(error).toBeLessThan(1e-5);
  });

  for (const { batch, rows, columns, patch, cls } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 8, cls: 0 },
      { batch: 2, rows: 2, columns: 3, patch: 8, cls: 1 },
      { batch: 1, rows: 3, columns: 2, patch: 16, cls: 1 },
    ],
    1,
  )) {
    it(`batch ${batch}, ${rows}×${columns} patches of ${patch}, gradient as bytes`, async () => {
      const random = new Random(rows + 10 * columns);
      const [height, width] = [rows * patch, columns * patch];
      const shape = [batch, cls + rows * columns, patch * patch * 4];
      const [teacher, student] = [0, 1].map(() =>
        random.floats(
          shape.reduce((a, b) => a * b),
          -1,
          1,
        ),
      ) as [Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>];
      const images = Array.from({ length: batch }, () => randomImage(random, height, width, 3));
      // Nothing moves in one column.
      for (let y = 0; y < height; y++) (images[0].data as Uint8Array).fill(9, (y * width + 2) * 3, (y * width + 3) * 3);
      const got = await evaluate(gpu(), (bench) => {
        const inputs = {
          teacher: bench.input(shape, teacher),
          student: bench.input(shape, student),
          gradient: bench.input([batch, height, width], packImages(images)),
        };
        const [cleaned] = bench.graph.apply(cleanMapOp, inputs, { patch, height, width });
        return { cleaned };
      });
      const want: number[] = [];
      for (let b = 0; b < batch; b++) {
        // A plane for the joint B, G, R and one for the anomaly channel, step by step.
        const planes = [new Float64Array(height * width), new Float64Array(height * width)] as const;
        for (let x = 0; x < width; x++) {
          const motion = Array.from({ length: height }, (_, y) => {
            const at = (y * width + x) * 3;
            const [blue, green, red] = (images[b].data as Uint8Array).subarray(at, at + 3);
            return (blue + green + red) / 3;
          });
          const [low, high] = [Math.min(...motion), Math.max(...motion)];
          for (let y = 0; y < height; y++) {
            const token = cls + Math.floor(y / patch) * columns + Math.floor(x / patch);
            const at = ((b * shape[1] + token) * patch * patch + (y % patch) * patch + (x % patch)) * 4;
            const weight = high > low ? (motion[y] - low) / (high - low) : 0;
            const moving = [0, 1, 2, 3].map((c) => (teacher[at + c] - student[at + c]) ** 2 * weight);
            planes[0][y * width + x] = Math.min(moving[0], moving[1], moving[2]);
            planes[1][y * width + x] = moving[3]!;
          }
        }
        const around = (plane: Float64Array, offsets: readonly number[], choose: (...v: number[]) => number) =>
          plane.map((_, i) => {
            const values = offsets.flatMap((dy) =>
              offsets.map((dx) => {
                const [y, x] = [Math.floor(i / width) + dy, (i % width) + dx];
                return y >= 0 && x >= 0 && y < height && x < width ? plane[y * width + x] : 0;
              }),
            );
            return choose(...values);
          });
        const [joint, anomaly] = planes.map((plane) => {
          const eroded = around(plane, [0, 1], Math.min);
          return around(around(eroded, [-1, 0, 1], Math.max), [-1, 0, 1], Math.max);
        }) as [Float64Array, Float64Array];
        for (let token = 0; token < rows * columns; token++) {
          let sum = 0;
          for (let i = 0; i < patch * patch; i++) {
            const y = Math.floor(token / columns) * patch + Math.floor(i / patch);
            const at = y * width + (token % columns) * patch + (i % patch);
            sum += (3 * joint[at] + anomaly[at]) / 4;
          }
          want.push(sum / patch ** 2);
        }
      }
      expectClose(got.cleaned, want, 1e-5);
    });
  }
});
