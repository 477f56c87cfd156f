import { elementCount } from "../graph/graph.js";
import { uniformGenerator } from "../random.js";
import { type SdMaeConfig, tensorShapes } from "./config.js";
import type { Weights } from "./network.js";

/**
 * Untrained weights, initialised like the original's (docs/method.md §2), which are PyTorch's
 * defaults: weights and biases of convolutions and linear layers are U(±1/√fan_in), norms are the
 * identity, cls and mask token are zero.
 */
export function freshWeights(config: SdMaeConfig, seed: number): Weights {
  const uniform = uniformGenerator(seed);
  const shapes = tensorShapes(config);
  const weights = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, shape] of shapes) {
    const data = new Float32Array(elementCount(shape));
    const isNorm = /(^|[._])norm\d?\.|\.bn\.|patch_embed\.norm\./.test(name);
    if (isNorm) {
      if (/\.(weight|running_var)$/.test(name)) data.fill(1);
    } else if (!name.endsWith("_token")) {
      const weightShape = shapes.get(name.replace(/\.bias$/, ".weight")) ?? shape;
      const bound = 1 / Math.sqrt(elementCount(weightShape.slice(1)));
      for (let i = 0; i < data.length; i++) data[i] = (2 * uniform() - 1) * bound;
    }
    weights.set(name, { shape, data });
  }
  return weights;
}
