// Draws samples at random: the order of an epoch, and what is pasted into which sample.
import { pasteFor } from "../data/anomalies/paste.js";
import { drawDecoy, drawPseudoAnomaly, type PseudoAnomalyOptions } from "../data/anomalies/pseudo_anomaly.js";
import { type AugmentationOptions, drawAugmentation } from "../data/augmentation.js";
import type { Augmentation } from "../ops/augment.js";
import type { GivenAnomaly, Paste } from "../ops/paste.js";
import type { Size } from "../ops/resize.js";
import { mix, uniformGenerator } from "../random.js";
import type { TrainingSet } from "./training_set.js";

/** How samples are drawn. */
export interface SamplingOptions {
  seed: number;
  /** The network's input size. */
  size: Size;
  /** Probability that a sample is abnormal. */
  share: number;
  pseudo: PseudoAnomalyOptions;
  /** By default samples keep their look. */
  augmentation?: AugmentationOptions;
}

/**
 * Frames that a sample needs: its own three; for an anomaly three more, and a background or a mask.
 */
export const framesPerSample = { normal: 3, abnormal: 7 } as const;

/** A drawn sample. Frames are numbers in the archive. */
export interface DrawnSample {
  /** Its number in the run, from 0: its random mask depends on it. */
  number: number;
  /** t − 3, t, t + 3, then what the anomaly needs: at most {@link framesPerSample}. */
  frames: number[];
  /** t − 1 and t + 1. */
  before: number;
  after: number;
  /** What is pasted; its slots are positions in {@link frames}. */
  anomaly?: Paste | GivenAnomaly;
  /** How its look changes. */
  augmentation?: Augmentation;
}

/**
 * Draws samples. A sample depends on the seed and its number only, so that a run can be resumed
 * anywhere.
 */
export class Sampler {
  private order: { epoch: number; samples: Uint32Array } | undefined;

  constructor(
    private readonly set: TrainingSet,
    private readonly options: SamplingOptions,
  ) {}

  /**
   * @param number of the sample in the run, from 0
   * @param epoch from 0
   * @param index of the sample in the epoch, from 0
   */
  draw(number: number, epoch: number, index: number): DrawnSample {
    const { set, options } = this;
    const { clip, position } = set.locate(this.shuffled(epoch)[index]);
    const own = set.clips[clip];
    const { frames, before, after } = set.framesOf(own, position);
    const sample: DrawnSample = { number, frames: [...frames], before, after };
    const how = options.augmentation;
    const augmentation = how && drawAugmentation(uniformGenerator(mix(options.seed, 5, number)), how);
    if (augmentation) sample.augmentation = augmentation;
    const random = uniformGenerator(mix(options.seed, 2, number));
    const isAbnormal = random() < options.share;
    const { library } = set;
    const hasDecoy = !isAbnormal && library && options.pseudo.decoys > 0 && random() < options.pseudo.decoys;
    if (!isAbnormal && !hasDecoy) return sample;
    if (isAbnormal && own.abnormal) {
      const abnormal = set.framesOf(own.abnormal.frames, position).frames;
      sample.frames.push(...abnormal, own.abnormal.masks.first + position);
      sample.anomaly = { frames: [3, 4, 5], mask: 6 };
    } else if (library) {
      const place = { clip, frame: position };
      const drawn = (isAbnormal ? drawPseudoAnomaly : drawDecoy)(random, library, place, options.pseudo);
      const take = (frame: number) => sample.frames.push(frame) - 1;
      if (drawn) {
        const paste = pasteFor(drawn, options.size, {
          frame: (of, at) => take(set.placeOf(of).first + at),
          background: (of) => take(set.placeOf(of).background),
        });
        sample.anomaly = isAbnormal ? paste : { ...paste, normal: true };
      }
    }
    return sample;
  }

  /** Numbers of the epoch's samples in random order. */
  private shuffled(epoch: number): Uint32Array {
    if (this.order?.epoch !== epoch) {
      const samples = Uint32Array.from({ length: this.set.sampleCount }, (_, i) => i);
      const random = uniformGenerator(mix(this.options.seed, 1, epoch));
      for (let i = samples.length - 1; i > 0; i--) {
        const j = Math.floor(random() * (i + 1));
        [samples[i], samples[j]] = [samples[j], samples[i]];
      }
      this.order = { epoch, samples };
    }
    return this.order.samples;
  }
}
