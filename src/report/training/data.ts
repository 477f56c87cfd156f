import type { EpochEntry, TestEntry } from "../../node/files/training_log.js";

/** How a training run stands. */
export interface TrainingState {
  /** The page asks for news while it is "running". */
  state: "running" | "done" | "stopped" | "failed";
  /** What it does now, "training stage 1", "testing", "reading the training set"; or how it ended: why it failed, how to go on. */
  text: string;
  /** The one it is in, from 1, and how many there will be. */
  epoch?: number;
  epochs?: number;
  /** An estimate of the time to the end. */
  secondsLeft?: number;
  samplesPerSecond?: number;
}

/** One step, or neighbouring ones of one stage together. Numbers that are not finite are null. */
export type StepPoint = readonly [
  first: number,
  last: number,
  stage: number,
  epoch: number,
  /** Mean, least and largest. */
  loss: number | null,
  low: number | null,
  high: number | null,
  /** Means. */
  learningRate: number | null,
  samplesPerSecond: number | null,
  /** At the last of them, since the run began. */
  seconds: number | null,
];

/** Where they stand in a point. */
export const [FIRST, LAST, STAGE, EPOCH, LOSS, LOW, HIGH, RATE, SPEED, SECONDS] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
] as const;

/** What `curves.js` tells the page. */
export interface TrainingData {
  /** When it was written, ISO 8601. */
  updated: string;
  state: TrainingState;
  /** 2,000 at most, in order. */
  steps: readonly StepPoint[];
  epochs: readonly EpochEntry[];
  tests: readonly TestEntry[];
  notes: readonly string[];
  /** Settings and versions, in the order in which they are shown. */
  facts: readonly (readonly [name: string, value: string])[];
}
