import { createScene } from "../../src/data/scene/scene.js";
import type { Program } from "../../src/graph/program.js";
import { rawSlotWords, type Size } from "../../src/ops/resize.js";
import { packImages, packSamples } from "./images.js";
import { Random } from "./numbers.js";
import type { trainingGraph } from "./training.js";

/**
 * Writes a batch of the scene's frames and fixed masks to the inputs of a test's training graph.
 */
export function writeSceneBatch(
  program: Program,
  { inputs, lossScale }: ReturnType<typeof trainingGraph>,
  size: Size,
): void {
  const [batch, tokens] = inputs.idsRestore.shape as [number, number];
  const keep = inputs.idsKeep.shape[1];
  const video = createScene({ ...size, fps: 5 }).video({ index: 0, frames: 60, anomalies: "none" });
  const frames = Array.from({ length: 60 }, (_, i) => video.render(i).image);
  const image = (data: Uint8Array) => ({ ...size, channels: 3, data });
  const times = Array.from({ length: batch }, (_, b) => 5 + 6 * b);
  const words = rawSlotWords(size);
  const raw = new Uint8Array(3 * batch * words * 4);
  for (const [b, t] of times.entries()) {
    for (let i = 0; i < 3; i++) raw.set(frames[t + 3 * (i - 1)], (3 * b + i) * words * 4);
  }
  const moved = times.map((t) => frames[t - 1].map((value, i) => Math.abs(value - frames[t + 1][i])));
  const random = new Random(1);
  const idsRestore = new Uint32Array(batch * tokens);
  const idsKeep = new Uint32Array(batch * keep);
  for (let b = 0; b < batch; b++) {
    for (const [token, rank] of random.permutation(tokens).entries()) {
      idsRestore[b * tokens + token] = rank;
      if (rank < keep) idsKeep[b * keep + rank] = token;
    }
  }
  program.write(inputs.raw, raw);
  program.write(
    inputs.slots,
    Uint32Array.from({ length: 3 * batch }, (_, i) => i),
  );
  const slots = times.map((_, b) => ({ previous: 3 * b, current: 3 * b + 1, next: 3 * b + 2, target: b }));
  program.write(inputs.samples, packSamples(slots));
  program.write(inputs.targets, packImages(times.map((t) => image(frames[t]))));
  program.write(inputs.gradient, packImages(moved.map(image)));
  program.write(inputs.idsRestore, idsRestore);
  program.write(inputs.idsKeep, idsKeep);
  program.write(lossScale, Float32Array.of(1));
}
