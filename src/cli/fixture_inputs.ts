import type { StoredTensor } from "../checkpoint/tensor.js";
import { InputError } from "../errors.js";
import type { Tensor } from "../graph/graph.js";
import type { Program } from "../graph/program.js";
import { rawSlotWords, type Size } from "../ops/resize.js";
import type { FixtureCase } from "./fixture_case.js";

/** Which tokens a case keeps: each token's rank, and the kept ones in the order of their ranks. */
export function masksOf(fixture: FixtureCase, batch: number, tokens: number, keep: number) {
  let idsRestore: Uint32Array<ArrayBuffer>;
  if (fixture.has("in.ids_restore")) {
    idsRestore = Uint32Array.from(fixture.tensor("in.ids_restore").data, Number);
  } else {
    const noise = fixture.floats("in.noise");
    idsRestore = new Uint32Array(batch * tokens);
    for (let b = 0; b < batch; b++) {
      const own = noise.subarray(b * tokens, (b + 1) * tokens);
      const order = Array.from(own.keys()).sort((i, j) => own[i] - own[j]);
      for (const [rank, token] of order.entries()) idsRestore[b * tokens + token] = rank;
    }
  }
  const idsKeep = new Uint32Array(batch * keep);
  idsRestore.forEach((rank, i) => {
    if (rank >= tokens) throw new InputError(`${fixture.name}: in.ids_restore holds ${rank}, of ${tokens} tokens`);
    if (rank < keep) idsKeep[Math.floor(i / tokens) * keep + rank] = i % tokens;
  });
  return { idsRestore, idsKeep };
}

/** Writes a case's frames [B, 3, 3, H, W] into raw slots 3b, 3b + 1, 3b + 2. */
export function writeFrames(program: Program, raw: Tensor, frames: StoredTensor, batch: number, size: Size) {
  const pixels = size.height * size.width;
  const slotBytes = 4 * rawSlotWords(size);
  const bytes = new Uint8Array(slotBytes * 3 * batch);
  for (let slot = 0; slot < 3 * batch; slot++) {
    for (let c = 0; c < 3; c++) {
      for (let i = 0; i < pixels; i++)
        bytes[slot * slotBytes + i * 3 + c] = Number(frames.data[(slot * 3 + c) * pixels + i]);
    }
  }
  program.write(raw, bytes);
}

/** [B, channels, H, W] → a packed word a pixel. */
export function packPlanes(
  tensor: StoredTensor,
  channels: number,
  toByte: (value: number) => number,
): Uint32Array<ArrayBuffer> {
  const [batch, planes, height, width] = tensor.shape as [number, number, number, number];
  const pixels = height * width;
  const packed = new Uint32Array(batch * pixels);
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < pixels; i++) {
        const byte = Math.round(toByte(Number(tensor.data[(b * planes + c) * pixels + i])));
        packed[b * pixels + i] = packed[b * pixels + i] | (byte << (8 * c));
      }
    }
  }
  return packed;
}

/** The target where the file has one, else the current frame with an empty mask. */
export function packTargets(fixture: FixtureCase, batch: number, size: Size): Uint32Array<ArrayBuffer> {
  if (fixture.has("in.target")) return packPlanes(fixture.tensor("in.target"), 4, (v) => v * 127.5 + 127.5);
  const frames = fixture.tensor("in.frames_u8");
  const { height, width } = size;
  const planes = Array.from({ length: batch }, (_, b) =>
    frames.data.slice((b * 9 + 3) * height * width, (b * 9 + 6) * height * width),
  );
  const data = new Uint8Array(batch * 3 * height * width);
  planes.forEach((p, b) => {
    data.set(Uint8Array.from(p, Number), b * 3 * height * width);
  });
  return packPlanes({ dtype: "U8", shape: [batch, 3, height, width], data }, 3, (v) => v);
}

/** Rows without that of each sample's cls token: [B, 1 + L, N] → [B, L, N]. */
export function withoutCls(values: Float32Array, batch: number, tokens: number): Float32Array<ArrayBuffer> {
  const width = values.length / batch / (1 + tokens);
  const out = new Float32Array(batch * tokens * width);
  for (let b = 0; b < batch; b++) {
    const from = values.subarray((b * (1 + tokens) + 1) * width, (b + 1) * (1 + tokens) * width);
    out.set(from, b * tokens * width);
  }
  return out;
}
