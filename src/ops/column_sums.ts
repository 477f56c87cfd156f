// Adds up partial sums: the last stage of the reductions of training that column_sum.ts does not
// make.
import columnSumsWgsl from "../../shaders/column_sums.wgsl";
import type { Target } from "../gpu/gpu.js";
import { specialize } from "../gpu/wgsl.js";
import { elementCount, type Kernel, type Tensor } from "../graph/graph.js";
import { groups } from "./common.js";

/**
 * How a workgroup adds up columns of vec4s: COLUMNS neighbouring ones, by LANES invocations each. A
 * software adapter gives a column to one invocation, which needs no barrier.
 */
export function columnTile({ adapter }: Target): {
  constants: { COLUMNS: number; LANES: number; WORKGROUP: number };
  flags: { SHARED: boolean };
} {
  const [columns, lanes] = [8, adapter.kind === "gpu" ? 32 : 1];
  return { constants: { COLUMNS: columns, LANES: lanes, WORKGROUP: columns * lanes }, flags: { SHARED: lanes > 1 } };
}

/**
 * The last stage of a reduction: adds up rows of as many elements as `sums` has, in a fixed order.
 * `source` has `rows` of them, the first at `start`, `stride` elements apart. All numbers of
 * elements are multiples of 4.
 */
export function columnSums(
  target: Target,
  label: string,
  source: Tensor,
  sums: Tensor,
  { rows, stride, start = 0 }: { rows: number; stride: number; start?: number },
): Kernel {
  const count = elementCount(sums.shape) / 4;
  const constants = { COUNT: count, ROWS: rows, STRIDE: stride / 4, START: start / 4 };
  const tile = columnTile(target);
  return {
    label,
    wgsl: specialize(columnSumsWgsl, {
      constants: { ...constants, ...tile.constants },
      types: { Act: source.dtype },
      flags: tile.flags,
    }),
    entryPoint: "columnSums",
    bindings: { source, sums },
    workgroups: [groups(count, tile.constants.COLUMNS), 1, 1],
  };
}
