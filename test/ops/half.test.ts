import { describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.js";
import { differentiate } from "../../src/graph/autodiff.js";
import type { ByInput, Op, Tensor } from "../../src/graph/graph.js";
import { floatsOf } from "../../src/graph/program.js";
import { addOp, addTo } from "../../src/ops/add.js";
import { attentionOp } from "../../src/ops/attention.js";
import { batchNormOp } from "../../src/ops/batch_norm.js";
import { convolveOp } from "../../src/ops/convolve.js";
import { denseOp } from "../../src/ops/dense.js";
import { geluDropoutOp } from "../../src/ops/gelu_dropout.js";
import { layerNormOp } from "../../src/ops/layer_norm.js";
import { mlpResidualOp } from "../../src/ops/mlp_residual.js";
import { patchesOp } from "../../src/ops/patches.js";
import { tokenErrorsOp } from "../../src/ops/token_errors.js";
import { unshuffleOp } from "../../src/ops/unshuffle.js";
import { finiteDifferences } from "../support/finite_differences.js";
import { type Bench, evaluate, useGpu } from "../support/gpu.js";
import { halfInput, needsHalf, roundedToHalf } from "../support/half.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { expectClose, Random } from "../support/numbers.js";
import * as reference from "../support/reference.js";

/** An op of training on activations in f16, and its expected result. */
interface Case {
  name: string;
  /** Shapes of the inputs to differentiate by, the activations first. */
  activations: readonly (readonly number[])[];
  weights?: readonly (readonly number[])[];
  apply(bench: Bench, tensors: readonly Tensor[]): Tensor;
  /** The same in float64, of flat inputs in the same order. */
  expected(...inputs: Float64Array[]): ArrayLike<number>;
}

const random = new Random(16);
const one = <A, N extends string, M extends string>(
  bench: Bench,
  op: Op<A, N, M>,
  inputs: NoInfer<ByInput<Tensor, N, M>>,
  attrs: A,
) => bench.graph.apply(op, inputs, attrs)[0];
const [batch, rows, columns, width] = [2, 3, 4, 16];
const tokens = 1 + rows * columns;
const ids = Array.from({ length: batch }, () => random.permutation(tokens - 1));
const patch = 4;
const images = Array.from({ length: batch }, () => randomImage(random, 2 * patch, 3 * patch, 4));
const samples = Array.from({ length: batch }, (_, b) => ({ target: b, previous: b, current: 1 - b, next: b }));
const frames = (bench: Bench) => bench.input([batch, 2 * patch, 3 * patch], packImages(images));
const states = (bench: Bench) => bench.state([2, 3, width], new Float32Array(6 * width));

/** Each of `count` equal parts of the inputs through `f`, one after the other. */
const inParts = (count: number, inputs: Float64Array[], f: (...parts: Float64Array[]) => ArrayLike<number>) =>
  Array.from({ length: count }, (_, i) =>
    Array.from(f(...inputs.map((v) => v.subarray((i * v.length) / count, ((i + 1) * v.length) / count)))),
  ).flat();

/** BatchNorm of a plane [B, 1 + T, D]: LayerNorm along a channel's tokens; cls tokens stay. */
function batchNorm(x: Float64Array, gamma: Float64Array, beta: Float64Array): Float64Array {
  const y = x.slice();
  for (let d = 0; d < width; d++) {
    const at = Array.from({ length: batch * tokens }, (_, i) => i).filter((i) => i % tokens !== 0);
    const own = at.map((i) => x[i * width + d]);
    const [ones, zeros] = [own.map(() => 1), own.map(() => 0)];
    const normal = reference.layerNorm(own, own.length, ones, zeros, 1e-5);
    for (const [j, i] of at.entries()) y[i * width + d] = normal[j] * gamma[d] + beta[d];
  }
  return y;
}

const cases: Case[] = [
  {
    name: "layer norm with a token in front",
    activations: [[batch, 5, width]],
    weights: [[width], [width], [width]],
    apply: (bench, [x, gamma, beta, token]) => one(bench, layerNormOp, { x, gamma, beta, token }, { epsilon: 1e-6 }),
    expected: (x, gamma, beta, token) =>
      inParts(batch, [x], (own) => [...token, ...reference.layerNorm(own, width, gamma, beta, 1e-6)]),
  },
  {
    name: "convolutions",
    activations: [[batch, tokens, width]],
    weights: [[3, width, 9]],
    apply: (bench, [x, weight]) => one(bench, convolveOp, { x, weight }, { rows, columns }),
    expected: (x, weight) => reference.convolutions(x, weight, { batch, rows, columns, width }),
  },
  {
    name: "batch norm",
    activations: [[3, batch, tokens, width]],
    weights: [
      [3, width],
      [3, width],
    ],
    apply: (bench, [x, gamma, beta]) =>
      one(bench, batchNormOp, { x, gamma, beta, running: states(bench) }, { epsilon: 1e-5, momentum: 0.1 }),
    expected: (...inputs) => inParts(3, inputs, (x, gamma, beta) => batchNorm(x, gamma, beta)),
  },
  {
    name: "dense with a residual",
    activations: [
      [2, 13, width],
      [2, 13, 32],
    ],
    weights: [
      [2, 32, width],
      [2, 32],
    ],
    apply: (bench, [x, residual, weight, bias]) =>
      one(bench, denseOp, { x, weight, bias, residual }, { scales: [0.25, 1] }),
    expected: (x, residual, weight, bias) =>
      inParts(2, [x, weight, bias], (...own) => reference.linear(own[0], own[1], own[2])).map(
        (value, i) => value * (i < 13 * 32 ? 0.25 : 1) + residual[i],
      ),
  },
  {
    name: "attention",
    activations: [[3, batch, tokens, 32]],
    apply: (bench, [qkv]) => one(bench, attentionOp, { qkv }, { heads: 2 }),
    expected: (qkv) => {
      const [q, k, v] = [0, 1, 2].map((i) => qkv.subarray((i * qkv.length) / 3, ((i + 1) * qkv.length) / 3));
      return reference.attention(q, k, v, { batch, tokens, width: 32, heads: 2 });
    },
  },
  {
    name: "GELU",
    activations: [[batch, tokens, width]],
    apply: (bench, [x]) => {
      const seed = bench.input([2], Uint32Array.of(1, 2));
      return one(bench, geluDropoutOp, { x, seed }, { rate: 0, layer: 0 });
    },
    expected: (x) => x.map(reference.gelu),
  },
  {
    name: "residual of the MLP",
    activations: [
      [batch, tokens, width],
      [batch, tokens, width],
      [batch, tokens, width],
    ],
    apply: (bench, [x1, norm2, mlp]) => one(bench, mlpResidualOp, { x1, norm2, mlp }, {}),
    expected: (x1, norm2, mlp) =>
      x1.map((value, i) => value + (Math.floor(i / width) % tokens === 0 ? norm2[i] : mlp[i])),
  },
  {
    name: "unshuffling",
    activations: [[batch, 6, width]],
    weights: [[width]],
    apply: (bench, [x, maskToken]) => {
      const idsRestore = bench.input([batch, tokens - 1], Uint32Array.from(ids.flat()));
      return one(bench, unshuffleOp, { x, maskToken, idsRestore }, {});
    },
    expected: (x, mask) =>
      ids.flatMap((own, b) => [...reference.unshuffle(x.subarray(b * 6 * width, (b + 1) * 6 * width), mask, own)]),
  },
  {
    name: "token errors",
    activations: [
      [batch, 7, 4 * patch ** 2],
      [batch, 7, 4 * patch ** 2],
    ],
    apply: (bench, [teacher, student]) => {
      const data = { targets: frames(bench), samples: bench.input([batch, 8], packSamples(samples)) };
      return one(bench, tokenErrorsOp, { ...data, teacher, student }, { patch, norm: "L2", normalizeTarget: true });
    },
    expected: (...predictions) => {
      const values = 4 * patch ** 2;
      return images.flatMap((image, b) => {
        const own = predictions.map((p) => p.subarray((7 * b + 1) * values, 7 * (b + 1) * values));
        const goal = reference.normalizeTokens(reference.targetTokens(image, patch), values);
        const apart = reference.meanDifference(own[0], own[1], values, "L2");
        return Array.from(reference.meanDifference(goal, own[0], values, "L2"), (error, i) => [apart[i], error]).flat();
      });
    },
  },
  {
    name: "a sum of a number of values that is not a multiple of 4",
    activations: [
      [3, 5],
      [3, 5],
    ],
    apply: (bench, [a, b]) => one(bench, addOp, { a: one(bench, addOp, { a, b }, {}), b }, {}),
    expected: (a, b) => a.map((value, i) => value + 2 * b[i]),
  },
];

describe("ops of training in float16", () => {
  const gpu = useGpu();

  /** The adapter under test, or the same one for which kernels are chosen as for a real GPU. */
  const device = (asOnGpu: boolean): Gpu =>
    asOnGpu ? Object.create(gpu(), { adapter: { value: { ...gpu().adapter, kind: "gpu" } } }) : gpu();

  const runs = cases.flatMap((own) => [
    { ...own, asOnGpu: false },
    // lavapipe takes half a minute to compile attention's kernels.
    ...(own.name === "attention" ? [] : [{ ...own, asOnGpu: true }]),
  ]);
  for (const { name, activations, weights = [], apply, expected, asOnGpu } of runs) {
    it(`${name}${asOnGpu ? ", as on a GPU" : ""}: values and gradients`, async (test) => {
      needsHalf(gpu(), test);
      const shapes = [...activations, ...weights];
      const inputs = shapes.map((shape) =>
        roundedToHalf(
          random.floats(
            shape.reduce((a, b) => a * b, 1),
            -1.5,
            2,
          ),
        ),
      );
      const count = Array.from(expected(...inputs.map((values) => Float64Array.from(values)))).length;
      const dy = roundedToHalf(random.floats(count));
      let outputs: Record<string, Tensor> = {};
      const got = await evaluate(device(asOnGpu), (bench) => {
        const tensors = shapes.map((shape, i) =>
          i < activations.length ? halfInput(bench, shape, inputs[i]) : bench.input(shape, inputs[i]),
        );
        const y = apply(bench, tensors);
        const seed = y.dtype === "f16" ? halfInput(bench, y.shape, dy) : bench.input(y.shape, dy);
        const gradients = differentiate(bench.graph, y, seed, tensors, addTo) as Tensor[];
        outputs = { y, ...Object.fromEntries(gradients.map((gradient, i) => [`d${i}`, gradient])) };
        return outputs;
      });
      const values = (key: string) => floatsOf(got[key], outputs[key]);
      // Rounding to half is off by up to 2^-11 of a value, 2^-12.5 on average.
      expectClose(values("y"), expected(...inputs.map((v) => Float64Array.from(v))), 5e-4);
      for (const which of shapes.keys()) {
        expect(outputs[`d${which}`]?.dtype, `type of gradient ${which}`).toBe(
          which < activations.length ? "f16" : "f32",
        );
        expectClose(values(`d${which}`), finiteDifferences(expected, inputs, which, dy), 1e-3);
      }
    });
  }

  it("patches as halves", async (test) => {
    needsHalf(gpu(), test);
    const kept = [
      [5, 0],
      [2, 3],
    ];
    let patches: Tensor | undefined;
    const got = await evaluate(gpu(), (bench) => {
      const inputs = {
        frames: frames(bench),
        samples: bench.input([batch, 8], packSamples(samples)),
        idsKeep: bench.input([batch, 2], Uint32Array.from(kept.flat())),
      };
      patches = one(bench, patchesOp, inputs, { patch, dtype: "f16" });
      return { patches };
    });
    const want = kept.flatMap((own, b) =>
      own.flatMap((token) =>
        [b, 1 - b, b].flatMap((frame) =>
          [0, 1, 2].flatMap((channel) =>
            Array.from({ length: patch ** 2 }, (_, pixel) => {
              const [y, x] = [
                Math.floor(token / 3) * patch + Math.floor(pixel / patch),
                (token % 3) * patch + (pixel % patch),
              ];
              return (reference.pixel(images[frame], y, x, channel) - 127.5) / 127.5;
            }),
          ),
        ),
      ),
    );
    expectClose(floatsOf(got.patches, patches as Tensor), want, 5e-4);
  });

  it("refuses mixed types, and halves in place of words", () => {
    const spec = (dtype: "f32" | "f16", ...shape: number[]) => ({ shape, dtype });
    expect(() => addOp.outputs({ a: spec("f16", 8), b: spec("f32", 8) }, {})).toThrow("b is f32, not f16");
    const norm = { x: spec("f16", 1, 2, 8), gamma: spec("f16", 8), beta: spec("f16", 8) };
    expect(() => layerNormOp.outputs(norm, { epsilon: 1 })).toThrow("gamma is f16, which is for activations alone");
  });
});
