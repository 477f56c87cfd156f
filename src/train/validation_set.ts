// The training clips that are kept apart, with pseudo-anomalies that no training sample shows:
// what epochs and ways of scoring are chosen by, without labels.
import { validationObjects } from "../data/anomalies/drawn_kinds.js";
import { drawObjects } from "../data/anomalies/drawn_object.js";
import { type Insertion, pick } from "../data/anomalies/insertion.js";
import { buildForegroundLibrary, type ForegroundLibrary, keptCrop } from "../data/anomalies/library.js";
import { pasteInsertion } from "../data/anomalies/paste.js";
import {
  drawValidationAnomaly,
  timeKinds,
  type ValidationKind,
  validationKinds,
} from "../data/anomalies/validation_anomaly.js";
import { type Disturbance, disturb, disturbances } from "../data/disturbance.js";
import { type Frame, type FrameSource, sampleStride } from "../data/frame.js";
import type { BgrImage } from "../data/resize.js";
import { InputError } from "../errors.js";
import { mix, uniformGenerator } from "../random.js";
import { leastKeptFrames, loadCounter, type OnLoad, type TrainingClip, type TrainingSet } from "./training_set.js";

/** A stretch of a clip that is scored, as it is or with something abnormal in it. */
export interface ValidationWindow {
  /** What is abnormal; absent if nothing is. */
  kind?: ValidationKind;
  /** What disturbs normal video; absent if nothing does. */
  disturbance?: Disturbance;
  /** Positions in {@link ValidationSource}, of its first and last frame that count. */
  first: number;
  last: number;
  /** The same of the abnormal frames. */
  abnormal?: { first: number; last: number };
}

/** Videos of one size for a detector: all windows one after the other, and what they show. */
export interface ValidationSource {
  source: FrameSource;
  windows: ValidationWindow[];
}

/** Options of {@link ValidationSet.make}. */
export interface ValidationSetOptions {
  seed: number;
  /** Samples of an epoch; default: all frames to learn from. */
  samples?: number;
  signal?: AbortSignal;
  onLoad?: OnLoad;
}

/** Most anomalies of each kind. */
const mostEvents = 4;
/** A set for epochs of so many samples is whole. Of fewer, it has fewer windows. */
const wholeSamples = 2000;
/** Frames before and after the middle of an anomaly, in turn. */
const halfLengths = [5, 10, 20];
/** An anomaly that is visible for fewer frames is drawn again. */
const leastFrames = 6;
const mostTries = 60;
/**
 * Normal frames that are scored before and after an anomaly: twice the standard deviation of the
 * longest smoothing, which carries the anomaly's score to them.
 */
const margin = 16;
/** Most frames without anomalies, over all clips. */
const mostNormalFrames = 900;
/** Most frames under each disturbance, over all clips; fewest of a clip. */
const mostDisturbedFrames = 90;
const leastDisturbedFrames = 15;
/** Memory for the pixels of moving objects. */
const cropBytes = 2 ** 26;
/** Frame numbers between two windows: no sample reaches from one to the next. */
const gap = 4 * sampleStride;

/** A planned window: positions in its clip, inclusive. */
interface Plan {
  clip: number;
  from: number;
  to: number;
  disturbance?: Disturbance;
  event?: { kind: ValidationKind; insertion: Insertion; first: number; last: number };
}

/** The clips that are kept apart, and a fixed list of anomalies in them. */
export class ValidationSet {
  private constructor(
    private readonly set: TrainingSet,
    private readonly plans: readonly Plan[],
  ) {}

  /**
   * Draws anomalies of every kind into the clips that are kept apart. What is pasted comes from
   * these clips, or is drawn in ways that training does not use.
   * @throws InputError if no clip is kept apart, or nothing moves in them; the signal's reason
   */
  static async make(
    set: TrainingSet,
    { seed, samples = set.sampleCount, signal, onLoad = () => {} }: ValidationSetOptions,
  ): Promise<ValidationSet> {
    const { kept } = set;
    if (kept.length === 0)
      throw new InputError(
        `no training clip is long enough to keep ${leastKeptFrames} frames of it apart for validation`,
      );
    const videos = kept.map((clip) => set.asVideo(clip));
    const frames = kept.reduce((sum, { numbers }) => sum + numbers.length, 0);
    const onFrame = loadCounter(onLoad, "searched", 2 * frames);
    const found = await buildForegroundLibrary(videos, { cropBytes, signal, onFrame });
    const crops = found.clips.filter(({ objects }) => objects.length > 0);
    const objects = 12 * validationObjects.length;
    const { clip: drawn } = await drawObjects(
      { clips: [...crops, ...found.clips.filter(({ objects }) => objects.length === 0)] },
      {
        ...{ kinds: validationObjects, count: objects, seed: mix(seed, 3), signal },
        ...{ cropOf: keptCrop, onObject: loadCounter(onLoad, "drawn", objects) },
      },
    );
    const library = { clips: found.clips, drawn };
    // Rating a model must not take longer than an epoch.
    const share = Math.min(1, samples / wholeSamples);
    const count = Math.max(1, Math.round(share * mostEvents));
    const events = validationKinds.flatMap((kind, k) => {
      const turn = { count, first: k * count };
      return planEvents(kind, library, turn, mix(seed, 4, k));
    });
    const disturbed = disturbedWindows(kept, Math.max(leastDisturbedFrames, Math.round(share * mostDisturbedFrames)));
    return new ValidationSet(set, [...normalWindows(kept), ...disturbed, ...events]);
  }

  /** How many anomalies of each kind there are. Kinds that could not be drawn are absent. */
  get counts(): ReadonlyMap<ValidationKind, number> {
    const counts = new Map<ValidationKind, number>();
    for (const { event } of this.plans) if (event) counts.set(event.kind, (counts.get(event.kind) ?? 0) + 1);
    return counts;
  }

  /** Frames that are scored under one masking. */
  get frameCount(): number {
    return this.sources().reduce((sum, { source }) => sum + (source.frameCount ?? 0), 0);
  }

  /** The windows as videos, one per size of frames. */
  sources(): ValidationSource[] {
    const { kept } = this.set;
    const sizes = [...new Set(this.plans.map(({ clip }) => shownSize(kept[clip])))];
    return sizes.map((size) => this.sourceOf(this.plans.filter(({ clip }) => shownSize(kept[clip]) === size)));
  }

  private sourceOf(plans: readonly Plan[]): ValidationSource {
    const { set } = this;
    const windows: ValidationWindow[] = [];
    let frameCount = 0;
    for (const { clip, from, to, event, disturbance } of plans) {
      const [begin, end] = withContext(set.kept[clip], from, to);
      const at = (position: number) => frameCount + position - begin;
      const abnormal = event && { first: at(event.first), last: at(event.last) };
      const what = { ...(event && { kind: event.kind }), ...(disturbance && { disturbance }) };
      windows.push({ ...what, first: at(from), last: at(to), ...(abnormal && { abnormal }) });
      frameCount += end - begin + 1;
    }
    const { size } = set.kept[plans[0].clip];
    async function* frames(signal?: AbortSignal): AsyncGenerator<Frame> {
      let index = 0;
      let base = 0;
      for (const { clip: number, from, to, event, disturbance } of plans) {
        const clip = set.kept[number];
        const [begin, end] = withContext(clip, from, to);
        const { numbers, step } = clip;
        for (let position = begin; position <= end; position++) {
          signal?.throwIfAborted();
          const read = async (at: number): Promise<BgrImage> => ({
            data: await set.archive.read(clip.first + at),
            ...size,
          });
          const frame = await read(position);
          const isAbnormal = event && position >= event.first && position <= event.last;
          const pasted = async ({ insertion }: NonNullable<Plan["event"]>) =>
            (await pasteInsertion(frame, insertion, position - insertion.frame, read)).frame;
          const shown = isAbnormal ? await pasted(event) : frame;
          const { data } = disturbance ? disturb(disturbance, shown, position) : shown;
          yield { data, ...size, index: index++, number: base + (numbers[position] - numbers[begin]) / step };
        }
        base += (numbers[end] - numbers[begin]) / step + gap;
      }
    }
    return { source: { name: "the clips kept apart", ...size, frameCount, frames }, windows };
  }
}

const shownSize = ({ size: { width, height } }: TrainingClip) => `${width}×${height}`;

/** A stretch with the frames around it that its samples need, as far as the clip has them. */
function withContext({ numbers }: TrainingClip, from: number, to: number): [number, number] {
  return [Math.max(0, from - sampleStride), Math.min(numbers.length - 1, to + sampleStride)];
}

/** Windows without anomalies: all clips, or as much from the middle of each as is needed. */
function normalWindows(kept: readonly TrainingClip[]): Plan[] {
  const share = Math.floor(mostNormalFrames / kept.length);
  return kept.map((of, clip) => ({ clip, ...middleOf(of, share) }));
}

/** At most so many frames from the middle of a clip. */
function middleOf({ numbers: { length } }: TrainingClip, most: number): Pick<Plan, "from" | "to"> {
  const count = Math.min(length, most);
  const from = Math.floor((length - count) / 2);
  return { from, to: from + count - 1 };
}

/** The middle of clips, under each disturbance. */
function disturbedWindows(kept: readonly TrainingClip[], frames: number): Plan[] {
  const used = kept.slice(0, Math.max(1, Math.floor(frames / leastDisturbedFrames)));
  const share = Math.floor(frames / used.length);
  return disturbances.flatMap((disturbance) =>
    used.map((of, clip): Plan => ({ clip, ...middleOf(of, share), disturbance })),
  );
}

/**
 * Draws the anomalies of a kind: in clips in turn, of several lengths.
 * @param turn how many, and which clip has its turn first: the one after that of the last kind
 */
function planEvents(
  kind: ValidationKind,
  library: ForegroundLibrary,
  turn: { count: number; first: number },
  seed: number,
): Plan[] {
  const random = uniformGenerator(seed);
  const plans: Plan[] = [];
  for (let tries = 0; plans.length < turn.count && tries < mostTries; tries++) {
    const clip = (turn.first + tries) % library.clips.length;
    const scene = library.clips[clip];
    const { frameCount, objects } = scene;
    // Time can only change where something moves.
    const near = objects.length > 0 ? pick(random, objects).frame : 0;
    const anywhere = Math.floor(random() * frameCount);
    const frame = timeKinds.has(kind) ? near : anywhere;
    const insertion = drawValidationAnomaly(kind, random, library, { clip, frame });
    if (!insertion) continue;
    const half = halfLengths[plans.length % halfLengths.length];
    const first = Math.max(0, frame + Math.max(insertion.first, -half));
    const last = Math.min(frameCount - 1, frame + Math.min(insertion.last, half));
    if (last - first + 1 < leastFrames) continue;
    const [from, to] = [Math.max(0, first - margin), Math.min(frameCount - 1, last + margin)];
    plans.push({ clip, from, to, event: { kind, insertion, first, last } });
  }
  return plans;
}
