import resizeWgsl from "../../shaders/resize.wgsl";
import { specialize } from "../gpu/wgsl.js";
import type { Graph, Kernel, Op, Tensor } from "../graph/graph.js";
import { dim, expectShape, groups, sampleWords } from "./common.js";

/** Height and width in pixels. */
export interface Size {
  height: number;
  width: number;
}

export interface ResizeAttrs {
  source: Size;
  size: Size;
}

export interface ResizeFramesAttrs extends ResizeAttrs {
  /** How many frames are new in a usual step. */
  perStep: number;
}

/** A slot number that stands for none. */
export const noSlot = 0xffffffff;

/** Words of a raw frame's slot: its bytes (rows × columns × 3, interleaved B, G, R), and one word to read into. */
export function rawSlotWords({ height, width }: Size): number {
  return Math.ceil((height * width * 3) / 4) + 1;
}

/** A raw frame's bytes, zero-padded to whole 4-byte words as WebGPU's uploads want them. */
export function wholeWords(data: Uint8Array): Uint8Array<ArrayBuffer> {
  if (data.length % 4 === 0) return data as Uint8Array<ArrayBuffer>;
  const padded = new Uint8Array(Math.ceil(data.length / 4) * 4);
  padded.set(data);
  return padded;
}

/**
 * For each position of a resized axis: one more than the left (upper) neighbour's index, which may be −1, and in the upper half-word the
 * weight of the right (lower) one in 1/2048. Half-pixel centres, weights rounded half to even, as OpenCV's INTER_LINEAR for 8-bit
 * images. Beyond the border OpenCV sets the weight to 0 along x; along y it mixes the border row with itself, which rounds otherwise.
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

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** Which of the file's kernels, as flags. */
interface ResizeKind {
  /** Of |before − after| of samples, in place of frames. */
  difference?: boolean;
  /** Results lie in the order in which slots are listed. */
  gather?: boolean;
}

/** The resize kernel for frames (or differences) of raw frames in slots of `slotWords`, `z` of them at once. */
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

/** Resizes the raw frames of the slots that are listed, up to the first that is none, into the same slots of a ring, which it updates in place. */
export const resizeFramesOp: Op<ResizeFramesAttrs> = {
  name: "resizeFrames",
  inPlace: [4],
  outputs([raw, columns, rows, slots, ring], { source, size }) {
    expectShape(raw, "raw frames", [dim(ring, 0), rawSlotWords(source)]);
    expectShape(columns, "column table", [size.width]);
    expectShape(rows, "row table", [size.height]);
    expectShape(slots, "slots", [-1]);
    return [expectShape(ring, "ring of resized frames", [-1, size.height, size.width])];
  },
  kernels({ inputs, outputs, attrs }) {
    const [raw, columns, rows, slots] = inputs as [Tensor, Tensor, Tensor, Tensor];
    const bindings = { raw, columns, rows, slots, resized: outputs[0] };
    return [resizeKernel({}, attrs.perStep, dim(raw, 1), attrs, bindings)];
  },
  cost({ attrs: { source, size, perStep } }) {
    return { flops: 0, bytes: perStep * 4 * (rawSlotWords(source) + size.height * size.width) };
  },
};

/** |frame[t−1] − frame[t+1]| at the source resolution, resized; one packed word a pixel, as the frames. */
export const motionGradientOp: Op<ResizeAttrs> = {
  name: "motionGradient",
  outputs([raw, columns, rows, samples], { source, size }) {
    expectShape(raw, "raw frames", [-1, rawSlotWords(source)]);
    expectShape(columns, "column table", [size.width]);
    expectShape(rows, "row table", [size.height]);
    expectShape(samples, "samples", [-1, sampleWords]);
    return [{ shape: [dim(samples, 0), size.height, size.width], dtype: "u32" }];
  },
  kernels({ inputs, outputs, attrs }) {
    const [raw, columns, rows, samples] = inputs as [Tensor, Tensor, Tensor, Tensor];
    const bindings = { raw, columns, rows, samples, resized: outputs[0] };
    return [resizeKernel({ difference: true }, dim(samples, 0), dim(raw, 1), attrs, bindings)];
  },
  cost(call) {
    const { source } = call.attrs;
    const pixels = call.outputs[0]?.shape.reduce((a, b) => a * b, 1) ?? 0;
    return { flops: 0, bytes: 4 * pixels + dim(call.inputs[3], 0) * 8 * rawSlotWords(source) };
  },
};

/** Source frames (raw, state) and their resized copies (state), and what resizes between them. */
export interface FrameRing {
  /** [slots, rawSlotWords(source)]: the host writes raw frames here. */
  raw: Tensor;
  /** [slots]: those that the next step resizes, then {@link noSlot}. */
  slots: Tensor;
  /** [slots, height, width] packed B, G, R, 0. */
  resized: Tensor;
  /** The motion gradient of samples [B, sampleWords]: [B, height, width] packed. */
  motionGradient(samples: Tensor): Tensor;
}

/**
 * Adds a ring of frames to a graph.
 * @param slots frames that it holds
 * @param perStep how many frames are new in a usual step; it may be more in others
 */
export function frameRing(graph: Graph, source: Size, size: Size, slots: number, perStep: number): FrameRing {
  const raw = graph.state("rawFrames", [slots, rawSlotWords(source)], "u32");
  const ring = graph.state("frames", [slots, size.height, size.width], "u32");
  const columns = graph.weight("columnTable", [size.width], interpolationTable(source.width, size.width, "x"));
  const rows = graph.weight("rowTable", [size.height], interpolationTable(source.height, size.height, "y"));
  const newSlots = graph.input("newSlots", [slots], "u32");
  const attrs = { source, size };
  const [resized] = graph.apply(resizeFramesOp, [raw, columns, rows, newSlots, ring], { ...attrs, perStep }) as [
    Tensor,
  ];
  return {
    raw,
    slots: newSlots,
    resized,
    motionGradient: (samples) => graph.apply(motionGradientOp, [raw, columns, rows, samples], attrs)[0],
  };
}
