import { expect, it } from "vitest";
import { createScene } from "../../src/data/scene/scene.js";
import { Program } from "../../src/graph/program.js";
import { freshWeights } from "../../src/model/init.js";
import { rawSlotWords } from "../../src/ops/resize.js";
import { adamWHyper, paperAdamW } from "../../src/train/adamw.js";
import { optimizerPhase } from "../../src/train/training_graph.js";
import { useGpu } from "../support/gpu.js";
import { packImages, packSamples } from "../support/images.js";
import { tinyConfig } from "../support/model.js";
import { Random } from "../support/numbers.js";
import { trainingGraph } from "../support/training.js";

const gpu = useGpu();
const size = { height: 32, width: 48 };
const batch = 8;
const [tokens, keep] = [24, 12];

it("eight frames under fixed masks are learnt by heart, the same bits each time; nothing is allocated meanwhile", async () => {
  const built = trainingGraph(gpu(), {
    ...{ config: tinyConfig, size, batch, stage: 1, loss: "gradient-weighted" },
    ...{ normalizeTarget: false, dropout: 0 },
  });
  const program = await Program.compile(gpu(), built.graph);
  const { trained, running } = built.layout.flatten(freshWeights(tinyConfig, 1));

  const video = createScene({ ...size, fps: 5 }).video({ index: 0, frames: 60, anomalies: "none" });
  const frames = Array.from({ length: 60 }, (_, i) => video.render(i).image);
  const image = (data: Uint8Array) => ({ ...size, channels: 3, data });
  const times = Array.from({ length: batch }, (_, b) => 5 + 6 * b);
  const words = rawSlotWords(size);
  const raw = new Uint8Array(3 * batch * words * 4);
  for (const [b, t] of times.entries()) {
    for (let i = 0; i < 3; i++) raw.set(frames[t + 3 * (i - 1)]!, (3 * b + i) * words * 4);
  }
  const moved = times.map((t) => frames[t - 1]!.map((value, i) => Math.abs(value - frames[t + 1]![i]!)));
  const random = new Random(1);
  const idsRestore = new Uint32Array(batch * tokens);
  const idsKeep = new Uint32Array(batch * keep);
  for (let b = 0; b < batch; b++) {
    for (const [token, rank] of random.permutation(tokens).entries()) {
      idsRestore[b * tokens + token] = rank;
      if (rank < keep) idsKeep[b * keep + rank] = token;
    }
  }
  const { inputs } = built;
  program.write(inputs.raw, raw);
  program.write(
    inputs.slots,
    Uint32Array.from({ length: 3 * batch }, (_, i) => i),
  );
  const slots = times.map((_, b) => ({ previous: 3 * b, current: 3 * b + 1, next: 3 * b + 2, target: b }));
  program.write(inputs.samples, packSamples(slots));
  program.write(inputs.targets, packImages(times.map((t) => image(frames[t]!))));
  program.write(inputs.gradient, packImages(moved.map(image)));
  program.write(inputs.idsRestore, idsRestore);
  program.write(inputs.idsKeep, idsKeep);
  program.write(built.lossScale, Float32Array.of(1));

  const settings = { ...paperAdamW, learningRate: 5e-3, weightDecay: 0 };
  async function train(steps: number): Promise<number[]> {
    program.write(built.trained, trained);
    program.write(built.running, running);
    for (const moments of built.moments) program.write(moments, new Float32Array(built.layout.length));
    const losses: number[] = [];
    for (let step = 1; step <= steps; step++) {
      program.write(built.hyper.decays, adamWHyper(settings, step, true));
      program.write(built.hyper.plain, adamWHyper(settings, step, false));
      const { loss } = await program.run();
      program.submit(optimizerPhase);
      losses.push((loss as Float32Array)[0]!);
    }
    return losses;
  }
  try {
    const losses = await train(1);
    const { allocatedBytes, createdObjects } = gpu();
    losses.push(...(await train(130)).slice(1));
    expect({ allocatedBytes, createdObjects }).toEqual({
      allocatedBytes: gpu().allocatedBytes,
      createdObjects: gpu().createdObjects,
    });
    expect(losses.at(-1)! / losses[0]!).toBeLessThan(0.05);
    const again = await train(10);
    expect(again).toEqual(losses.slice(0, 10));
  } finally {
    program.close();
  }
});
