import { buildForegroundLibrary, type ForegroundLibrary } from "../data/anomalies/library.js";
import type { Dataset, DatasetVideo } from "../data/dataset.js";
import { type Frame, type FrameSource, sampleStride } from "../data/frame.js";
import { InputError } from "../errors.js";
import type { Size } from "../ops/resize.js";
import type { FrameArchive } from "./frame_archive.js";

/** Frames of one video in the archive. */
interface StoredVideo {
  /** The archive's number of its first frame. */
  first: number;
  /** Frame numbers, as their files or positions have them. */
  numbers: number[];
  size: Size;
}

/** A video to learn from. */
export interface TrainingClip extends StoredVideo {
  name: string;
  /** The same video with something abnormal in it, and its masks, frame by frame. */
  abnormal?: { frames: StoredVideo; masks: StoredVideo };
}

/** The archive's numbers of the frames that a sample is made of. */
export interface SampleFrames {
  /** t − 3, t, t + 3. */
  frames: readonly [number, number, number];
  /** t − 1 and t + 1. */
  before: number;
  after: number;
}

/** Progress of loading: frames done, and how many there are, where that is known. */
export type OnLoad = (what: "decoded" | "searched", done: number, total: number | undefined) => void;

export interface LoadOptions {
  archive: FrameArchive;
  /** Where abnormal samples come from. */
  anomalies: "pseudo" | "files" | "none";
  signal?: AbortSignal;
  onLoad?: OnLoad;
}

/** The training videos of a data set, decoded once. */
export class TrainingSet {
  readonly clips: TrainingClip[] = [];
  /** Every size that a frame has. */
  readonly sizes: Size[] = [];
  /** Moving foreground, for pseudo-anomalies; its clips are {@link clips} in the same order. */
  library?: ForegroundLibrary;
  /** The archive's numbers of the clips' backgrounds. */
  readonly backgrounds: number[] = [];
  /** By the archive's number: the frame's size, as an index of {@link sizes}. */
  private readonly sizeOf: number[] = [];

  private constructor(readonly archive: FrameArchive) {}

  /**
   * Decodes the training videos.
   * @throws InputError as the videos do; for a data set without any; where abnormal frames do not fit their videos, or there are none to make
   */
  static async load(
    dataset: Dataset,
    { archive, anomalies, signal, onLoad = () => {} }: LoadOptions,
  ): Promise<TrainingSet> {
    const set = new TrainingSet(archive);
    const { train } = dataset;
    if (train.length === 0) throw new InputError(`${dataset.root} has no training videos`);
    checkAnomalies(dataset, anomalies);
    const counts = train.map(({ frameCount, abnormal }) =>
      frameCount === undefined ? undefined : frameCount * (anomalies === "files" && abnormal ? 3 : 1),
    );
    const total = counts.reduce(
      (sum, count) => (sum === undefined || count === undefined ? undefined : sum + count),
      0,
    );
    const decoded = () => onLoad("decoded", set.frameCount, total);
    for (const video of train) {
      const clip: TrainingClip = { name: video.name, ...(await set.store(await video.open(), signal, decoded)) };
      if (anomalies === "files" && video.abnormal) {
        const frames = await set.store(await video.abnormal.frames(), signal, decoded);
        const masks = await set.store(await video.abnormal.masks(), signal, decoded);
        for (const [what, { numbers }] of Object.entries({ "abnormal frames": frames, "their masks": masks })) {
          if (numbers.join() !== clip.numbers.join()) {
            throw new InputError(
              `${video.path} has ${clip.numbers.length} frames, and ${numbers.length} ${what}: their numbers must be the same`,
            );
          }
        }
        clip.abnormal = { frames, masks };
      }
      set.clips.push(clip);
    }
    if (anomalies === "pseudo") await set.findForeground(dataset, signal, onLoad);
    return set;
  }

  /** Frames to learn from. */
  get sampleCount(): number {
    return this.clips.reduce((sum, { numbers }) => sum + numbers.length, 0);
  }

  /** Frames in the archive. */
  get frameCount(): number {
    return this.sizeOf.length;
  }

  /** What tells one training set from another, as far as can be seen without its pixels. */
  get fingerprint(): string {
    return this.clips
      .map(({ name, size, numbers }) => `${name} ${size.width}x${size.height}x${numbers.length}`)
      .join("; ");
  }

  /** Which of {@link sizes} a frame of the archive has. */
  sizeIndex(frame: number): number {
    return this.sizeOf[frame];
  }

  /** A sample's clip and position, samples being counted through all clips. */
  locate(sample: number): { clip: number; position: number } {
    let position = sample;
    for (const [clip, { numbers }] of this.clips.entries()) {
      if (position < numbers.length) return { clip, position };
      position -= numbers.length;
    }
    throw new Error(`there is no sample ${sample} among ${this.sampleCount}`);
  }

  /** The frames of a sample: neighbours go by frame number, and one that does not exist is the frame itself (docs/method.md §1). */
  framesOf(video: StoredVideo, position: number): SampleFrames {
    const { first, numbers } = video;
    const at = (offset: number) => {
      const wanted = numbers[position] + offset;
      // Numbers rise, so that a neighbour lies within as many positions.
      const step = Math.sign(offset);
      for (let p = position + step; step !== 0 && p >= 0 && p < numbers.length; p += step) {
        if (numbers[p] === wanted) return first + p;
        if (Math.sign(numbers[p] - wanted) === step) break;
      }
      return first + position;
    };
    return { frames: [at(-sampleStride), at(0), at(sampleStride)], before: at(-1), after: at(1) };
  }

  private async store(source: FrameSource, signal: AbortSignal | undefined, onFrame: () => void): Promise<StoredVideo> {
    const { width, height } = source;
    let sizeIndex = this.sizes.findIndex((size) => size.width === width && size.height === height);
    if (sizeIndex < 0) sizeIndex = this.sizes.push({ height, width }) - 1;
    const video: StoredVideo = { first: this.frameCount, numbers: [], size: { height, width } };
    for await (const { data, number } of source.frames(signal)) {
      await this.archive.add(data);
      this.sizeOf.push(sizeIndex);
      video.numbers.push(number);
      onFrame();
    }
    if (video.numbers.length === 0) throw new InputError(`${source.name} has no frame`);
    return video;
  }

  private async findForeground(dataset: Dataset, signal: AbortSignal | undefined, onLoad: OnLoad): Promise<void> {
    const videos = this.clips.map((clip, i) => this.asVideo(clip, dataset.train[i].path));
    let searched = 0;
    const onFrame = () => onLoad("searched", ++searched, 2 * this.sampleCount);
    this.library = await buildForegroundLibrary(videos, { signal, onFrame });
    for (const [i, { background }] of this.library.clips.entries()) {
      this.backgrounds.push(this.frameCount);
      await this.archive.add(background.data);
      this.sizeOf.push(this.sizeIndex(this.clips[i].first));
    }
  }

  /** A clip as a video that is read from the archive. */
  private asVideo({ name, first, numbers, size }: TrainingClip, path: string): DatasetVideo {
    const { archive } = this;
    async function* frames(signal?: AbortSignal): AsyncGenerator<Frame> {
      for (const [index, number] of numbers.entries()) {
        signal?.throwIfAborted();
        yield { data: await archive.read(first + index), ...size, index, number };
      }
    }
    const frameCount = numbers.length;
    return { name, path, frameCount, open: async () => ({ name: path, ...size, frameCount, frames }) };
  }
}

/** @throws InputError where a data set has no abnormal frames, but they are to be learnt from */
export function checkAnomalies({ root, train }: Dataset, anomalies: LoadOptions["anomalies"]): void {
  if (anomalies !== "files" || train.some((video) => video.abnormal)) return;
  throw new InputError(
    `${root} has no train/frames_abnormal, which --anomalies files needs: make some (create-anomalies), or take --anomalies pseudo`,
  );
}
