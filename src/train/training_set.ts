// The training videos, decoded once, and where each of their frames lies.
import { counted, knownTotal } from "../counted.js";
import { trainingObjects } from "../data/anomalies/drawn_kinds.js";
import { drawnCount, drawObjects } from "../data/anomalies/drawn_object.js";
import {
  buildForegroundLibrary,
  cutObjectCrop,
  type ForegroundLibrary,
  type LibraryClip,
  type MovingObject,
} from "../data/anomalies/library.js";
import type { Dataset, DatasetVideo } from "../data/dataset.js";
import { type Frame, type FrameSource, sampleStride } from "../data/frame.js";
import type { BgrImage } from "../data/resize.js";
import { InputError } from "../errors.js";
import type { Size } from "../ops/resize.js";
import type { FrameArchive } from "./frame_archive.js";
import { severalViews, UsualPicture, type ViewedVideo } from "./views.js";

/** The frames of a video in the archive, one after the other. */
interface StoredVideo {
  /** Number of its first frame in the archive. */
  first: number;
  /** Frame numbers, by file name or position; they rise. */
  numbers: number[];
  /** Distance of neighbouring frames' numbers. */
  step: number;
  size: Size;
  /** Frames per second, if the video has a clock. */
  fps?: number;
}

/** A video to learn from. */
export interface TrainingClip extends StoredVideo {
  name: string;
  /** Where its frames were; for messages. */
  path: string;
  /** Whether it is never kept apart. */
  isAlwaysLearnt?: boolean;
  /** The same video with anomalies, and their masks, frame by frame. */
  abnormal?: { frames: StoredVideo; masks: StoredVideo };
}

/** Where a clip lies in the archive: numbers of its first frame and of its background. */
export interface ArchivePlace {
  first: number;
  background: number;
}

/** Numbers in the archive of the frames that a sample needs. */
export interface SampleFrames {
  /** t − 3, t, t + 3. */
  frames: readonly [number, number, number];
  /** t − 1 and t + 1. */
  before: number;
  after: number;
}

/** Progress of loading: finished frames, or drawn objects, and how many there are, if known. */
export type OnLoad = (what: "decoded" | "searched" | "drawn", done: number, total: number | undefined) => void;

/** Counts the units of a total, and reports each. */
export function loadCounter(onLoad: OnLoad, what: Parameters<OnLoad>[0], total: number): () => void {
  let done = 0;
  return () => onLoad(what, ++done, total);
}

/** Bytes of a video's frames, as far as their number is known. */
const bytesOf = ({ width, height, frameCount, estimatedFrameCount = 0 }: FrameSource): number =>
  (frameCount ?? estimatedFrameCount) * width * height * 3;

/** How drawn objects are made. */
export interface DrawnSettings {
  seed: number;
}

/** Most clips that are kept apart. */
const mostKept = 12;
/** The shortest end of a clip that is worth keeping apart, in frames. */
export const leastKeptFrames = 60;

/** Options of {@link TrainingSet.load}. */
export interface LoadOptions {
  archive: FrameArchive;
  /** Where abnormal samples come from. */
  anomalies: "pseudo" | "files" | "none";
  /** Share of the clips that are kept apart, whole; of fewer than four clips, their last part. */
  keptShare?: number;
  signal?: AbortSignal;
  onLoad?: OnLoad;
  /** Receives what there is to say about videos that were read, such as damage. */
  onNotice?: ((line: string) => void) | undefined;
}

/** Options of {@link TrainingSet.findForeground}. */
export interface ForegroundOptions {
  /** Whether pseudo-anomalies need drawn objects, and how they are drawn. */
  drawn?: DrawnSettings | undefined;
  signal?: AbortSignal;
  onLoad?: OnLoad;
}

/** The training videos of a data set, decoded into an archive. */
export class TrainingSet {
  /** Clips to learn from. */
  clips: readonly TrainingClip[] = [];
  /** Clips that are kept apart: nothing is learned from them. */
  kept: readonly TrainingClip[] = [];
  /** All clips, whole. */
  private all: readonly TrainingClip[] = [];
  /** The sizes of all frames. */
  readonly sizes: Size[] = [];
  /** Moving foreground for pseudo-anomalies; its clips are {@link clips}, in the same order. */
  library?: ForegroundLibrary;
  /** Where the library's clips lie in the archive. */
  private readonly places = new Map<LibraryClip, ArchivePlace>();
  /** For each frame of the archive, an index into {@link sizes}. */
  private readonly sizeOf: number[] = [];

  private constructor(readonly archive: FrameArchive) {}

  /**
   * Decodes the training videos, and keeps some apart.
   * @throws InputError if a video cannot be read to its end, there is none, or abnormal frames do
   * not match their videos; the signal's reason
   */
  static async load(
    dataset: Dataset,
    { archive, anomalies, keptShare = 0, signal, onLoad = () => {}, onNotice = () => {} }: LoadOptions,
  ): Promise<TrainingSet> {
    const set = new TrainingSet(archive);
    const { train } = dataset;
    if (train.length === 0) throw new InputError(`${dataset.root} has no training videos`);
    checkAnomalies(dataset, anomalies);
    const total = expectedFrames(train, anomalies === "files");
    const decoded = () => onLoad("decoded", set.frameCount, total);
    // What cannot be opened is refused before minutes are spent on the others.
    const sources: FrameSource[] = [];
    for (const video of train) {
      signal?.throwIfAborted();
      sources.push(await video.open());
    }
    // Frames with anomalies, and their masks, come as well.
    const times = (i: number) => (anomalies === "files" && train[i].abnormal ? 3 : 1);
    const problem = await archive.expect?.(sources.reduce((sum, source, i) => sum + times(i) * bytesOf(source), 0));
    // What a video's header says may be wrong.
    const isSure = sources.every(({ frameCount }) => frameCount !== undefined);
    if (problem !== undefined && isSure) throw new InputError(problem);
    if (problem !== undefined) onNotice(`warning: ${problem}`);
    const clips: TrainingClip[] = [];
    const viewed: ViewedVideo[] = [];
    for (const [i, video] of train.entries()) {
      const { name, path } = video;
      const usual = new UsualPicture(sources[i]);
      const store = (source: FrameSource, onFrame?: (frame: Frame) => void) =>
        set.store(source, {
          signal,
          onNotice,
          onFrame: (frame) => {
            onFrame?.(frame);
            decoded();
          },
        });
      const stored = await store(sources[i], (frame) => usual.add(frame));
      const clip: TrainingClip = { name, path, ...stored, ...(video.isAlwaysLearnt && { isAlwaysLearnt: true }) };
      viewed.push({ name: path.split(/[\\/]/).at(-1) ?? name, picture: usual.finish() });
      if (anomalies === "files" && video.abnormal) {
        const frames = await store(await video.abnormal.frames());
        const masks = await store(await video.abnormal.masks());
        checkSameNumbers(video, clip, { "abnormal frames": frames, "their masks": masks });
        clip.abnormal = { frames, masks };
      }
      clips.push(clip);
    }
    // The other layouts are of data sets that are known to have one camera, or many.
    const views = dataset.layout === "folder" ? severalViews(viewed) : undefined;
    if (views !== undefined) onNotice(`warning: ${views}`);
    set.all = clips;
    set.giveBack();
    if (keptShare > 0) set.keepApart(keptShare);
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
    const shown = ({ name, size, numbers }: TrainingClip) => `${name} ${size.width}x${size.height}x${numbers.length}`;
    const kept = this.kept.length > 0 ? [`kept apart: ${this.kept.map(shown).join(", ")}`] : [];
    return [...this.clips.map(shown), ...kept].join("; ");
  }

  /** Where a clip of the library lies in the archive. */
  placeOf(clip: LibraryClip): ArchivePlace {
    const place = this.places.get(clip);
    if (!place) throw new Error(`${clip.name} is not in the training set's library`);
    return place;
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

  /**
   * Moves clips from those to learn from to those that are kept apart: evenly spread, at most
   * {@link mostKept}. Fewer than four clips are cut in time instead. Those that are to be learnt
   * always are kept apart only if there are fewer than four others.
   */
  private keepApart(share: number): void {
    const { all } = this;
    const [clips, ends]: [TrainingClip[], TrainingClip[]] = [[], []];
    [this.clips, this.kept] = [clips, ends];
    const others = all.filter(({ isAlwaysLearnt }) => !isAlwaysLearnt);
    const free = others.length >= 4 ? others : all;
    if (free.length >= 4) {
      const half = Math.floor(free.length / 2);
      const count = Math.min(mostKept, half, Math.max(1, Math.round(share * all.length)));
      const kept = new Set(
        Array.from({ length: count }, (_, i) => free[Math.floor(((i + 0.5) * free.length) / count)]),
      );
      for (const clip of all) (kept.has(clip) ? ends : clips).push(clip);
      return;
    }
    for (const clip of all) {
      const { first, numbers, abnormal, ...rest } = clip;
      const count = Math.round(share * numbers.length);
      if (count < leastKeptFrames) {
        clips.push(clip);
        continue;
      }
      const end = numbers.length - count;
      const cut = <T extends StoredVideo>(video: T): T => ({ ...video, numbers: video.numbers.slice(0, end) });
      const files = abnormal && { abnormal: { frames: cut(abnormal.frames), masks: cut(abnormal.masks) } };
      clips.push({ ...cut({ ...rest, first, numbers }), ...files });
      ends.push({ ...rest, name: `${rest.name}, end`, first: first + end, numbers: numbers.slice(end) });
    }
  }

  /** Learns from the clips that were kept apart, too. Call it before {@link findForeground}. */
  giveBack(): void {
    [this.clips, this.kept] = [this.all, []];
  }

  /** Decodes a video into the archive. @throws InputError if it has no frame */
  private async store(
    source: FrameSource,
    {
      signal,
      onFrame,
      onNotice,
    }: { signal?: AbortSignal; onFrame: (frame: Frame) => void; onNotice: (line: string) => void },
  ): Promise<StoredVideo> {
    const { width, height, step = 1, fps } = source;
    let sizeIndex = this.sizes.findIndex((size) => size.width === width && size.height === height);
    if (sizeIndex < 0) sizeIndex = this.sizes.push({ height, width }) - 1;
    const size = { height, width };
    const video: StoredVideo = { first: this.frameCount, numbers: [], step, size, ...(fps !== undefined && { fps }) };
    for await (const frame of source.frames(signal)) {
      await this.archive.add(frame.data);
      this.sizeOf.push(sizeIndex);
      video.numbers.push(frame.number);
      onFrame(frame);
    }
    if (video.numbers.length === 0) throw new InputError(`${source.name} has no frame`);
    for (const note of source.notes ?? []) onNotice(note);
    for (const warning of source.warnings ?? []) onNotice(`warning: ${warning}`);
    return video;
  }

  /**
   * Finds what moves in the clips to learn from, for pseudo-anomalies; draws objects that fit it,
   * and stores what samples need.
   * @throws InputError if pseudo-anomalies cannot be made; the signal's reason
   */
  async findForeground({ drawn, signal, onLoad = () => {} }: ForegroundOptions): Promise<void> {
    const videos = this.clips.map((clip) => this.asVideo(clip));
    const onFrame = loadCounter(onLoad, "searched", 2 * this.sampleCount);
    const library = await buildForegroundLibrary(videos, { signal, onFrame });
    for (const [i, clip] of library.clips.entries()) {
      const { first } = this.clips[i];
      this.places.set(clip, { first, background: await this.storeImage(clip.background, this.sizeIndex(first)) });
    }
    this.library = drawn ? { ...library, drawn: await this.storeDrawn(library, drawn, signal, onLoad) } : library;
  }

  /** Draws objects and stores them like the frames of a clip. */
  private async storeDrawn(
    { clips }: ForegroundLibrary,
    { seed }: DrawnSettings,
    signal: AbortSignal | undefined,
    onLoad: OnLoad,
  ): Promise<LibraryClip> {
    const cropOf = async ({ frame, boxes }: MovingObject, clip: LibraryClip) => {
      const { first } = this.placeOf(clip);
      const { width, height } = clip;
      const window: BgrImage[] = [];
      for (let at = frame - sampleStride; at <= frame + sampleStride; at++) {
        window.push({ data: await this.archive.read(first + at), width, height });
      }
      return cutObjectCrop(boxes, window, clip.background);
    };
    const onObject = loadCounter(onLoad, "drawn", drawnCount);
    const { clip, frames } = await drawObjects(
      { clips },
      { kinds: trainingObjects, count: drawnCount, seed, cropOf, signal, onObject },
    );
    const sizeIndex = this.sizeIndex(this.placeOf(clips[0]).first);
    const first = this.frameCount;
    for (const frame of frames) await this.storeImage(frame, sizeIndex);
    // The archive has their pixels.
    const stored = { ...clip, objects: clip.objects.map(({ crop: _, ...object }) => object) };
    this.places.set(stored, { first, background: await this.storeImage(clip.background, sizeIndex) });
    return stored;
  }

  /** @returns the image's number in the archive */
  private async storeImage({ data }: BgrImage, sizeIndex: number): Promise<number> {
    await this.archive.add(data);
    return this.sizeOf.push(sizeIndex) - 1;
  }

  /** A clip as a video that reads from the archive. */
  asVideo({ name, path, first, numbers, size, fps }: TrainingClip): DatasetVideo {
    const { archive } = this;
    async function* frames(signal?: AbortSignal): AsyncGenerator<Frame> {
      for (const [index, number] of numbers.entries()) {
        signal?.throwIfAborted();
        yield { data: await archive.read(first + index), ...size, index, number };
      }
    }
    const frameCount = numbers.length;
    const clock = fps !== undefined && { fps };
    return { name, path, frameCount, open: async () => ({ name: path, ...size, ...clock, frameCount, frames }) };
  }
}

/** Frames that will be decoded; undefined if the length of a video is unknown. */
function expectedFrames(train: readonly DatasetVideo[], withAbnormal: boolean): number | undefined {
  // Abnormal frames and their masks are two more videos of the same length.
  const counts = ({ frameCount, abnormal }: DatasetVideo) => Array(withAbnormal && abnormal ? 3 : 1).fill(frameCount);
  return knownTotal(train.flatMap(counts));
}

/** @throws InputError if a part does not have the frame numbers of its video */
function checkSameNumbers({ path }: DatasetVideo, clip: StoredVideo, parts: Record<string, StoredVideo>): void {
  for (const [what, { numbers }] of Object.entries(parts)) {
    if (numbers.join() === clip.numbers.join()) continue;
    throw new InputError(
      `${path} has ${counted(clip.numbers.length, "frame")} and ${numbers.length} ${what}: their numbers must be the same`,
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
