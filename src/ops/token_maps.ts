import cleanMapWgsl from "../../shaders/clean_map.wgsl";
import columnRangeWgsl from "../../shaders/column_range.wgsl";
import tokenAnomalyWgsl from "../../shaders/token_anomaly.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op, type Tensor } from "../graph/graph.js";
import { bytesOf, dim, expect, expectActivation, expectShape, groups } from "./common.js";

/**
 * Teacher's and student's predictions [B, n + L, P·P·4] (n rows in front, for the cls token, or none) and the motion gradient, packed
 * [B, H, W] or floats [B, 3, H, W] in 0…255 → [B, L], the mean of the cleaned-up map over each token (METHOD §5, `process_result`), and the range of
 * each column's motion [B, W, 2], which is a step on the way.
 */
export const cleanMapOp: Op<{ patch: number; height: number; width: number }> = {
  name: "cleanMap",
  outputs([teacher, student, gradient], { patch, height, width }) {
    expect(height % patch === 0 && width % patch === 0, `size ${height}x${width} is no multiple of ${patch}`);
    const tokens = (height * width) / patch ** 2;
    const b = dim(expectActivation(teacher, "teacher", [-1, -1, patch * patch * 4]), 0);
    expect(dim(teacher, 1) >= tokens, `teacher has ${dim(teacher, 1)} rows for ${tokens} tokens`);
    expectActivation(student, "student", teacher?.shape ?? [], teacher);
    expectShape(gradient, "gradient", gradient?.dtype === "f32" ? [b, 3, height, width] : [b, height, width]);
    return [
      { shape: [b, tokens], dtype: "f32" },
      { shape: [b, width, 2], dtype: "f32" },
    ];
  },
  kernels({ inputs, outputs, attrs: { patch, height, width } }) {
    const [teacher, student, gradient] = inputs as [Tensor, Tensor, Tensor];
    const [cleaned, ranges] = outputs as [Tensor, Tensor];
    const flags = { FLOATS: gradient.dtype === "f32" };
    const motion: Record<string, Tensor> = flags.FLOATS ? { gradient } : { packed: gradient };
    const b = dim(cleaned, 0);
    const grid = { GRID_HEIGHT: height / patch, GRID_WIDTH: width / patch };
    return [
      {
        label: "column range",
        wgsl: specialize(columnRangeWgsl, { constants: { HEIGHT: height, WIDTH: width }, flags }),
        entryPoint: "columnRange",
        bindings: { ...motion, ranges },
        workgroups: [groups(width, 64), b, 1],
      },
      {
        label: "clean map",
        wgsl: specialize(cleanMapWgsl, {
          constants: { PATCH: patch, ...grid, PREDICTION_ROWS: dim(teacher, 1) },
          types: { Act: teacher.dtype },
          flags,
        }),
        entryPoint: "cleanMap",
        bindings: { teacher, student, ...motion, ranges, cleaned },
        workgroups: [dim(cleaned, 1), b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 4 * elementCount(call.inputs[0]?.shape ?? []), bytes: bytesOf(call) }),
};

/**
 * The predicted anomaly channel [B, 1 + L, P·P] (−1…1) and the motion gradient [B, H, W] packed → [B, L, 4]: means over the token of the
 * anomaly map (0…1), of the motion (gray, 0…255), of their product, and the largest motion of any channel.
 */
export const tokenAnomalyOp: Op<{ patch: number }> = {
  name: "tokenAnomaly",
  outputs([prediction, gradient], { patch }) {
    const [b, h, w] = expectShape(gradient, "motion gradient", [-1, -1, -1]).shape as [number, number, number];
    const tokens = (h * w) / patch ** 2;
    expectActivation(prediction, "prediction", [b, 1 + tokens, patch * patch]);
    return [{ shape: [b, tokens, 4], dtype: "f32" }];
  },
  kernels({ inputs, outputs, attrs: { patch } }) {
    const [prediction, gradient] = inputs as [Tensor, Tensor];
    const maps = outputs[0];
    const [b, tokens] = maps.shape as [number, number];
    return [
      {
        label: "token anomaly",
        wgsl: specialize(tokenAnomalyWgsl, {
          constants: {
            PATCH: patch,
            GRID_WIDTH: dim(gradient, 2) / patch,
            TOKENS: tokens,
            PREDICTION_ROWS: dim(prediction, 1),
          },
          types: { Act: prediction.dtype },
        }),
        entryPoint: "tokenAnomaly",
        bindings: { prediction, gradient, maps },
        workgroups: [tokens, b, 1],
      },
    ];
  },
  cost: (call) => ({ flops: 10 * elementCount(call.inputs[0]?.shape ?? []), bytes: bytesOf(call) }),
};
