import { describe, expect, it } from "vitest";
import { pseudoAnomalyDefaults } from "../../src/data/anomalies/pseudo_anomaly.js";
import { resizeBilinear } from "../../src/data/resize.js";
import { Graph } from "../../src/graph/graph.js";
import { Program } from "../../src/graph/program.js";
import { tokenGrid } from "../../src/model/masking.js";
import type { Size } from "../../src/ops/resize.js";
import { buildDataGraph } from "../../src/train/data_graph.js";
import { Loader } from "../../src/train/loader.js";
import { type DrawnSample, Sampler } from "../../src/train/sampler.js";
import type { TrainingSet } from "../../src/train/training_set.js";
import { useGpu } from "../support/gpu.js";
import { Random } from "../support/numbers.js";
import { loadSet, noise } from "../support/training_set.js";

const gpu = useGpu();

describe("micro-batches on the GPU", () => {
  const size = { height: 16, width: 32 };
  const pixels = size.height * size.width;
  const patch = 8;

  /** Loads micro-batches one after the other, with room for `slots` frames on the GPU. */
  async function run(set: TrainingSet, batches: readonly DrawnSample[][], slots: number, pastes: number) {
    const graph = new Graph(gpu());
    const samples = batches[0]!.length;
    const data = buildDataGraph(graph, {
      ...{ sources: set.sizes, size, patch, grid: tokenGrid(size, patch, 0.5), masking: "random" },
      ...{ samples, slots, pastes, maskGrowth: 0 },
    });
    for (const name of ["frames", "targets", "gradient", "samples", "idsRestore"] as const) {
      graph.output(name, data.batch[name]);
    }
    const program = await Program.compile(gpu(), graph);
    const loader = new Loader(program, data, set, 5);
    const results = [];
    const before = gpu().createdObjects;
    for (const batch of batches) {
      loader.prefetch(batch);
      await loader.write(batch);
      results.push((await program.run()) as Record<string, Uint32Array>);
    }
    expect(gpu().createdObjects).toBe(before);
    program.close();
    return results;
  }

  const bytes = (words: Uint32Array, image: number) => {
    const part = words.subarray(image * pixels, (image + 1) * pixels);
    return {
      bgr: Uint8Array.from({ length: 3 * pixels }, (_, i) => part[Math.floor(i / 3)]! >>> (8 * (i % 3))),
      fourth: Uint8Array.from(part, (word) => word >>> 24),
    };
  };
  const resized = (frame: { data: Uint8Array }, from: Size) => resizeBilinear({ ...from, data: frame.data }, size).data;

  it("hold frames, motion, targets and masks of samples of several sizes, with many slots and few", async () => {
    const random = new Random(5);
    const large = noise(random, "large", { height: 30, width: 41 }, [...Array(12).keys()]);
    const small = noise(random, "small", { height: 17, width: 24 }, [...Array(9).keys()]);
    const pasted = noise(random, "pasted", { height: 20, width: 30 }, [...Array(9).keys()]);
    const masks = noise(random, "masks", { height: 20, width: 30 }, [...Array(9).keys()]);
    const abnormal = { frames: pasted.video.open, masks: masks.video.open };
    const set = await loadSet([large.video, { ...small.video, abnormal }], { anomalies: "files" });
    expect(set.sizes.length).toBe(3);
    const sampler = new Sampler(set, { seed: 2, size, share: 0.7, pseudo: pseudoAnomalyDefaults });
    const drawn = Array.from({ length: 21 }, (_, i) => sampler.draw(100 + i, 0, i));
    const batches = [0, 1, 2, 3, 4, 5, 6].map((i) => drawn.slice(3 * i, 3 * i + 3));
    const results = await run(set, batches, set.frameCount, 1);
    expect(await run(set, batches, 27, 1)).toEqual(results);
    const frameOf = (id: number): [{ data: Uint8Array }, Size] => {
      const all = [large, small, pasted, masks].flatMap((v) => v.frames.map((frame) => [frame, v.size] as const));
      return [...all[id]!];
    };
    let abnormalSeen = 0;
    for (const [i, sample] of drawn.entries()) {
      const [b, { frames, targets, gradient, samples }] = [i % 3, results[Math.floor(i / 3)]!];
      const shown = sample.pastes.length > 0 ? sample.frames.slice(3, 6) : sample.frames.slice(0, 3);
      for (const [t, id] of shown.entries()) {
        expect(bytes(frames!, 3 * b + t)).toEqual({ bgr: resized(...frameOf(id!)), fourth: new Uint8Array(pixels) });
      }
      const target = bytes(targets!, b);
      expect(target.bgr).toEqual(resized(...frameOf(sample.frames[1]!)));
      const mask = sample.pastes.length > 0 ? resized(...frameOf(sample.frames[6]!)) : new Uint8Array(3 * pixels);
      expect(target.fourth).toEqual(
        Uint8Array.from({ length: pixels }, (_, p) => (Math.max(...mask.subarray(3 * p, 3 * p + 3)) >= 128 ? 255 : 0)),
      );
      if (sample.pastes.length > 0) abnormalSeen++;
      const [before, from] = frameOf(sample.before);
      const [after] = frameOf(sample.after);
      const moved = { data: before.data.map((value, k) => Math.abs(value - after.data[k]!)) };
      expect(bytes(gradient!, b).bgr).toEqual(resized(moved, from));
      // Slots of frames and target, and the number that the random mask depends on.
      expect([...samples!.subarray(8 * b, 8 * b + 8)]).toEqual([3 * b, 3 * b + 1, 3 * b + 2, 0, 0, b, 100 + i, 0]);
    }
    expect(abnormalSeen).toBeGreaterThan(2);
  });

  it("have the current frame as target if there are no anomalies", async () => {
    const random = new Random(6);
    const own = noise(random, "v", size, [...Array(10).keys()]);
    const set = await loadSet([own.video]);
    const sampler = new Sampler(set, { seed: 2, size, share: 0, pseudo: pseudoAnomalyDefaults });
    const drawn = [0, 1].map((i) => sampler.draw(i, 0, i));
    const [result] = await run(set, [drawn], 10, 0);
    for (const [b, { frames }] of drawn.entries()) {
      const target = result!.samples![8 * b + 5]!;
      const current = own.frames[frames[1]!]!.data;
      expect(bytes(result!.targets!, target)).toEqual({ bgr: current, fourth: new Uint8Array(pixels) });
    }
  });
});
