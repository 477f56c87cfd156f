import { describe, expect, it } from "vitest";
import type { DatasetVideo } from "../../src/data/dataset.js";
import { sceneDataset } from "../../src/data/scene/dataset.js";
import { InputError } from "../../src/errors.js";
import { type EvaluationSettings, paperEvaluation } from "../../src/eval/evaluation.js";
import { Detector } from "../../src/node/detector.js";
import { evaluate } from "../../src/node/evaluate.js";
import { testAdapter, useGpu } from "../support/gpu.js";
import { randomCheckpoint, tinyConfig } from "../support/model.js";

const gpu = useGpu(testAdapter, { guarded: false });

describe("the procedural scene, evaluated in memory", () => {
  it("gives every figure from the scene's ground truth", async () => {
    const checkpoint = randomCheckpoint(tinyConfig, 1);
    const dataset = sceneDataset({ width: 120, height: 80, fps: 5, train: 0, test: 2, frames: 30 });
    const size = { height: 64, width: 96 };
    const detector = await Detector.open(checkpoint, { gpu: gpu(), size, tokenMaps: true, batch: 4 });
    try {
      let frames = 0;
      const settings: EvaluationSettings = { ...paperEvaluation, map: "moving-error", smoothing: { kind: "none" } };
      const result = await evaluate(dataset, detector, {
        settings,
        onFrames: (count) => {
          frames += count;
        },
      });
      expect(frames).toBe(60);
      for (const { name, labels, scores } of result.videos) {
        const truth = await dataset.test.find((video) => video.name === name)?.labels?.();
        expect(labels).toEqual(truth);
        expect(new Set(labels)).toEqual(new Set([0, 1]));
        expect(new Set(scores).size).toBe(30);
      }
      for (const figure of ["microAuc", "macroAuc", "pixelAuc", "rbdc", "tbdc"] as const) {
        expect(result[figure]).toBeGreaterThanOrEqual(0);
        expect(result[figure]).toBeLessThanOrEqual(1);
      }
      expect(result.roc?.tpr.at(-1)).toBe(1);
      expect(result.regionCurves?.fpr.at(-1)).toBe(1);
      expect(result.notes).toEqual([]);
    } finally {
      detector.close();
    }
  });

  it("is refused for the labels of its last video before the first frame is scored", async () => {
    const dataset = sceneDataset({ width: 120, height: 80, fps: 5, train: 0, test: 2, frames: 30 });
    const size = { height: 64, width: 96 };
    const detector = await Detector.open(randomCheckpoint(tinyConfig, 1), { gpu: gpu(), size, tokenMaps: true });
    try {
      const [first, last] = dataset.test;
      let frames = 0;
      const onFrames = () => frames++;
      const settings: EvaluationSettings = { ...paperEvaluation, map: "moving-error", smoothing: { kind: "none" } };
      const refused = async (labels: DatasetVideo["labels"], says: string) => {
        const test = [first, { ...last, labels }] as DatasetVideo[];
        await expect(evaluate({ ...dataset, test }, detector, { settings, onFrames })).rejects.toThrow(says);
        expect(frames).toBe(0);
      };
      await refused(() => Promise.resolve(new Uint8Array(1)), "has 1 label, but its video has 30 frames");
      await refused(() => Promise.reject(new InputError("labels.txt cannot be read")), "labels.txt cannot be read");
    } finally {
      detector.close();
    }
  });
});
