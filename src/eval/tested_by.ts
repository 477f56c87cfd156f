// How a model was tested in training, from its checkpoint.
import type { TrainingSettings } from "../checkpoint/settings.js";
import type { EvaluationSettings } from "./evaluation.js";
import type { Smoothing } from "./smoothing.js";

/**
 * How a model was tested in training: what follows after a frame's score, which the detector takes
 * from the checkpoint too. What is not known is absent.
 */
export type TestedBy = Partial<Pick<EvaluationSettings, "smoothing" | "normalize">> & {
  /** Random maskings per frame, whose scores are averaged. */
  maskings?: number;
};

/**
 * How a checkpoint's model was tested; empty for checkpoints of the original. Values of a wrong
 * type or range are left out.
 */
export function testedBy({ tested = {} }: TrainingSettings): TestedBy {
  const { normalize, maskings } = tested;
  const smoothing = smoothingOf(tested.smoothing);
  const whole = typeof maskings === "number" && Number.isInteger(maskings) && maskings >= 1 && maskings <= 100;
  return {
    ...(smoothing && { smoothing }),
    ...(typeof normalize === "boolean" && { normalize }),
    ...(whole && { maskings }),
  };
}

function smoothingOf(value: unknown): Smoothing | undefined {
  const { kind, sigma, range, mu } = (typeof value === "object" && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  const inFrames = (frames: unknown): frames is number => typeof frames === "number" && frames > 0 && frames <= 1e5;
  if (kind === "none") return { kind };
  if (kind === "gaussian" && inFrames(sigma)) return { kind, sigma };
  if (kind === "paper" && inFrames(range) && inFrames(mu)) return { kind, range, mu };
  return undefined;
}
