import linearWgsl from "../../shaders/linear.wgsl";
import linearMatrixWgsl from "../../shaders/linear_matrix.wgsl";
import linearSubgroupWgsl from "../../shaders/linear_subgroup.wgsl";
import linearTiledWgsl from "../../shaders/linear_tiled.wgsl";
import type { Target } from "../gpu/gpu.js";
import { specialize } from "../gpu/wgsl.js";
import { type ActivationType, elementCount, type Graph, type Op, type Tensor } from "../graph/graph.js";
import { bytesOf, dim, expect, expectActivation, expectShape, groups } from "./common.js";
import {
  choose,
  type LinearShape,
  type LinearVariant,
  linearKey,
  linearStrips,
  linearVariants,
  type Specialized,
} from "./variants.js";

interface LinearAttrs {
  gelu: boolean;
  residual: boolean;
  /** Rows of a sample whose first one takes `passthrough`'s value; 0 for none. */
  passthroughPeriod: number;
}

/**
 * y = x W + b over batch entries: x [batch, M, K], W [batch, K, N], b [batch, N] → [batch, M, N]; then exact GELU; then in the first row of
 * each sample the value of `passthrough` instead; then plus `residual`, both shaped as y.
 */
export const linearOp: Op<LinearAttrs> = {
  name: "linear",
  outputs([x, weight, bias, ...extra], attrs) {
    const { shape, dtype } = expectActivation(x, "x", [-1, -1, -1]);
    const [batch, m, k] = shape as [number, number, number];
    const n = dim(expectActivation(weight, "weight", [batch, k, -1], x), 2);
    expectShape(bias, "bias", [batch, n]);
    expect(k % 4 === 0 && n % 4 === 0, `widths ${k} and ${n} must be multiples of 4`);
    const wanted = (attrs.residual ? 1 : 0) + (attrs.passthroughPeriod > 0 ? 1 : 0);
    expect(extra.length === wanted, `${extra.length} extra inputs, ${wanted} expected`);
    for (const tensor of extra) {
      expect(
        elementCount(expectActivation(tensor, "an extra input", tensor.shape, x).shape) === batch * m * n,
        "extra inputs have y's size",
      );
    }
    return [{ shape: [batch, m, n], dtype }];
  },
  kernels({ inputs, outputs, attrs }, target) {
    const [x, weight, bias, ...extra] = inputs as [Tensor, Tensor, Tensor, ...Tensor[]];
    const y = outputs[0] as Tensor;
    const residual = attrs.residual ? extra[0] : undefined;
    const passthrough = attrs.passthroughPeriod > 0 ? extra.at(-1) : undefined;
    const shape = linearShape(x, y);
    const variant = choose(target, linearKey(shape), linearVariants(target, shape)) as LinearVariant;
    const flags = { GELU: attrs.gelu, RESIDUAL: attrs.residual, PASSTHROUGH: passthrough !== undefined };
    const { source, constants, workgroups } = specialization(variant, shape);
    const sizes = { M: shape.m, N: shape.n, K: shape.k, PERIOD: attrs.passthroughPeriod };
    return [
      {
        label: variant.kind === "plain" ? "linear" : `linear (${variant.kind})`,
        wgsl: specialize(source, {
          constants: { ...sizes, ...constants },
          flags,
          ...(variant.kind !== "matrix" && { types: { Act: x.dtype } }),
        }),
        entryPoint: "linear",
        bindings: { x, weight, bias, y, ...(residual && { residual }), ...(passthrough && { passthrough }) },
        workgroups,
      },
    ];
  },
  variants({ inputs, outputs }, target) {
    const shape = linearShape(inputs[0] as Tensor, outputs[0] as Tensor);
    return { key: linearKey(shape), names: [...linearVariants(target, shape).keys()] };
  },
  cost(call) {
    const y = call.outputs[0] as Tensor;
    return { flops: 2 * elementCount(y.shape) * dim(call.inputs[0], 2), bytes: bytesOf(call) };
  },
};

function linearShape(x: Tensor, y: Tensor): LinearShape {
  const [batch, m, n] = y.shape as [number, number, number];
  return { dtype: x.dtype as ActivationType, batch, m, k: dim(x, 2), n };
}

/** The WGSL of a variant, its constants beside the sizes, and how many workgroups it takes. */
function specialization(variant: LinearVariant, { batch, m, n }: LinearShape): Specialized {
  switch (variant.kind) {
    case "subgroup": {
      const { lanes, rows, strips } = variant;
      return {
        source: linearSubgroupWgsl,
        constants: { LANES: lanes, ROWS: rows, ROW_GROUPS: groups(rows, lanes), STRIPS: strips },
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
        },
        workgroups: [groups(n, 4 * tileN4), groups(m, tileM), batch],
      };
    }
    case "matrix": {
      const { tilesM, tilesN, unit } = variant;
      return {
        source: linearMatrixWgsl,
        constants: {
          ...{ SIDE_M: unit.m, SIDE_N: unit.n, SIDE_K: unit.k, TILES_M: tilesM, TILES_N: tilesN },
          ...{ LANES: unit.lanes, WORKGROUP: 4 * unit.lanes },
        },
        workgroups: [n / (2 * tilesN * unit.n), groups(m, 2 * tilesM * unit.m), batch],
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

/**
 * Adds the weights of one or more linear layers of the same shape, side by side as batch entries, in the kernel's layout.
 * @param dtype what weights are stored as: the type of the activations that meet them; biases are f32
 */
export function linearWeights(
  graph: Graph,
  name: string,
  layers: readonly LinearWeights[],
  dtype: ActivationType = "f32",
): { weight: Tensor; bias: Tensor } {
  const first = layers[0] as LinearWeights;
  const n = first.bias.length;
  const k = first.weight.length / n;
  const tile = weightTile(graph.target, n);
  const weight = new Float32Array(layers.length * n * k);
  const bias = new Float32Array(layers.length * n);
  layers.forEach((layer, i) => {
    packWeight(layer.weight, n, k, tile, weight.subarray(i * n * k));
    bias.set(layer.bias, i * n);
  });
  return {
    weight: graph.weight(`${name}.weight`, [layers.length, k, n], weight, dtype),
    bias: graph.weight(`${name}.bias`, [layers.length, n], bias),
  };
}

/**
 * The tiles of a weight's layout for the target's kernel: strips of `lanes` vec4s of columns (linear_subgroup.wgsl). The plain
 * kernel's [K, N] is one tile of strips of a single vec4.
 */
export function weightTile(target: Target, n: number): { lanes: number; strips: number } {
  return linearStrips(target, n) ?? { lanes: 1, strips: n / 4 };
}

/** Where the weight from input k to output n is in the kernel's layout: [N / columns of a tile, K / 4, lanes, 4 k, strips] vec4. */
function packedIndex(k: number, n: number, inner: number, { lanes, strips }: ReturnType<typeof weightTile>): number {
  const columns = 4 * lanes * strips;
  const [tile, within] = [Math.floor(n / columns), n % columns];
  const strip = Math.floor(within / (4 * lanes));
  const lane = Math.floor(within / 4) % lanes;
  const block = (tile * (inner / 4) + Math.floor(k / 4)) * lanes + lane;
  return ((block * 4 + (k % 4)) * strips + strip) * 4 + (n % 4);
}

function packWeight(
  weight: Float32Array,
  n: number,
  k: number,
  tile: ReturnType<typeof weightTile>,
  packed: Float32Array,
): void {
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < k; column++) {
      packed[packedIndex(column, row, k, tile)] = weight[row * k + column] as number;
    }
  }
}
