// Grows the masks of pasted anomalies. A square is grown along rows, then along columns.
import growMaskWgsl from "../../shaders/grow_mask.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Graph, Op, Tensor } from "../graph/graph.js";
import { bytesOf, expectShape, groups } from "./common.js";

interface GrowAttrs {
  /** Pixels. */
  radius: number;
  along: "rows" | "columns";
}

/** Grows the masks of targets [B, H, W] (packed) along rows or columns. */
export const growMaskOp: Op<GrowAttrs, "targets"> = {
  name: "growMask",
  outputs: ({ targets }) => [expectShape(targets, "targets", [-1, -1, -1])],
  kernels({ inputs: { targets }, outputs: [grown], attrs: { radius, along } }) {
    const [b, height, width] = grown.shape;
    return [
      {
        label: "grow mask",
        wgsl: specialize(growMaskWgsl, {
          constants: { HEIGHT: height, WIDTH: width, RADIUS: radius },
          flags: { COLUMNS: along === "columns" },
        }),
        entryPoint: "growMask",
        bindings: { targets, grown },
        workgroups: [groups(width, 64), height, b],
      },
    ];
  },
  cost: (call) => ({ flops: 0, bytes: bytesOf(call) }),
};

/**
 * Grows the masks of targets [B, H, W] (packed) by `radius` pixels, in the shape of a square; 0
 * leaves them as they are.
 */
export function growMasks(graph: Graph, targets: Tensor, radius: number): Tensor {
  if (radius === 0) return targets;
  const [rows] = graph.apply(growMaskOp, { targets }, { radius, along: "rows" });
  return graph.apply(growMaskOp, { targets: rows }, { radius, along: "columns" })[0];
}
