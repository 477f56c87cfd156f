import layerNormWgsl from "../../shaders/layer_norm.wgsl";
import layerNormBackwardWgsl from "../../shaders/layer_norm_backward.wgsl";
import layerNormWeightsWgsl from "../../shaders/layer_norm_weights.wgsl";
import type { Target } from "../gpu/gpu.js";
import { specialize } from "../gpu/wgsl.js";
import { type DType, elementCount, type Op, type Tensor, type TensorSpec } from "../graph/graph.js";
import { columnSums } from "./column_sums.js";
import { bytesOf, dim, elementwiseCost, expect, expectActivation, expectShape, groups } from "./common.js";
import { subgroupLanes, wideLanes } from "./variants.js";

/** Invocations that share a row on a GPU; a software adapter gives a row to one, which needs no barrier. */
const lanesOnGpu = 16;
const workgroup = 64;
/** Rows that a workgroup adds up for the weights' gradients. */
const chunk = 32;

function lanesOf(target: Target): number {
  return target.adapter.kind === "gpu" ? lanesOnGpu : 1;
}

/**
 * LayerNorm over the last dimension: x [B, rows, D], gamma [D], beta [D] → [B, rows, D]. With a fourth input, a token [D], the
 * result is [B, 1 + rows, D] with that token in front, as it is.
 */
export const layerNormOp: Op<{ epsilon: number }> = {
  name: "layerNorm",
  outputs([x, gamma, beta, token]) {
    const [b, rows, width, dtype] = expectRows(x);
    expectShape(gamma, "gamma", [width]);
    expectShape(beta, "beta", [width]);
    if (token) expectShape(token, "token", [width]);
    return [{ shape: [b, rows + (token ? 1 : 0), width], dtype }];
  },
  kernels({ inputs, outputs, attrs: { epsilon } }, target) {
    const [x, gamma, beta, token] = inputs as [Tensor, Tensor, Tensor, Tensor?];
    const y = outputs[0];
    const width = dim(x, 2);
    const rows = elementCount(x.shape) / width;
    const lanes = lanesOf(target);
    const isHeld = subgroupLanes(target) === wideLanes && width <= 256;
    return [
      {
        label: "layer norm",
        wgsl: specialize(layerNormWgsl, {
          constants: {
            WIDTH: width,
            ROWS: rows,
            SAMPLE_ROWS: dim(x, 1),
            EPSILON: epsilon,
            LANES: lanes,
            WORKGROUP: isHeld ? wideLanes : workgroup,
            VECTORS: width / 4,
          },
          types: { Act: x.dtype },
          flags: { PREPEND: token !== undefined, SHARED: lanes > 1, HELD: isHeld },
        }),
        entryPoint: "normalize",
        bindings: { x, gamma, beta, y, ...(token && { token }) },
        workgroups: [groups(rows, (isHeld ? wideLanes : workgroup) / lanes), 1, 1],
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 8),
  gradient({ inputs, attrs }, [dy], graph, needed) {
    const [x, gamma] = inputs as [Tensor, Tensor];
    const ofX = () => graph.apply(layerNormBackwardOp, [x, gamma, dy as Tensor], attrs)[0];
    const ofWeights = () => graph.apply(layerNormWeightGradientOp, [x, dy as Tensor], attrs);
    const [dgamma, dbeta, , dtoken] = needed.slice(1).includes(true) ? ofWeights() : [];
    return [needed[0] ? ofX() : undefined, dgamma, dbeta, dtoken];
  },
};

/** LayerNorm's gradient: x [B, rows, D], gamma [D], dy [B, rows, D] or, with a token in front, [B, 1 + rows, D] → dx [B, rows, D]. */
export const layerNormBackwardOp: Op<{ epsilon: number }> = {
  name: "layerNormBackward",
  outputs([x, gamma, dy]) {
    const [b, rows, width, dtype] = expectRows(x);
    expectShape(gamma, "gamma", [width]);
    expectGradient(dy, x);
    return [{ shape: [b, rows, width], dtype }];
  },
  kernels({ inputs, outputs, attrs: { epsilon } }, target) {
    const [x, gamma, dy] = inputs as [Tensor, Tensor, Tensor];
    const width = dim(x, 2);
    const rows = elementCount(x.shape) / width;
    const lanes = lanesOf(target);
    return [
      {
        label: "layer norm backward",
        wgsl: specialize(layerNormBackwardWgsl, {
          constants: {
            WIDTH: width,
            ROWS: rows,
            SAMPLE_ROWS: dim(x, 1),
            FRONT: dim(dy, 1) - dim(x, 1),
            EPSILON: epsilon,
            LANES: lanes,
            WORKGROUP: workgroup,
          },
          types: { Act: x.dtype },
          flags: { SHARED: lanes > 1 },
        }),
        entryPoint: "layerNormBackward",
        bindings: { x, gamma, dy, dx: outputs[0] },
        workgroups: [groups(rows, workgroup / lanes), 1, 1],
      },
    ];
  },
  cost: (call) => elementwiseCost(call, 16),
};

/**
 * LayerNorm's gradients of its weights: x [B, rows, D], dy [B, rows, D] or, with a token in front, [B, 1 + rows, D] → dgamma [D],
 * dbeta [D], sums on the way [chunks, 2, D], and with a token in front that token's gradient [D].
 */
export const layerNormWeightGradientOp: Op<{ epsilon: number }> = {
  name: "layerNormWeightGradient",
  outputs([x, dy]) {
    const [b, rows, width] = expectRows(x);
    const own: TensorSpec = { shape: [width], dtype: "f32" };
    const parts: TensorSpec = { shape: [groups(b * rows, chunk), 2, width], dtype: "f32" };
    return [own, own, parts, ...(expectGradient(dy, x) ? [own] : [])];
  },
  kernels({ inputs, outputs, attrs: { epsilon } }, target) {
    const [x, dy] = inputs as [Tensor, Tensor];
    const [dgamma, dbeta, parts, dtoken] = outputs as [Tensor, Tensor, Tensor, Tensor?];
    const [b, sampleRows, width] = x.shape as [number, number, number];
    const lanes = lanesOf(target);
    const size = width > 4 * chunk ? 2 * chunk : chunk;
    const chunks = { rows: dim(parts, 0), stride: 2 * width };
    return [
      {
        label: "layer norm weight sums",
        wgsl: specialize(layerNormWeightsWgsl, {
          constants: {
            WIDTH: width,
            ROWS: b * sampleRows,
            SAMPLE_ROWS: sampleRows,
            FRONT: dim(dy, 1) - sampleRows,
            EPSILON: epsilon,
            CHUNK: chunk,
            LANES: lanes,
            WORKGROUP: size,
            PARTIALS: chunk * lanes,
          },
          types: { Act: x.dtype },
        }),
        entryPoint: "weightSums",
        bindings: { x, dy, parts },
        workgroups: [dim(parts, 0), groups(width / 4, size), 1],
      },
      columnSums(target, "layer norm dgamma", parts, dgamma, chunks),
      columnSums(target, "layer norm dbeta", parts, dbeta, { ...chunks, start: width }),
      ...(dtoken
        ? [columnSums(target, "layer norm dtoken", dy, dtoken, { rows: b, stride: (1 + sampleRows) * width })]
        : []),
    ];
  },
  cost: (call) => ({ flops: 10 * elementCount(call.inputs[0]?.shape ?? []), bytes: bytesOf(call) }),
};

function expectRows(x: TensorSpec | undefined): [b: number, rows: number, width: number, dtype: DType] {
  const { shape, dtype } = expectActivation(x, "x", [-1, -1, -1]);
  const [b, rows, width] = shape as [number, number, number];
  expect(width % 4 === 0, `width ${width} is no multiple of 4`);
  return [b, rows, width, dtype];
}

/** Whether dy, which fits x, has a token in front. */
function expectGradient(dy: TensorSpec | undefined, x: TensorSpec | undefined): boolean {
  const front = dim(dy, 1) === dim(x, 1) + 1;
  expectActivation(dy, "dy", [dim(x, 0), dim(x, 1) + (front ? 1 : 0), dim(x, 2)], x);
  return front;
}
