import cleanMapWgsl from "../../shaders/clean_map.wgsl";
import columnRangeWgsl from "../../shaders/column_range.wgsl";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Op } from "../graph/graph.js";
import { bytesOf, dim, expect, expectActivation, expectShape, groups } from "./common.js";

interface CleanMapAttrs {
  patch: number;
  height: number;
  width: number;
}

/**
 * Teacher's and student's predictions [B, n + L, P·P·4] (n rows in front, for the cls token, or
 * none) and the motion gradient, packed [B, H, W] or floats [B, 3, H, W] in 0…255 → [B, L], the
 * mean of the cleaned-up map over each token (docs/method.md §5, `process_result`), and the range
 * of each column's motion [B, W, 2].
 */
export const cleanMapOp: Op<CleanMapAttrs, "teacher" | "student" | "gradient"> = {
  name: "cleanMap",
  outputs({ teacher, student, gradient }, { patch, height, width }) {
    expect(height % patch === 0 && width % patch === 0, `size ${height}x${width} is not a multiple of ${patch}`);
    const tokens = (height * width) / patch ** 2;
    const b = dim(expectActivation(teacher, "teacher", [-1, -1, patch * patch * 4]), 0);
    expect(dim(teacher, 1) >= tokens, `teacher has ${dim(teacher, 1)} rows for ${tokens} tokens`);
    expectActivation(student, "student", teacher.shape, teacher);
    expectShape(gradient, "gradient", gradient.dtype === "f32" ? [b, 3, height, width] : [b, height, width]);
    return [
      { shape: [b, tokens], dtype: "f32" },
      { shape: [b, width, 2], dtype: "f32" },
    ];
  },
  kernels({ inputs: { teacher, student, gradient }, outputs: [cleaned, ranges], attrs: { patch, height, width } }) {
    const flags = { FLOATS: gradient.dtype === "f32" };
    const motion = flags.FLOATS ? { gradient } : { packed: gradient };
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
  cost: (call) => ({ flops: 4 * elementCount(call.inputs.teacher.shape), bytes: bytesOf(call) }),
};
