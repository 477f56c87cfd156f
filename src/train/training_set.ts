// The training videos, decoded once, and where each of their frames lies.
import { buildForegroundLibrary, type ForegroundLibrary } from "../data/anomalies/library.js";
import type { Dataset, DatasetVideo } from "../data/dataset.js";
import { type Frame, type FrameSource, sampleStride } from "../data/frame.js";
import { InputError } from "../errors.js";
import type { Size } from "../ops/resize.js";
import type { FrameArchive } from "./frame_archive.js";

/** The frames of a video in the archive, one after the other. */
interface StoredVideo {
  /** Number of its first frame in the archive. */
  first: number;
  /** Frame numbers, by file name or position; they rise. */
  numbers: number[];
  /** Distance of neighbouring frames' numbers. */
  step: number;
  size: Size;
}

/** A video to learn from. */
export interface TrainingClip extends StoredVideo {
  name: string;
  /** The same video with anomalies, and their masks, frame by frame. */
  abnormal?: { frames: StoredVideo; masks: StoredVideo };
}

/** Numbers in the archive of the frames that a sample needs. */
export interface SampleFrames {
  /** t − 3, t, t + 3. */
  frames: readonly [number, number, number];
  /** t − 1 and t + 1. */
  before: number;
  after: number;
}

/** Progress of loading: finished frames and, if known, all frames. */
export type OnLoad = (what: "decoded" | "searched", done: number, total: number | undefined) => void;

/** Options of {@link TrainingSet.load}. */
export interface LoadOptions {
  archive: FrameArchive;
  /** Where abnormal samples come from. */
  anomalies: "pseudo" | "files" | "none";
  signal?: AbortSignal;
  onLoad?: OnLoad;
}

/** The training videos of a data set, decoded into an archive. */
export class TrainingSet {
  readonly clips: TrainingClip[] = [];
  /** The sizes of all frames. */
  readonly sizes: Size[] = [];
  /** Moving foreground for pseudo-anomalies; its clips are {@link clips}, in the same order. */
  library?: ForegroundLibrary;
  /** Numbers of the clips' backgrounds in the archive. */
  readonly backgrounds: number[] = [];
  /** For each frame of the archive, an index into {@link sizes}. */
  private readonly sizeOf: number[] = [];

  private constructor(readonly archive: FrameArchive) {}

  /**
   * Decodes the training videos.
   * @throws InputError if a video cannot be read, there is none, abnormal frames do not match their
   * videos, or pseudo-anomalies cannot be made; the signal's reason
   */
  static async load(
    dataset: Dataset,
    { archive, anomalies, signal, onLoad = () => {} }: LoadOptions,
  ): Promise<TrainingSet> {
    const set = new TrainingSet(archive);
    const { train } = dataset;
    if (train.length === 0) throw new InputError(`${dataset.root} has no training videos`);
    checkAnomalies(dataset, anomalies);
    const total = expectedFrames(train, anomalies === "files");
    const decoded = () => onLoad("decoded", set.frameCount, total);
    for (const video of train) {
      const clip: TrainingClip = { name: video.name, ...(await set.store(await video.open(), signal, decoded)) };
      if (anomalies === "files" && video.abnormal) {
        const frames = await set.store(await video.abnormal.frames(), signal, decoded);
        const masks = await set.store(await video.abnormal.masks(), signal, decoded);
        checkSameNumbers(video, clip, { "abnormal frames": frames, "their masks": masks });
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

  /** Names, sizes and lengths of the videos: tells training sets apart without their pixels. */
  get fingerprint(): string {
    return this.clips
      .map(({ name, size, numbers }) => `${name} ${size.width}x${size.height}x${numbers.length}`)
      .join("; ");
  }

  /** Index into {@link sizes} of a frame of the archive. */
  sizeIndex(frame: number): number {
    return this.sizeOf[frame];
  }

  /** A sample's clip and its position there. Samples are counted over all clips. */
  locate(sample: number): { clip: number; position: number } {
    let position = sample;
    for (const [clip, { numbers }] of this.clips.entries()) {
      if (position < numbers.length) return { clip, position };
      position -= numbers.length;
    }
    throw new Error(`sample ${sample} does not exist: there are ${this.sampleCount}`);
  }

  /**
   * The frames of a sample. Neighbours go by frame number; if one does not exist, the frame itself
   * takes its place (docs/method.md §1).
   */
  framesOf(video: StoredVideo, position: number): SampleFrames {
    const { first, numbers, step } = video;
    const at = (offset: number) => {
      const wanted = numbers[position] + offset * step;
      // Numbers rise: search in one direction until a number is beyond the wanted one.
      const way = Math.sign(offset);
      for (let p = position + way; way !== 0 && p >= 0 && p < numbers.length; p += way) {
        if (numbers[p] === wanted) return first + p;
        if (Math.sign(numbers[p] - wanted) === way) break;
      }
      return first + position;
    };
    return { frames: [at(-sampleStride), at(0), at(sampleStride)], before: at(-1), after: at(1) };
  }

  /** Decodes a video into the archive. @throws InputError if it has no frame */
  private async store(source: FrameSource, signal: AbortSignal | undefined, onFrame: () => void): Promise<StoredVideo> {
    const { width, height, step = 1 } = source;
    let sizeIndex = this.sizes.findIndex((size) => size.width === width && size.height === height);
    if (sizeIndex < 0) sizeIndex = this.sizes.push({ height, width }) - 1;
    const video: StoredVideo = { first: this.frameCount, numbers: [], step, size: { height, width } };
    for await (const { data, number } of source.frames(signal)) {
      await this.archive.add(data);
      this.sizeOf.push(sizeIndex);
      video.numbers.push(number);
      onFrame();
    }
    if (video.numbers.length === 0) throw new InputError(`${source.name} has no frame`);
    return video;
  }

  /** Finds the foreground of all clips, and stores their backgrounds. */
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

  /** A clip as a video that reads from the archive. */
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

/** Frames that will be decoded; undefined if the length of a video is unknown. */
function expectedFrames(train: readonly DatasetVideo[], withAbnormal: boolean): number | undefined {
  let total = 0;
  for (const { frameCount, abnormal } of train) {
    if (frameCount === undefined) return undefined;
    // Abnormal frames and their masks are two more videos of the same length.
    total += frameCount * (withAbnormal && abnormal ? 3 : 1);
  }
  return total;
}

/** @throws InputError if a part does not have the frame numbers of its video */
function checkSameNumbers({ path }: DatasetVideo, clip: StoredVideo, parts: Record<string, StoredVideo>): void {
  for (const [what, { numbers }] of Object.entries(parts)) {
    if (numbers.join() === clip.numbers.join()) continue;
    throw new InputError(
      `${path} has ${clip.numbers.length} frames and ${numbers.length} ${what}: their numbers must be the same`,
    );
  }
}

/**
 * Checks that a data set has the abnormal frames that training is to use.
 * @throws InputError if it has none
 */
export function checkAnomalies({ root, train }: Dataset, anomalies: LoadOptions["anomalies"]): void {
  if (anomalies !== "files" || train.some((video) => video.abnormal)) return;
  const message = (option: string) =>
    `${root} has no train/frames_abnormal, which ${option} files needs: make them with create-anomalies, or use ${option} pseudo`;
  throw new InputError(message("anomalies"), message("--anomalies"));
}
