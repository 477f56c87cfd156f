// Errors per token from stored predictions. Training needs these; scoring uses head_errors.ts,
// which stores none.
import tokenErrorsWgsl from "../../shaders/token_errors.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op } from "../graph/graph.js";
import { bytesOf, dim, expect, expectActivation, expectShape, sampleWords } from "./common.js";
import { tokenErrorsBackwardOp } from "./token_errors_backward.js";

/** How two values differ: squared (L2) or absolute (L1). */
export type Norm = "L1" | "L2";

interface TokenErrorsAttrs {
  patch: number;
  norm: Norm;
  /**
   * Whether to normalise the target token by its own mean and unbiased variance (norm_pix_loss).
   */
  normalizeTarget: boolean;
}

/**
 * Token errors from stored predictions: targets [slots, H, W] packed, samples [B, sampleWords],
 * teacher [B, 1 + L, P·P·4], and maybe a student like it → [B, L, 2]: the mean differences of
 * teacher and student (0 without a student), and of target and teacher.
 */
export const tokenErrorsOp: Op<TokenErrorsAttrs, "targets" | "samples" | "teacher", "student"> = {
  name: "tokenErrors",
  outputs({ targets, samples, teacher, student }, { patch }) {
    const [, h, w] = expectShape(targets, "targets", [-1, -1, -1]).shape;
    const b = dim(expectShape(samples, "samples", [-1, sampleWords]), 0);
    const tokens = (h * w) / patch ** 2;
    const { shape } = expectActivation(teacher, "teacher", [b, 1 + tokens, patch * patch * 4]);
    if (student) expectActivation(student, "student", shape, teacher);
    return [{ shape: [b, tokens, 2], dtype: "f32" }];
  },
  kernels({ inputs: { targets, samples, teacher, student }, outputs: [errors], attrs }) {
    const [b, tokens] = errors.shape;
    return [
      {
        label: "token errors",
        wgsl: specialize(tokenErrorsWgsl, {
          constants: {
            PATCH: attrs.patch,
            GRID_WIDTH: dim(targets, 2) / attrs.patch,
            TOKENS: tokens,
            PREDICTION_ROWS: dim(teacher, 1),
            ABSOLUTE: attrs.norm === "L1",
            NORMALIZE_TARGET: attrs.normalizeTarget,
          },
          types: { Act: teacher.dtype },
          flags: { STUDENT: student !== undefined },
        }),
        entryPoint: "tokenErrors",
        bindings: { targets, samples, teacher, errors, student },
        workgroups: [tokens, b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 6 * elementCount(call.inputs.teacher.shape), bytes: bytesOf(call) }),
  gradient({ inputs, attrs: { patch, norm, normalizeTarget } }, dErrors, graph, needed) {
    expect(norm === "L2", `token errors of norm ${norm} have no gradient, those of L2 have`);
    const gradientOf = (of: "teacher" | "student") =>
      graph.apply(tokenErrorsBackwardOp, { dErrors, ...inputs }, { patch, normalizeTarget, of })[0];
    return {
      teacher: needed.teacher ? gradientOf("teacher") : undefined,
      student: needed.student ? gradientOf("student") : undefined,
    };
  },
};
