// The linear layer with what is fused into it, and its weights in the layouts that its variants
// read.
import linearWgsl from "../../shaders/linear.wgsl";
import linearMatrixWgsl from "../../shaders/linear_matrix.wgsl";
import linearSplitWgsl from "../../shaders/linear_split.wgsl";
import linearSubgroupWgsl from "../../shaders/linear_subgroup.wgsl";
import linearTiledWgsl from "../../shaders/linear_tiled.wgsl";
import rowMomentsWgsl from "../../shaders/row_moments.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { type ActivationType, elementCount, type Graph, type Kernel, type Op, type Tensor } from "../graph/graph.js";
import { float32ToHalf, halfToFloat32 } from "../half.js";
import { bytesOf, dim, expect, expectActivation, expectGiven, expectShape, groups } from "./common.js";
import {
  choose,
  type LinearShape,
  type LinearVariant,
  linearKey,
  linearStrips,
  linearVariants,
  matrixTileSizes,
  type Specialized,
} from "./variants.js";

/** What a linear layer does besides its product. */
export interface LinearAttrs {
  /**
   * Applies a LayerNorm to x's rows before the product; its scale and shift are in W and b, see
   * {@link linearWeights}.
   */
  normalize?: boolean;
  /** Applies exact GELU after the product. */
  gelu?: boolean;
  /**
   * Rows of a sample, whose first row passes the residual's LayerNorm through in place of the
   * product; 0 for none.
   */
  passthroughPeriod?: number;
  /** Of both LayerNorms. */
  epsilon?: number;
}

/**
 * y = norm(x) Wᵀ + b over batch entries: x [batch, M, K], weight [batch, N, K], bias [batch, N] →
 * [batch, M, N]; then GELU; then, in the first row of each sample, the residual's LayerNorm
 * instead; then plus the residual.
 *
 * The subgroup kernels read the weight's elements in another order ({@link linearWeights}).
 *
 * Optional inputs: columnSums [batch, N], the weight's, for `normalize`; residual, of y's size;
 * gamma [N] and beta [N] of the residual's LayerNorm for `passthroughPeriod`, which needs a
 * residual and one batch entry. With `normalize` a second output [batch, M, 2] has room for the
 * rows' means and scales.
 */
export const linearOp: Op<LinearAttrs, "x" | "weight" | "bias", "columnSums" | "residual" | "gamma" | "beta"> = {
  name: "linear",
  outputs({ x, weight, bias, columnSums, residual, gamma, beta }, { normalize, passthroughPeriod = 0 }) {
    const { shape, dtype } = expectActivation(x, "x", [-1, -1, -1]);
    const [batch, m, k] = shape;
    const n = dim(expectActivation(weight, "weight", [batch, -1, k], x), 1);
    expectShape(bias, "bias", [batch, n]);
    expect(k % 4 === 0 && n % 4 === 0, `widths ${k} and ${n} must be multiples of 4`);
    const passes = passthroughPeriod > 0;
    expectGiven("columnSums", columnSums, normalize === true);
    expectGiven("gamma", gamma, passes);
    expectGiven("beta", beta, passes);
    if (columnSums) expectShape(columnSums, "columnSums", [batch, n]);
    if (residual) {
      const { shape } = expectActivation(residual, "residual", residual.shape, x);
      expect(elementCount(shape) === batch * m * n, "the residual has y's size");
    }
    if (passes) {
      expect(residual !== undefined && batch === 1, "what is passed through is one batch entry's residual");
      expectShape(gamma, "gamma", [n]);
      expectShape(beta, "beta", [n]);
    }
    const y = { shape: [batch, m, n], dtype };
    return normalize ? [y, { shape: [batch, m, 2], dtype: "f32" }] : [y];
  },
  kernels({ inputs, outputs: [y, roomForMoments], attrs }, target) {
    const { x, weight, bias, columnSums, residual, gamma, beta } = inputs;
    const { normalize = false, gelu = false, passthroughPeriod = 0, epsilon = 0 } = attrs;
    const shape = linearShape(x, y);
    const variant = choose(target, linearKey(shape), linearVariants(target, shape));
    const { source, constants, workgroups, flags } = specialization(variant, shape);
    const onUnits = variant.kind === "matrix" || variant.kind === "split";
    const moments = onUnits && normalize ? roomForMoments : undefined;
    const linear: Kernel = {
      label: variant.kind === "plain" ? "linear" : `linear (${variant.kind})`,
      wgsl: specialize(source, {
        constants: {
          ...{ M: shape.m, N: shape.n, K: shape.k, PERIOD: passthroughPeriod, EPSILON: epsilon },
          ...constants,
        },
        flags: {
          NORMALIZE: normalize,
          GELU: gelu,
          RESIDUAL: residual !== undefined,
          PASSTHROUGH: passthroughPeriod > 0,
          ...flags,
          SIZED: onUnits && variant.unit.requested,
        },
        ...(!onUnits && { types: { Act: x.dtype } }),
      }),
      entryPoint: "linear",
      bindings: {
        ...{ x, weight, bias, y, moments, residual, gamma, beta },
        columnSums: variant.kind === "split" ? undefined : columnSums,
      },
      workgroups,
    };
    return moments ? [rowMoments(x, moments, epsilon), linear] : [linear];
  },
  variants({ inputs: { x }, outputs: [y], attrs: { normalize } }, target) {
    const shape = linearShape(x, y);
    const candidates = linearVariants(target, shape);
    const isRows = [...candidates.values()].every(({ kind }) => kind !== "subgroup");
    return {
      key: linearKey(shape),
      names: [...candidates.keys()],
      // Some variants subtract the rows' first value before the product, others do not.
      ...(normalize && isRows && { agree: ({ weight, columnSums }) => sumColumns(weight, columnSums, shape) }),
    };
  },
  cost(call) {
    const [y] = call.outputs;
    return { flops: 2 * elementCount(y.shape) * dim(call.inputs.x, 2), bytes: bytesOf(call) };
  },
};

/** Sums a weight [batch, N, K] over K, for a normalising layer's columnSums. */
function sumColumns(weight: Float32Array, sums: Float32Array | undefined, { k }: LinearShape): void {
  if (!sums) return;
  sums.fill(0);
  for (const [i, value] of weight.entries()) {
    const column = Math.floor(i / k);
    sums[column] = sums[column] + value;
  }
}

function linearShape(x: Tensor, y: Tensor): LinearShape {
  const [batch, m, n] = y.shape;
  return { dtype: x.dtype as ActivationType, batch, m, k: dim(x, 2), n };
}

/**
 * Means and scales of x's rows, for the kernels on matrix units, which read the rows as matrices.
 */
function rowMoments(x: Tensor, moments: Tensor, epsilon: number): Kernel {
  const rows = elementCount(moments.shape) / 2;
  return {
    label: "row moments",
    wgsl: specialize(rowMomentsWgsl, {
      constants: { ROWS: rows, WIDTH: dim(x, 2), EPSILON: epsilon },
      types: { Act: x.dtype },
    }),
    entryPoint: "rowMoments",
    bindings: { x, moments },
    workgroups: [groups(rows, 8), 1, 1],
  };
}

/** The WGSL of a variant, its constants besides the sizes, and its workgroups. */
function specialization(variant: LinearVariant, { batch, m, n }: LinearShape): Specialized {
  switch (variant.kind) {
    case "subgroup": {
      const { lanes, rows, strips, direct } = variant;
      return {
        source: linearSubgroupWgsl,
        constants: { LANES: lanes, ROWS: rows, ROW_GROUPS: groups(rows, lanes), STRIPS: strips },
        flags: { DIRECT: direct },
        workgroups: [n / (4 * lanes * strips), groups(m, rows), batch],
      };
    }
    case "tiled": {
      const { rows, columns, lanesM, lanesN, step } = variant;
      const [tileM, tileN4, invocations] = [lanesM * rows, lanesN * columns, lanesM * lanesN];
      return {
        source: linearTiledWgsl,
        constants: {
          ...{ ROWS: rows, COLUMNS: columns, LANES_M: lanesM, LANES_N: lanesN },
          ...{ TILE_M: tileM, TILE_N4: tileN4, K_STEP: step },
          X_LOADS: groups((tileM * step) / 4, invocations),
          W_LOADS: groups(step * tileN4, invocations),
          WHOLE: ((tileM * step) / 4) % invocations === 0 && (step * tileN4) % invocations === 0,
        },
        workgroups: [groups(n, 4 * tileN4), groups(m, tileM), batch],
      };
    }
    case "matrix":
    case "split": {
      const { unit, tilesM, tilesN, subgroupsM, subgroupsN, step } = variant;
      const { tileM, tileN, workgroup } = matrixTileSizes(variant);
      const loads = (rows: number) => (rows * step) / 8 / workgroup;
      return {
        source: variant.kind === "matrix" ? linearMatrixWgsl : linearSplitWgsl,
        constants: {
          ...{ SIDE_M: unit.m, SIDE_N: unit.n, SIDE_K: unit.k, TILES_M: tilesM, TILES_N: tilesN },
          ...{ SUBGROUPS_M: subgroupsM, SUBGROUPS_N: subgroupsN, STEP: step, SUMS: tilesN * unit.n },
          ...{ LANES: unit.lanes, WORKGROUP: workgroup, TILE_M: tileM, TILE_N: tileN },
          ...{ X_LOADS: loads(tileM), W_LOADS: loads(tileN) },
        },
        workgroups: [groups(n, tileN), groups(m, tileM), batch],
      };
    }
    case "plain": {
      const [rows, lanes] = [4, 8];
      return {
        source: linearWgsl,
        constants: { ROWS: rows, LANES_N: lanes, LANES_M: lanes },
        workgroups: [groups(n, 8 * lanes), groups(m, rows * lanes), batch],
      };
    }
  }
}

/** A linear layer's weights as PyTorch keeps them: weight [N, K] and bias [N]. */
export interface LinearWeights {
  weight: Float32Array;
  bias: Float32Array;
}

/** A LayerNorm's scale and shift, each [K]. */
export interface NormWeights {
  gamma: Float32Array;
  beta: Float32Array;
}

/** Folds a LayerNorm's scale and shift into the layer after it: W γ, and b + W β. */
export function foldNorm({ weight, bias }: LinearWeights, { gamma, beta }: NormWeights): LinearWeights {
  const k = gamma.length;
  const shifted = bias.map((value, row) => {
    let sum = value;
    for (let i = 0; i < k; i++) sum += weight[row * k + i] * beta[i];
    return sum;
  });
  return { weight: weight.map((value, i) => value * gamma[i % k]), bias: shifted };
}

/**
 * Adds the weights of one or more linear layers of the same shape, side by side as batch entries,
 * in the kernel's layout.
 * @param dtype what weights are stored as: the type of the activations that meet them; biases are
 * f32
 * @param rows what a row of the stored matrix belongs to, unless a subgroup kernel wants strips: an
 * output, as in PyTorch ([N, K], which {@link linearOp} reads), or an input ([K, N])
 */
export function linearWeights(
  graph: Graph,
  name: string,
  layers: readonly LinearWeights[],
  dtype: ActivationType = "f32",
  rows: "outputs" | "inputs" = "outputs",
): { weight: Tensor; bias: Tensor } {
  const first = layers[0];
  const n = first.bias.length;
  const k = first.weight.length / n;
  const strips = linearStrips(graph.target, n) ?? (rows === "inputs" ? { lanes: 1, strips: n / 4 } : undefined);
  const weight = new Float32Array(layers.length * n * k);
  const bias = new Float32Array(layers.length * n);
  for (const [i, layer] of layers.entries()) {
    const own = weight.subarray(i * n * k, (i + 1) * n * k);
    if (strips) packStrips(layer.weight, n, k, strips, own);
    else own.set(layer.weight);
    bias.set(layer.bias, i * n);
  }
  return {
    weight: graph.weight(`${name}.weight`, [layers.length, ...(rows === "outputs" ? [n, k] : [k, n])], weight, dtype),
    bias: graph.weight(`${name}.bias`, [layers.length, n], bias),
  };
}

/**
 * Adds the column sums [batch, N] of such weights, as they are stored: for layers that normalise.
 * @param dtype as in {@link linearWeights}
 */
export function weightColumnSums(
  graph: Graph,
  name: string,
  layers: readonly LinearWeights[],
  dtype: ActivationType = "f32",
): Tensor {
  const sums = layers.flatMap(({ weight, bias }) => {
    const k = weight.length / bias.length;
    const stored = dtype === "f16" ? halfToFloat32(float32ToHalf(weight)) : weight;
    return Array.from(bias, (_, row) => stored.subarray(row * k, (row + 1) * k).reduce((sum, value) => sum + value, 0));
  });
  return graph.weight(`${name}.columnSums`, [layers.length, layers[0].bias.length], Float32Array.from(sums));
}

/**
 * A layout in tiles of `strips` strips, each `lanes` vec4s of columns (linear_subgroup.wgsl). [K,
 * N] is one tile whose strips are single vec4s.
 */
type Strips = { lanes: number; strips: number };

/**
 * The index of the weight from input k to output n in strips: [N / columns of a tile, K / 4, lanes,
 * 4 k, strips] vec4.
 */
function packedIndex(k: number, n: number, inner: number, { lanes, strips }: Strips): number {
  const columns = 4 * lanes * strips;
  const [tile, within] = [Math.floor(n / columns), n % columns];
  const strip = Math.floor(within / (4 * lanes));
  const lane = Math.floor(within / 4) % lanes;
  const block = (tile * (inner / 4) + Math.floor(k / 4)) * lanes + lane;
  return ((block * 4 + (k % 4)) * strips + strip) * 4 + (n % 4);
}

function packStrips(weight: Float32Array, n: number, k: number, strips: Strips, packed: Float32Array): void {
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < k; column++) {
      packed[packedIndex(column, row, k, strips)] = weight[row * k + column];
    }
  }
}
