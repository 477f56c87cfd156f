import { describe, expect, it } from "vitest";
import { differentiate } from "../../src/graph/autodiff.js";
import type { Tensor } from "../../src/graph/graph.js";
import { addTo } from "../../src/ops/add.js";
import { tokenErrorsOp } from "../../src/ops/token_errors.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { Bench, casesFor, evaluate, useGpu } from "../support/gpu.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";
import { meanDifference, normalizeTokens, targetTokens } from "../support/reference.js";

const gpu = useGpu();

describe("gradient of token errors", () => {
  for (const { batch, rows, columns, patch, student, normalizeTarget } of casesFor(
    [
      { batch: 1, rows: 1, columns: 1, patch: 8, student: false, normalizeTarget: false },
      { batch: 2, rows: 1, columns: 2, patch: 4, student: true, normalizeTarget: false },
      { batch: 1, rows: 2, columns: 1, patch: 8, student: false, normalizeTarget: true },
      { batch: 2, rows: 2, columns: 3, patch: 4, student: true, normalizeTarget: true },
    ],
    1,
  )) {
    const what = `${student ? ", student" : ""}${normalizeTarget ? ", normalised target" : ""}`;
    it(`batch ${batch}, ${rows}×${columns} patches of ${patch}${what}, against finite differences`, async () => {
      const random = new Random(rows * columns + batch);
      const values = patch * patch * 4;
      const tokens = rows * columns;
      const [height, width] = [rows * patch, columns * patch];
      const images = Array.from({ length: batch + 1 }, () => randomImage(random, height, width, 4));
      const shape = [batch, 1 + tokens, values];
      const count = batch * (1 + tokens) * values;
      const predictions = [random.floats(count, -1.5, 1.5), random.floats(count, -1.5, 1.5)].slice(0, student ? 2 : 1);
      const dErrors = random.floats(batch * tokens * 2);
      const got = await evaluate(gpu(), (bench) => {
        const tensors = predictions.map((p) => bench.input(shape, p));
        const inputs = {
          targets: bench.input([batch + 1, height, width], packImages(images)),
          samples: bench.input([batch, 8], packSamples(Array.from({ length: batch }, (_, b) => ({ target: b + 1 })))),
          teacher: tensors[0],
          student: tensors.at(1),
        };
        const attrs = { patch, norm: "L2" as const, normalizeTarget };
        const errors = bench.graph.apply(tokenErrorsOp, inputs, attrs)[0];
        const seed = bench.input([batch, tokens, 2], dErrors);
        const [d0, d1] = differentiate(bench.graph, errors, seed, tensors, addTo) as [Tensor, Tensor?];
        return { d0, ...(d1 && { d1 }) };
      });
      const goals = Array.from({ length: batch }, (_, b) => {
        const target = targetTokens(images[b + 1], patch);
        return normalizeTarget ? normalizeTokens(target, values) : target;
      });
      const reference = (...[teacher, learner]: Float64Array[]) =>
        goals.flatMap((goal, b) => {
          const own = (p: Float64Array) => p.subarray((b * (1 + tokens) + 1) * values, (b + 1) * (1 + tokens) * values);
          const target = meanDifference(goal, own(teacher), values, "L2");
          const apart = learner ? meanDifference(own(teacher), own(learner), values, "L2") : target.map(() => 0);
          return Array.from(target, (error, i) => [apart[i], error]).flat();
        });
      for (const which of predictions.keys()) {
        const want = finiteDifferences(reference, predictions, which, dErrors);
        expectClose(got[`d${which}`], want, 1e-6);
        for (let b = 0; b < batch; b++) {
          const cls = got[`d${which}`].subarray(b * (1 + tokens) * values, (b * (1 + tokens) + 1) * values);
          expect(cls.every((v) => v === 0)).toBe(true);
        }
      }
    });
  }

  it("works on the student alone if the teacher is frozen", () => {
    const { graph } = new Bench(gpu());
    const prediction = (name: string) => graph.input(name, [1, 2, 64], "f32");
    const [teacher, student] = [prediction("teacher"), prediction("student")];
    const [targets, samples] = [graph.input("targets", [1, 4, 4], "u32"), graph.input("samples", [1, 8], "u32")];
    const attrs = { patch: 4, norm: "L2" as const, normalizeTarget: false };
    const [errors] = graph.apply(tokenErrorsOp, { targets, samples, teacher, student }, attrs);
    const nodes = graph.nodes.length;
    const [gradient] = differentiate(graph, errors, graph.input("seed", [1, 1, 2], "f32"), [student], addTo);
    expect(gradient?.shape).toEqual([1, 2, 64]);
    expect(graph.nodes.slice(nodes).map((node) => node.op.name)).toEqual(["tokenErrorsBackward"]);
  });

  it("refuses L1", () => {
    const { graph } = new Bench(gpu());
    const teacher = graph.input("teacher", [1, 2, 64], "f32");
    const [targets, samples] = [graph.input("targets", [1, 4, 4], "u32"), graph.input("samples", [1, 8], "u32")];
    const attrs = { patch: 4, norm: "L1" as const, normalizeTarget: false };
    const [errors] = graph.apply(tokenErrorsOp, { targets, samples, teacher }, attrs);
    const seed = graph.input("seed", [1, 1, 2], "f32");
    expect(() => differentiate(graph, errors, seed, [teacher], addTo)).toThrow(
      "token errors of norm L1 have no gradient",
    );
  });
});
