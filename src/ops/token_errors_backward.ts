import tokenErrorsBackwardWgsl from "../../shaders/token_errors_backward.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { byteSize, elementCount, type Op } from "../graph/graph.js";
import { dim, expect, expectActivation, expectShape, sampleWords } from "./common.js";

interface BackwardAttrs {
  patch: number;
  normalizeTarget: boolean;
  /** The prediction whose gradient this is. */
  of: "teacher" | "student";
}

/**
 * The gradient of token errors of norm L2 with respect to a prediction: dErrors [B, L, 2], and the
 * inputs of the forward op (targets [slots, H, W] packed, samples [B, sampleWords], teacher [B, 1 +
 * L, P·P·4], maybe student) → [B, 1 + L, P·P·4], zeros in the cls token's row.
 */
export const tokenErrorsBackwardOp: Op<BackwardAttrs, "dErrors" | "targets" | "samples" | "teacher", "student"> = {
  name: "tokenErrorsBackward",
  outputs({ dErrors, targets, samples, teacher, student }, { patch, of }) {
    const [b, tokens] = expectShape(dErrors, "dErrors", [-1, -1, 2]).shape;
    const [, h, w] = expectShape(targets, "targets", [-1, -1, -1]).shape;
    expect(h * w === tokens * patch ** 2, `targets of ${h}x${w} are not ${tokens} patches of ${patch}`);
    expectShape(samples, "samples", [b, sampleWords]);
    const { shape, dtype } = expectActivation(teacher, "teacher", [b, 1 + tokens, patch * patch * 4]);
    if (student || of === "student") expectActivation(student, "student", shape, teacher);
    return [{ shape, dtype }];
  },
  kernels({ inputs, outputs: [dPrediction], attrs: { patch, normalizeTarget, of } }) {
    const { dErrors, targets, samples, teacher, student } = inputs;
    const [b, tokens] = dErrors.shape;
    const ofTarget = of === "teacher";
    return [
      {
        label: `token errors backward (${of})`,
        wgsl: specialize(tokenErrorsBackwardWgsl, {
          constants: {
            PATCH: patch,
            GRID_WIDTH: dim(targets, 2) / patch,
            TOKENS: tokens,
            NORMALIZE_TARGET: normalizeTarget,
          },
          types: { Act: teacher.dtype },
          flags: { TARGET: ofTarget, STUDENT: student !== undefined },
        }),
        entryPoint: "tokenErrorsBackward",
        bindings: { dErrors, teacher, dPrediction, student, ...(ofTarget && { targets, samples }) },
        workgroups: [1 + tokens, b, 1],
      },
    ];
  },
  cost({ inputs: { dErrors, teacher, student }, attrs: { of } }) {
    // A target's pixel is a quarter of a prediction's.
    const predictions = (student ? 3 : 2) + (of === "teacher" ? 0.25 : 0);
    return {
      flops: (of === "teacher" && student ? 7 : 4) * elementCount(teacher.shape),
      bytes: predictions * byteSize(teacher) + byteSize(dErrors),
    };
  },
};
