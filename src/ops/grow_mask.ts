import growMaskWgsl from "../../shaders/grow_mask.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Graph, Op, Tensor } from "../graph/graph.js";
import { bytesOf, expectShape, groups } from "./common.js";

interface GrowAttrs {
  /** Pixels. */
  radius: number;
  along: "rows" | "columns";
}

/** Targets [B, H, W] packed, whose masks grow along rows or columns. */
export const growMaskOp: Op<GrowAttrs> = {
  name: "growMask",
  outputs: ([targets]) => [expectShape(targets, "targets", [-1, -1, -1])],
  kernels({ inputs, outputs, attrs: { radius, along } }) {
    const [targets, grown] = [inputs[0], outputs[0]];
    const [b, height, width] = grown.shape as [number, number, number];
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

/** Targets [B, H, W] packed with masks that reach `radius` pixels farther, to all sides of a square; 0 leaves them as they are. */
export function growMasks(graph: Graph, targets: Tensor, radius: number): Tensor {
  if (radius === 0) return targets;
  const [rows] = graph.apply(growMaskOp, [targets], { radius, along: "rows" }) as [Tensor];
  return graph.apply(growMaskOp, [rows], { radius, along: "columns" })[0];
}
