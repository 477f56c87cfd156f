import type { LibraryClip } from "../data/anomalies/library.js";
import { pasteFor } from "../data/anomalies/paste.js";
import { drawPseudoAnomaly, type PseudoAnomalyOptions } from "../data/anomalies/pseudo_anomaly.js";
import type { GivenAnomaly, Paste } from "../ops/paste.js";
import type { Size } from "../ops/resize.js";
import { mix, uniformGenerator } from "../random.js";
import type { TrainingSet } from "./training_set.js";

/** What is drawn at random about samples. */
export interface SamplingOptions {
  seed: number;
  /** The network's input. */
  size: Size;
  /** Probability that a sample is abnormal. */
  share: number;
  pseudo: PseudoAnomalyOptions;
}

/** Frames that a step takes for a sample: its own three, and what an anomaly is made of: three more, and a background or a mask. */
export const framesPerSample = { normal: 3, abnormal: 7 } as const;

/** A sample as it was drawn. */
export interface DrawnSample {
  /** Counts the samples of the run from 0: what its mask is drawn by. */
  number: number;
  /** The archive's numbers of the frames that are taken, {@link framesPerSample} of them. */
  frames: number[];
  before: number;
  after: number;
  /** What is pasted; slots are those of {@link frames}. */
  anomaly?: Paste | GivenAnomaly;
}

/** Draws samples. What is drawn depends on the seed and the sample's number alone, so that a run can go on from anywhere. */
export class Sampler {
  private order: { epoch: number; samples: Uint32Array } | undefined;

  constructor(
    private readonly set: TrainingSet,
    private readonly options: SamplingOptions,
  ) {}

  /** @param number counts the samples of the run, @param epoch from 0, @param index which of the epoch's samples */
  draw(number: number, epoch: number, index: number): DrawnSample {
    const { set, options } = this;
    const { clip, position } = set.locate(this.shuffled(epoch)[index]);
    const own = set.clips[clip];
    const { frames, before, after } = set.framesOf(own, position);
    const sample: DrawnSample = { number, frames: [...frames], before, after };
    const random = uniformGenerator(mix(options.seed, 2, number));
    if (random() >= options.share) return sample;
    if (own.abnormal) {
      const abnormal = set.framesOf(own.abnormal.frames, position).frames;
      sample.frames.push(...abnormal, own.abnormal.masks.first + position);
      sample.anomaly = { frames: [3, 4, 5], mask: 6 };
    } else if (set.library) {
      const drawn = drawPseudoAnomaly(random, set.library, { clip, frame: position }, options.pseudo);
      const numberOf = (of: LibraryClip) => set.library?.clips.indexOf(of) ?? -1;
      const take = (frame: number) => sample.frames.push(frame) - 1;
      if (drawn) {
        sample.anomaly = pasteFor(drawn, options.size, {
          frame: (of, at) => take((set.clips[numberOf(of)]?.first ?? 0) + at),
          background: (of) => take(set.backgrounds[numberOf(of)]),
        });
      }
    }
    return sample;
  }

  /** The samples of an epoch in random order. */
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
