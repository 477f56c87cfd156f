import linearWgsl from "../../shaders/linear.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Graph, type Op, type Tensor } from "../graph/graph.js";
import { bytesOf, dim, expect, expectShape, groups } from "./common.js";

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
    const [batch, m, k] = expectShape(x, "x", [-1, -1, -1]).shape as [number, number, number];
    const n = dim(expectShape(weight, "weight", [batch, k, -1]), 2);
    expectShape(bias, "bias", [batch, n]);
    expect(k % 4 === 0 && n % 4 === 0, `widths ${k} and ${n} must be multiples of 4`);
    const wanted = (attrs.residual ? 1 : 0) + (attrs.passthroughPeriod > 0 ? 1 : 0);
    expect(extra.length === wanted, `${extra.length} extra inputs, ${wanted} expected`);
    for (const tensor of extra) expect(elementCount(tensor.shape) === batch * m * n, "extra inputs have y's size");
    return [{ shape: [batch, m, n], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs }) {
    const [x, weight, bias, ...extra] = inputs as [Tensor, Tensor, Tensor, ...Tensor[]];
    const y = outputs[0] as Tensor;
    const [batch, m, n] = y.shape as [number, number, number];
    const residual = attrs.residual ? extra[0] : undefined;
    const passthrough = attrs.passthroughPeriod > 0 ? extra.at(-1) : undefined;
    const tile = { ROWS: 4, LANES_N: 8, LANES_M: 8 };
    return [
      {
        label: "linear",
        wgsl: specialize(linearWgsl, {
          constants: { M: m, N: n, K: dim(x, 2), PERIOD: attrs.passthroughPeriod, ...tile },
          flags: { GELU: attrs.gelu, RESIDUAL: attrs.residual, PASSTHROUGH: passthrough !== undefined },
        }),
        entryPoint: "linear",
        bindings: { x, weight, bias, y, ...(residual && { residual }), ...(passthrough && { passthrough }) },
        workgroups: [groups(n, 8 * tile.LANES_N), groups(m, tile.ROWS * tile.LANES_M), batch],
      },
    ];
  },
  cost(call) {
    const y = call.outputs[0] as Tensor;
    return { flops: 2 * elementCount(y.shape) * dim(call.inputs[0], 2), bytes: bytesOf(call) };
  },
};

/** A linear layer's weights as PyTorch keeps them: weight [N, K] and bias [N]. */
export interface LinearWeights {
  weight: Float32Array;
  bias: Float32Array;
}

/** Adds the weights of one or more linear layers of the same shape, side by side as batch entries, in the kernel's layout. */
export function linearWeights(
  graph: Graph,
  name: string,
  layers: readonly LinearWeights[],
): { weight: Tensor; bias: Tensor } {
  const first = layers[0] as LinearWeights;
  const n = first.bias.length;
  const k = first.weight.length / n;
  const weight = new Float32Array(layers.length * n * k);
  const bias = new Float32Array(layers.length * n);
  layers.forEach((layer, i) => {
    transpose(layer.weight, n, k, weight.subarray(i * n * k));
    bias.set(layer.bias, i * n);
  });
  return {
    weight: graph.weight(`${name}.weight`, [layers.length, k, n], weight),
    bias: graph.weight(`${name}.bias`, [layers.length, n], bias),
  };
}

/** Writes the transpose of a row-major [rows, columns] matrix. */
export function transpose(from: Float32Array, rows: number, columns: number, to: Float32Array): void {
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c] as number;
}
