import { expect, test } from "vitest";
import { paperTraining, type TrainingConfig } from "../../src/train/config.js";
import { slotCount } from "../../src/train/stage_graph.js";

const mib = 2 ** 20;
const target = (maxStorageBufferBindingSize: number) => ({
  limits: { maxStorageBufferBindingSize, maxBufferSize: 2 ** 30 } as GPUSupportedLimits,
});
const set = { sizes: [{ height: 1440, width: 2560 }], frameCount: 1000 };
const config = (microBatch: number): TrainingConfig => ({ ...paperTraining, batch: 8, microBatch });
const budget = { activations: 2 ** 30, frames: 2 ** 30 };

test("as many frames stay on the GPU as fit; what helps if a step's do not", () => {
  const [of, tight] = [config(1), { ...budget, frames: 40 * mib }];
  const fitting = slotCount(target(2 ** 30), set, of, budget);
  expect(fitting).toBeGreaterThan(30);
  expect(slotCount(target(2 ** 30), { ...set, frameCount: 20 }, of, budget)).toBe(20);
  expect(() => slotCount(target(2 ** 30), set, of, tight)).toThrow(
    /fit: use more memory for frames \(memory\.frames\)$/,
  );
  // A buffer of this adapter cannot hold them, whatever the memory is.
  expect(() => slotCount(target(40 * mib), set, of, budget)).toThrow(
    /only 3 fit: use smaller videos \(the adapter takes 40\.0 MiB in one buffer\)$/,
  );
  expect(() => slotCount(target(40 * mib), set, config(8), budget)).toThrow(
    /use a smaller micro-batch \(microBatch\) or smaller videos/,
  );
});
