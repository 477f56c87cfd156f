import { describe, expect, it } from "vitest";
import { pseudoAnomalyDefaults } from "../../src/data/anomalies/pseudo_anomaly.js";
import type { Dataset, DatasetVideo } from "../../src/data/dataset.js";
import { fromIterable } from "../../src/data/frame.js";
import { resizeBilinear } from "../../src/data/resize.js";
import { Graph } from "../../src/graph/graph.js";
import { Program } from "../../src/graph/program.js";
import { tokenGrid } from "../../src/model/masking.js";
import type { Size } from "../../src/ops/resize.js";
import { buildDataGraph } from "../../src/train/data_graph.js";
import { MemoryArchive } from "../../src/train/frame_archive.js";
import { Loader } from "../../src/train/loader.js";
import { type DrawnSample, Sampler } from "../../src/train/sampler.js";
import { TrainingSet } from "../../src/train/training_set.js";
import { useGpu } from "../support/gpu.js";
import { Random } from "../support/numbers.js";

const gpu = useGpu();

/** A video of noise, with these frame numbers. */
function noise(random: Random, name: string, { width, height }: Size, numbers: readonly number[]) {
  const frames = numbers.map((number) => ({ data: random.bytes(width * height * 3), number }));
  const open = async () => fromIterable(() => frames, { width, height, name });
  return { frames, size: { width, height }, video: { name, path: name, frameCount: numbers.length, open } };
}

const datasetOf = (train: DatasetVideo[]): Dataset => ({ layout: "folder", root: "noise", train, test: [], notes: [] });

async function loadSet(train: DatasetVideo[], anomalies: "files" | "none") {
  return TrainingSet.load(datasetOf(train), { archive: new MemoryArchive(), anomalies });
}

describe("training set", () => {
  it("finds neighbours by frame number; a missing one is replaced by the frame itself", async () => {
    const random = new Random(1);
    const other = noise(random, "a", { height: 8, width: 8 }, [0, 1]).video;
    const set = await loadSet([other, noise(random, "b", { height: 8, width: 8 }, [2, 3, 5, 6, 9]).video], "none");
    const clip = set.clips[1]!;
    expect(clip.first).toBe(2);
    const of = (position: number) => set.framesOf(clip, position);
    // Of frame 2, the neighbours 5 and 3 exist, −1 and 1 do not.
    expect(of(0)).toEqual({ frames: [2, 2, 4], before: 2, after: 3 });
    expect(of(2)).toEqual({ frames: [2, 4, 4], before: 4, after: 5 });
    expect(of(3)).toEqual({ frames: [3, 5, 6], before: 4, after: 5 });
    expect(of(4)).toEqual({ frames: [5, 6, 6], before: 6, after: 6 });
  });

  it("refuses what it cannot learn from", async () => {
    const random = new Random(2);
    const own = noise(random, "v", { height: 8, width: 8 }, [0, 1, 2]);
    const short = noise(random, "short", { height: 8, width: 8 }, [0, 1]);
    await expect(loadSet([], "none")).rejects.toThrow("noise has no training videos");
    await expect(loadSet([own.video], "files")).rejects.toThrow("noise has no train/frames_abnormal");
    const abnormal = { frames: short.video.open, masks: own.video.open };
    await expect(loadSet([{ ...own.video, abnormal }], "files")).rejects.toThrow(
      "v has 3 frames and 2 abnormal frames",
    );
  });
});

describe("sampler", () => {
  it("takes every frame once per epoch, in an order that depends on seed and epoch only", async () => {
    const random = new Random(3);
    const set = await loadSet([noise(random, "v", { height: 8, width: 8 }, [...Array(40).keys()]).video], "none");
    const options = { seed: 7, size: { height: 8, width: 8 }, share: 0.25, pseudo: pseudoAnomalyDefaults };
    const order = (sampler: Sampler, epoch: number) =>
      Array.from({ length: 40 }, (_, i) => sampler.draw(epoch * 40 + i, epoch, i).frames[1]!);
    const sampler = new Sampler(set, options);
    const [first, second] = [order(sampler, 0), order(sampler, 1)];
    expect([...first].sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
    expect([...second].sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
    expect(second).not.toEqual(first);
    expect(first).not.toEqual([...Array(40).keys()]);
    expect(order(new Sampler(set, options), 1)).toEqual(second);
    expect(order(new Sampler(set, { ...options, seed: 8 }), 1)).not.toEqual(second);
  });

  it("draws abnormal samples at the given rate", async () => {
    const random = new Random(4);
    const own = noise(random, "v", { height: 8, width: 8 }, [...Array(50).keys()]);
    const abnormal = { frames: own.video.open, masks: own.video.open };
    const set = await loadSet([{ ...own.video, abnormal }], "files");
    const size = { height: 8, width: 8 };
    for (const share of [0, 0.25, 1]) {
      const sampler = new Sampler(set, { seed: 1, size, share, pseudo: pseudoAnomalyDefaults });
      const count = Array.from({ length: 2000 }, (_, i) => sampler.draw(i, Math.floor(i / 50), i % 50)).filter(
        ({ anomaly }) => anomaly,
      ).length;
      // Four standard deviations.
      expect(Math.abs(count - 2000 * share)).toBeLessThanOrEqual(4 * Math.sqrt(2000 * share * (1 - share)));
    }
  });
});

describe("micro-batches on the GPU", () => {
  const size = { height: 16, width: 32 };
  const pixels = size.height * size.width;
  const patch = 8;

  /** Loads micro-batches one after the other, with room for `slots` frames on the GPU. */
  async function run(set: TrainingSet, batches: readonly DrawnSample[][], slots: number, pasted: boolean) {
    const graph = new Graph(gpu());
    const samples = batches[0]!.length;
    const data = buildDataGraph(graph, {
      ...{ sources: set.sizes, size, patch, grid: tokenGrid(size, patch, 0.5), masking: "random" },
      ...{ samples, slots, pasted, maskGrowth: 0 },
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
    const set = await loadSet([large.video, { ...small.video, abnormal }], "files");
    expect(set.sizes.length).toBe(3);
    const sampler = new Sampler(set, { seed: 2, size, share: 0.7, pseudo: pseudoAnomalyDefaults });
    const drawn = Array.from({ length: 21 }, (_, i) => sampler.draw(100 + i, 0, i));
    const batches = [0, 1, 2, 3, 4, 5, 6].map((i) => drawn.slice(3 * i, 3 * i + 3));
    const results = await run(set, batches, set.frameCount, true);
    expect(await run(set, batches, 27, true)).toEqual(results);
    const frameOf = (id: number): [{ data: Uint8Array }, Size] => {
      const all = [large, small, pasted, masks].flatMap((v) => v.frames.map((frame) => [frame, v.size] as const));
      return [...all[id]!];
    };
    let abnormalSeen = 0;
    for (const [i, sample] of drawn.entries()) {
      const [b, { frames, targets, gradient, samples }] = [i % 3, results[Math.floor(i / 3)]!];
      const shown = sample.anomaly ? sample.frames.slice(3, 6) : sample.frames.slice(0, 3);
      for (const [t, id] of shown.entries()) {
        expect(bytes(frames!, 3 * b + t)).toEqual({ bgr: resized(...frameOf(id!)), fourth: new Uint8Array(pixels) });
      }
      const target = bytes(targets!, b);
      expect(target.bgr).toEqual(resized(...frameOf(sample.frames[1]!)));
      const mask = sample.anomaly ? resized(...frameOf(sample.frames[6]!)) : new Uint8Array(3 * pixels);
      expect(target.fourth).toEqual(
        Uint8Array.from({ length: pixels }, (_, p) => (Math.max(...mask.subarray(3 * p, 3 * p + 3)) >= 128 ? 255 : 0)),
      );
      if (sample.anomaly) abnormalSeen++;
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
    const set = await loadSet([own.video], "none");
    const sampler = new Sampler(set, { seed: 2, size, share: 0, pseudo: pseudoAnomalyDefaults });
    const drawn = [0, 1].map((i) => sampler.draw(i, 0, i));
    const [result] = await run(set, [drawn], 10, false);
    for (const [b, { frames }] of drawn.entries()) {
      const target = result!.samples![8 * b + 5]!;
      const current = own.frames[frames[1]!]!.data;
      expect(bytes(result!.targets!, target)).toEqual({ bgr: current, fourth: new Uint8Array(pixels) });
    }
  });
});
