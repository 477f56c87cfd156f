import { expect, it } from "vitest";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.js";
import { fromIterable } from "../../src/data/frame.js";
import { Detector, type DetectorOptions } from "../../src/detector/detector.js";
import type { Gpu } from "../../src/gpu/gpu.js";
import { asGpu, testAdapter, useGpu } from "../support/gpu.js";
import { randomWeights, tinyConfig } from "../support/model.js";
import { Random } from "../support/numbers.js";

const gpu = useGpu(testAdapter, { guarded: false });
const size = { height: 64, width: 64 };
const config = { ...tinyConfig, encoderWidth: 16, decoderWidth: 16 };
const checkpoint: Checkpoint = {
  ...{
    config,
    weights: new Map(randomWeights(config, 1)),
    extras: new Map(),
    settings: {},
    source: "a test",
    overlaid: 0,
  },
};
const random = new Random(3);
const frames = Array.from({ length: 4 }, () => random.bytes(size.height * size.width * 3));

async function scores(on: Gpu, options: DetectorOptions, signal?: AbortSignal): Promise<number[]> {
  const detector = await Detector.open(checkpoint, { gpu: on, size, maskRatio: 0, batch: 2, dtype: "f32", ...options });
  try {
    const found: number[] = [];
    for await (const { score } of detector.stream(
      fromIterable(() => frames, size),
      signal,
    ))
      found.push(score);
    return found;
  } finally {
    detector.close();
  }
}

it("a detector checks and tunes kernels at the first use of a GPU only, and not with tune: false", {
  timeout: 600_000,
}, async () => {
  const own = asGpu(gpu());
  own.tuning = new Map();
  const kept: string[] = [];
  own.keepTuning = async (choices) => kept.push(...choices.keys());
  const lines: string[] = [];
  const onNotice = (line: string) => lines.push(line);

  const untuned = await scores(own, { tune: false, onNotice });
  expect(lines).toEqual([]);
  expect(own.tuning.size).toBe(0);

  const controller = new AbortController();
  controller.abort(new Error("enough"));
  await expect(scores(own, { onNotice }, controller.signal)).rejects.toThrow("enough");
  expect(own.tuning.size).toBe(0);
  lines.length = 0;

  const before = own.allocatedBytes;
  const tuned = await scores(own, { onNotice });
  expect(own.allocatedBytes).toBe(before);
  expect(lines).toEqual([`checking kernels on ${own.adapter.description}: at most 5 s, once per model and size`]);
  expect([...own.tuning.keys()]).toEqual(kept);
  expect(kept.some((key) => key.startsWith("linear f32 "))).toBe(true);
  for (const [i, score] of tuned.entries()) expect(Math.abs(score / untuned[i] - 1)).toBeLessThan(1e-5);

  lines.length = 0;
  expect(await scores(own, { onNotice })).toEqual(tuned);
  expect(lines).toEqual([]);

  // On a software adapter nothing is checked.
  await scores(gpu(), { onNotice });
  expect(lines).toEqual([]);
});
