// The data of a training run's page.
import type {
  EpochEntry,
  LoggedDisturbance,
  LoggedKind,
  LoggedWay,
  TestEntry,
  ValidationEntry,
} from "../../node/files/training_log.js";

/** The state of a training run. */
export interface TrainingState {
  /** While it is "running", the page loads the data again and again. */
  state: "running" | "done" | "stopped" | "failed";
  /**
   * What the run does now ("training stage 1", "testing", "reading the training set"), or how it
   * ended: why it failed, how to continue.
   */
  text: string;
  /** The current one, from 1. */
  epoch?: number;
  /** The number of epochs of the whole run. */
  epochs?: number;
  /** An estimate. */
  secondsLeft?: number;
  samplesPerSecond?: number;
}

/** A step, or neighbouring steps of one stage together. Numbers that are not finite are null. */
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
  /** Of the last one, since the run began. */
  seconds: number | null,
];

/** Indices into a {@link StepPoint}. */
export const [FIRST, LAST, STAGE, EPOCH, LOSS, LOW, HIGH, RATE, SPEED, SECONDS] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
] as const;

/** A validation without what only the table of the chosen one shows. */
export type ValidationPoint = Omit<ValidationEntry, "type" | "way" | "kinds" | "disturbances">;

/** The validation that says how the model is scored: the best one of all stages. */
export interface ChosenValidation {
  epoch: number;
  stage: number;
  way: LoggedWay;
  kinds: readonly LoggedKind[];
  disturbances: readonly LoggedDisturbance[];
}

/** What `curves.js` gives to the page. */
export interface TrainingData {
  /** When it was written: ISO 8601. */
  updated: string;
  state: TrainingState;
  /** At most 2,000, in order. */
  steps: readonly StepPoint[];
  epochs: readonly EpochEntry[];
  /** What chooses the epoch and the way of scoring: validation, or labels of test videos. */
  select: "validation" | "labels";
  validations: readonly ValidationPoint[];
  /** Absent before the first validation. */
  chosen?: ChosenValidation;
  tests: readonly TestEntry[];
  notes: readonly string[];
  /** Settings and versions, in order. */
  facts: readonly (readonly [name: string, value: string])[];
}
