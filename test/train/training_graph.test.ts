import { expect, it } from "vitest";
import { Program } from "../../src/graph/program.js";
import { freshWeights } from "../../src/model/init.js";
import { adamWHyper, paperAdamW } from "../../src/train/adamw.js";
import { optimizerPhase } from "../../src/train/training_graph.js";
import { testAdapter, useGpu } from "../support/gpu.js";
import { tinyConfig } from "../support/model.js";
import { writeSceneBatch } from "../support/scene_batch.js";
import { trainingGraph } from "../support/training.js";

const gpu = useGpu(testAdapter, { guarded: false });
const size = { height: 32, width: 48 };
const batch = 8;

it("learns eight frames with fixed masks by heart, with the same bits each time and no allocations", async () => {
  const built = trainingGraph(gpu(), {
    ...{ config: tinyConfig, size, batch, stage: 1, loss: "gradient-weighted" },
    ...{ normalizeTarget: false, dropout: 0 },
  });
  const program = await Program.compile(gpu(), built.graph);
  const { trained, running } = built.layout.flatten(freshWeights(tinyConfig, 1));

  writeSceneBatch(program, built, size);

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
      losses.push(loss[0]);
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
    expect(losses.at(-1)! / losses[0]).toBeLessThan(0.05);
    const again = await train(10);
    expect(again).toEqual(losses.slice(0, 10));
  } finally {
    program.close();
  }
});
