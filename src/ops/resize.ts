/** What the ops share that resize raw frames: slots, OpenCV's interpolation, the kernel. */
import resizeWgsl from "../../shaders/resize.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Graph, Kernel, Tensor } from "../graph/graph.js";
import { groups } from "./common.js";

/** Height and width in pixels. */
export interface Size {
  height: number;
  width: number;
}

export interface ResizeAttrs {
  source: Size;
  size: Size;
}

/** The slot number that stands for no slot. */
export const noSlot = 0xffffffff;

/**
 * Words of a raw frame's slot: its bytes (rows × columns × 3, interleaved B, G, R), and one spare
 * word that reads may reach.
 */
export function rawSlotWords({ height, width }: Size): number {
  return Math.ceil((height * width * 3) / 4) + 1;
}

/** A raw frame's bytes, zero-padded to whole 4-byte words, which WebGPU's uploads need. */
export function wholeWords(data: Uint8Array): Uint8Array<ArrayBuffer> {
  if (data.length % 4 === 0) return data as Uint8Array<ArrayBuffer>;
  const padded = new Uint8Array(Math.ceil(data.length / 4) * 4);
  padded.set(data);
  return padded;
}

/**
 * For each position of a resized axis: one more than the left (upper) neighbour's index, which may
 * be −1, and in the upper half-word the weight of the right (lower) neighbour in 1/2048. Half-pixel
 * centres, weights rounded half to even, as OpenCV's INTER_LINEAR for 8-bit images. Beyond the
 * border OpenCV sets the weight to 0 along x; along y it mixes the border row with itself, which
 * rounds differently.
 */
export function interpolationTable(source: number, size: number, axis: "x" | "y"): Uint32Array {
  const table = new Uint32Array(size);
  for (let i = 0; i < size; i++) {
    const position = Math.fround((i + 0.5) * (source / size) - 0.5);
    let left = Math.floor(position);
    let fraction = Math.fround(position - left);
    if (axis === "x" && left < 0) [left, fraction] = [0, 0];
    if (axis === "x" && left >= source - 1) [left, fraction] = [source - 1, 0];
    table[i] = (left + 1) | (roundHalfToEven(fraction * 2048) << 16);
  }
  return table;
}

/** Adds both axes' tables to a graph: `columns` [width] and `rows` [height]. */
export function interpolationTables(
  graph: Graph,
  source: Size,
  size: Size,
  [columns, rows]: readonly [string, string],
): { columns: Tensor; rows: Tensor } {
  return {
    columns: graph.weight(columns, [size.width], interpolationTable(source.width, size.width, "x")),
    rows: graph.weight(rows, [size.height], interpolationTable(source.height, size.height, "y")),
  };
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** Which of the WGSL file's kernels, as flags. */
interface ResizeKind {
  /** Resizes |before − after| of samples, in place of frames. */
  difference?: boolean;
  /** Writes results in the order in which slots are listed. */
  gather?: boolean;
}

/**
 * The kernel that resizes raw frames (or differences of them) in slots of `slotWords`, `z` of them
 * at once.
 */
export function resizeKernel(
  { difference = false, gather = false }: ResizeKind,
  z: number,
  slotWords: number,
  { source, size }: ResizeAttrs,
  bindings: Kernel["bindings"],
): Kernel {
  return {
    label: difference ? "motion gradient" : "resize",
    wgsl: specialize(resizeWgsl, {
      constants: {
        SOURCE_HEIGHT: source.height,
        SOURCE_WIDTH: source.width,
        SLOT_WORDS: slotWords,
        HEIGHT: size.height,
        WIDTH: size.width,
      },
      flags: {
        DIFFERENCE: difference,
        GATHER: gather,
        SAME: source.height === size.height && source.width === size.width,
      },
    }),
    entryPoint: "resize",
    bindings,
    workgroups: [groups(size.width, 64), size.height, z],
  };
}
