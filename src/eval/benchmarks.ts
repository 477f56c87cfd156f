// The field's data sets: how each is measured, and what the paper reports for it.
import type { PresetName } from "../model/presets.js";
import type { Smoothing } from "./smoothing.js";

/** Results of the paper for a data set, in percent (docs/method.md §8). */
export interface Published {
  microAuc?: number;
  macroAuc?: number;
  rbdc?: number;
  tbdc?: number;
}

/** How a data set is measured. */
export interface Benchmark {
  title: string;
  /** The original's settings of the model, if it has any; else the checkpoint's count. */
  preset?: PresetName;
  smoothing: Smoothing;
  /** Whether the smoothed scores of each video are stretched to 0…1. */
  normalize: boolean;
  /** Frames per second, for folders of images. */
  fps: number;
  published: Published;
}

const paperSmoothing: Smoothing = { kind: "paper", range: 38, mu: 11 };

/**
 * The data sets by layout (docs/method.md §6, §8). Those for which the original has no settings use
 * those of Avenue.
 */
export const benchmarks = {
  avenue: {
    title: "CUHK Avenue",
    preset: "avenue",
    smoothing: paperSmoothing,
    normalize: false,
    fps: 25,
    published: { microAuc: 91.3, rbdc: 46.77, tbdc: 66.58 },
  },
  shanghai: {
    title: "ShanghaiTech",
    preset: "shanghai",
    smoothing: { kind: "paper", range: 900, mu: 282 },
    normalize: true,
    fps: 24,
    published: {},
  },
  ubnormal: { title: "UBnormal", smoothing: paperSmoothing, normalize: false, fps: 30, published: {} },
  ped1: { title: "UCSD Ped1", smoothing: paperSmoothing, normalize: false, fps: 10, published: {} },
  ped2: {
    title: "UCSD Ped2",
    smoothing: paperSmoothing,
    normalize: false,
    fps: 10,
    published: { microAuc: 95.4, macroAuc: 98.4 },
  },
  folder: { title: "Own videos", smoothing: paperSmoothing, normalize: false, fps: 25, published: {} },
} as const satisfies Record<string, Benchmark>;

/** Name of a data set's layout. */
export type BenchmarkName = keyof typeof benchmarks;
