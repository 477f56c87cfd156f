// Records: the token maps of a video, from which any score can be computed later.

import { parseSafetensors, serializeSafetensors } from "../checkpoint/safetensors.js";
import type { StoredTensor } from "../checkpoint/tensor.js";
import { counted } from "../counted.js";
import type { FrameSource } from "../data/frame.js";
import type { Detector } from "../detector/detector.js";
import type { TokenMaps } from "../detector/token_maps.js";
import { InputError } from "../errors.js";

/** The token maps of a video under one masking: enough for every scoring option. */
export interface VideoRecord {
  /** Size of the video's frames in pixels. */
  width: number;
  height: number;
  /** Frame numbers. */
  frames: number[];
  /** Seconds from the start; absent if the video has no clock. */
  times?: number[];
  /** One entry per frame. */
  tokens: TokenMaps[];
}

/**
 * Runs a video through a detector and keeps its token maps.
 * @param detector opened with `tokenMaps`
 * @param onFrame called after each frame; the next one waits for it
 * @throws InputError if the source cannot be read, GpuError if the GPU fails, the signal's reason
 */
export async function recordVideo(
  detector: Detector,
  source: FrameSource,
  signal?: AbortSignal,
  onFrame: () => void | Promise<void> = () => {},
): Promise<VideoRecord> {
  const record: VideoRecord = { width: source.width, height: source.height, frames: [], tokens: [] };
  const times: number[] = [];
  for await (const { frame, time, tokens } of detector.stream(source, signal)) {
    if (!tokens) throw new Error("to be evaluated, a detector must be opened with { tokenMaps: true }");
    record.frames.push(frame);
    record.tokens.push(tokens);
    if (time !== undefined) times.push(time);
    await onFrame();
  }
  if (times.length > 0) record.times = times;
  return record;
}

const floatMaps = ["student", "target", "anomaly", "motion", "movingAnomaly", "largestMotion", "cleaned"] as const;

/**
 * A record as a safetensors file, with maps [frames, rows, columns].
 * @param metadata how it was made
 */
export function encodeRecord(record: VideoRecord, metadata: Readonly<Record<string, string>>): Uint8Array {
  const first = record.tokens[0];
  if (!first) throw new Error("a record without frames cannot be stored");
  const { rows, columns } = first;
  const shape = [record.tokens.length, rows, columns];
  const tensors = new Map<string, StoredTensor>();
  tensors.set("frames", { dtype: "F64", shape: [shape[0]], data: Float64Array.from(record.frames) });
  if (record.times) {
    tensors.set("times", { dtype: "F64", shape: [record.times.length], data: Float64Array.from(record.times) });
  }
  for (const name of floatMaps) {
    if (!first[name]) continue;
    const data = new Float32Array(shape.reduce((a, b) => a * b));
    record.tokens.forEach((maps, i) => {
      data.set(maps[name]!, i * rows * columns);
    });
    tensors.set(name, { dtype: "F32", shape, data });
  }
  const visible = new Uint8Array(shape.reduce((a, b) => a * b));
  record.tokens.forEach((maps, i) => {
    visible.set(maps.visible, i * rows * columns);
  });
  tensors.set("visible", { dtype: "U8", shape, data: visible });
  const size = { width: String(record.width), height: String(record.height) };
  return serializeSafetensors(tensors, { ...metadata, ...size });
}

/**
 * Reads what {@link encodeRecord} wrote.
 * @param name the file, for messages
 * @throws InputError if the file is not a record
 */
export function decodeRecord(bytes: Uint8Array, name: string): VideoRecord {
  const { metadata, tensors } = parseSafetensors(bytes, name);
  const get = (key: string, dtype: string): StoredTensor => {
    const tensor = tensors.get(key);
    if (tensor?.dtype !== dtype) {
      throw new InputError(`${name} is not a record of scores: it has no ${dtype} tensor ${key}`);
    }
    return tensor;
  };
  const [width, height] = [Number(metadata.width), Number(metadata.height)];
  if (!(width > 0 && height > 0)) throw new InputError(`${name} is not a record of scores: it has no size`);
  const [count, rows, columns] = get("visible", "U8").shape;
  const size = rows * columns;
  for (const key of floatMaps) {
    if (key === "cleaned" && !tensors.has(key)) continue;
    const { shape } = get(key, "F32");
    if (shape.join() !== [count, rows, columns].join()) {
      throw new InputError(`${name}: ${key} has the shape [${shape}], not [${count}, ${rows}, ${columns}]`);
    }
  }
  const frames = Array.from(get("frames", "F64").data as Float64Array);
  const times = tensors.has("times") ? Array.from(get("times", "F64").data as Float64Array) : undefined;
  if (frames.length !== count || (times && times.length !== count)) {
    throw new InputError(`${name}: ${counted(frames.length, "frame number")} for ${counted(count, "frame")}`);
  }
  const tokens = frames.map((_, i): TokenMaps => {
    const map = (key: string) => (get(key, "F32").data as Float32Array).subarray(i * size, (i + 1) * size);
    return {
      rows,
      columns,
      student: map("student"),
      target: map("target"),
      anomaly: map("anomaly"),
      motion: map("motion"),
      movingAnomaly: map("movingAnomaly"),
      largestMotion: map("largestMotion"),
      ...(tensors.has("cleaned") && { cleaned: map("cleaned") }),
      visible: (get("visible", "U8").data as Uint8Array).subarray(i * size, (i + 1) * size),
    };
  });
  return { width, height, frames, ...(times && { times }), tokens };
}
