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
 * Most frames that a sample needs: its own three; for each object that is pasted into it three
 * more, and a background or a mask.
 */
export const framesPerSample = (pastes: number) => 3 + 4 * pastes;

/** A drawn sample. Frames are numbers in the archive. */
export interface DrawnSample {
  /** Its number in the run, from 0: its random mask depends on it. */
  number: number;
  /** t − 3, t, t + 3, then what the anomaly needs: see {@link framesPerSample}. */
  frames: number[];
  /** t − 1 and t + 1. */
  before: number;
  after: number;
  /** What is pasted, in this order; slots are positions in {@link frames}. */
  pastes: (Paste | GivenAnomaly)[];
  /** How its look changes. */
  augmentation?: Augmentation;
}

/**
 * Draws samples. A sample depends on the seed and its number only, so that a run can be resumed
 * anywhere.
 */
export class Sampler {
  private order: { epoch: number; pass: number; samples: Uint32Array } | undefined;

  constructor(
    private readonly set: TrainingSet,
    private readonly options: SamplingOptions,
  ) {}

  /**
   * @param number of the sample in the run, from 0
   * @param epoch from 0
   * @param index of the sample in the epoch, from 0; beyond all samples they come once more
   */
  draw(number: number, epoch: number, index: number): DrawnSample {
    const { set, options } = this;
    const pass = Math.floor(index / set.sampleCount);
    const { clip, position } = set.locate(this.shuffled(epoch, pass)[index % set.sampleCount]);
    const own = set.clips[clip];
    const { frames, before, after } = set.framesOf(own, position);
    const sample: DrawnSample = { number, frames: [...frames], before, after, pastes: [] };
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
      sample.pastes.push({ frames: [3, 4, 5], mask: 6 });
    } else if (library) {
      const place = { clip, frame: position };
      const take = (frame: number) => sample.frames.push(frame) - 1;
      // Decoys first: they belong to the target, and what is abnormal does not.
      for (const isDecoy of this.objects(random, isAbnormal)) {
        const drawn = (isDecoy ? drawDecoy : drawPseudoAnomaly)(random, library, place, options.pseudo);
        if (!drawn) continue;
        const paste = pasteFor(drawn, options.size, {
          frame: (of, at) => take(set.placeOf(of).first + at),
          background: (of) => take(set.placeOf(of).background),
        });
        sample.pastes.push(isDecoy ? { ...paste, normal: true } : paste);
      }
    }
    return sample;
  }

  /** Which of a sample's objects are decoys, decoys first. An abnormal sample has an anomaly. */
  private objects(random: () => number, isAbnormal: boolean): boolean[] {
    const { objects, decoys } = this.options.pseudo;
    // No number is drawn without need, so that runs with one object stay as they were.
    const more = objects > 1 ? Math.floor(random() * objects) : 0;
    const others = Array.from({ length: more }, () => !isAbnormal || random() < decoys);
    return [!isAbnormal, ...others].sort((a, b) => Number(b) - Number(a));
  }

  /** Numbers of all samples in random order, for each pass over them in an epoch. */
  private shuffled(epoch: number, pass: number): Uint32Array {
    if (this.order?.epoch !== epoch || this.order.pass !== pass) {
      const samples = Uint32Array.from({ length: this.set.sampleCount }, (_, i) => i);
      const { seed } = this.options;
      const random = uniformGenerator(pass === 0 ? mix(seed, 1, epoch) : mix(seed, 1, epoch, pass));
      for (let i = samples.length - 1; i > 0; i--) {
        const j = Math.floor(random() * (i + 1));
        [samples[i], samples[j]] = [samples[j], samples[i]];
      }
      this.order = { epoch, pass, samples };
    }
    return this.order.samples;
  }
}
