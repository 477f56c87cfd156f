// Objects that are cut out of UBnormal's videos: sequences of images on disk.
import { join } from "node:path";
import { anomalySize, coveredValues, cutObject, mostCoveredValues } from "../../data/anomalies/ubnormal.js";
import { type BgrImage, resizeBilinear } from "../../data/resize.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { listFrameFiles } from "../media/frame_folder.js";
import { readImage } from "../media/images.js";
import { readPngValues } from "../media/png_values.js";
import { readAnnotations } from "./annotations.js";
import { ImageFolder, namesIn } from "./folders.js";

/** The folders of a sequence. */
const cutOuts = "anomalies";
const masks = "masks";

/** A cut-out sequence on disk. */
export interface CutOutSequence {
  folder: string;
  /** Paths by frame, from 0; as many as of masks. */
  cutOuts: string[];
  masks: string[];
}

/** Cut-out sequences, by the video that they come from. */
export interface SequenceLibrary {
  folder: string;
  videos: { name: string; sequences: CutOutSequence[] }[];
}

/** The names of UBnormal's videos with something abnormal. @throws InputError if there is none */
export async function abnormalVideos(root: string): Promise<string[]> {
  const frames = join(root, "train", "frames");
  const videos = (await namesIn(frames)).filter((name) => name.includes("abnormal"));
  if (videos.length === 0) {
    throw new InputError(
      `${oneLine(frames)} holds no video with "abnormal" in its name: is this the root of UBnormal?`,
    );
  }
  return videos;
}

/**
 * Step 1 of docs/method.md §7 for one video of UBnormal. Each of its tracks becomes
 * `<folder>/<video>/sequence_<track>/anomalies/<n>.png` and `…/masks/<n>.png`. Existing sequences
 * stay as they are. Frames and annotations are matched by position.
 * @returns the number of its tracks
 * @throws InputError if files are missing, cannot be read or do not fit each other
 */
export async function extractSequences(
  root: string,
  video: string,
  folder: string,
  signal?: AbortSignal,
): Promise<number> {
  const frames = await listFrameFiles(join(root, "train", "frames", video));
  const annotations = await readAnnotations(join(root, "train", "annotations"), video);
  const made = new Set(await namesIn(join(folder, video)));
  for (const [t, { object, first, last }] of annotations.tracks.entries()) {
    const name = `sequence_${String(t).padStart(4, "0")}`;
    if (made.has(name)) continue;
    let sequence: ImageFolder | undefined;
    try {
      for (const [i, file] of frames.slice(first, Math.max(first, last)).entries()) {
        signal?.throwIfAborted();
        const path = annotations.images[first + i];
        if (path === undefined) {
          throw new InputError(
            `${oneLine(video)}: track ${t} needs an annotation of frame ${file.number}, ` +
              `but there are only ${annotations.images.length} annotations for ${frames.length} frames`,
          );
        }
        const [frame, numbers] = await Promise.all([readImage(file.path), readPngValues(path)]);
        if (numbers.width < frame.width || numbers.height < frame.height) {
          throw new InputError(
            `${oneLine(path)} is ${numbers.width}×${numbers.height} pixels, but its frame is ${frame.width}×${frame.height}`,
          );
        }
        const cut = cutObject(frame, numbers, object);
        if (!cut) break;
        sequence ??= await ImageFolder.create(join(folder, video, name), [cutOuts, masks]);
        await sequence.write(`${cutOuts}/${i}.png`, resizeBilinear(cut.cutOut, anomalySize));
        await sequence.write(`${masks}/${i}.png`, resizeBilinear(cut.mask, anomalySize));
      }
      await sequence?.commit();
    } finally {
      await sequence?.discard();
    }
  }
  return annotations.tracks.length;
}

/**
 * The sequences in a folder.
 * @throws InputError if there is none, or if one has fewer masks than cut-outs or more
 */
export async function listSequences(folder: string): Promise<SequenceLibrary> {
  const videos: SequenceLibrary["videos"] = [];
  for (const name of await namesIn(folder)) {
    const sequences: CutOutSequence[] = [];
    for (const sequence of await namesIn(join(folder, name))) {
      const own = join(folder, name, sequence);
      const [images, covers] = await Promise.all([
        listFrameFiles(join(own, cutOuts)),
        listFrameFiles(join(own, masks)),
      ]);
      if (images.length !== covers.length) {
        throw new InputError(`${oneLine(own)} has ${images.length} cut-outs and ${covers.length} masks`);
      }
      sequences.push({ folder: own, cutOuts: images.map(({ path }) => path), masks: covers.map(({ path }) => path) });
    }
    if (sequences.length > 0) videos.push({ name, sequences });
  }
  if (videos.length === 0) {
    throw new InputError(
      `${oneLine(folder)} holds no sequence: no object of the abnormal videos is large enough to cut out`,
    );
  }
  return { folder, videos };
}

/** Draws sequences at random and reads them frame by frame, without end: for one training video. */
export class SequenceReader {
  private readonly tooLarge = new Set<CutOutSequence>();
  private sequence: CutOutSequence;
  private position = 0;

  constructor(
    private readonly library: SequenceLibrary,
    private readonly random: () => number,
  ) {
    this.sequence = this.draw();
  }

  /**
   * The next cut-out and its mask.
   * @throws InputError if an image cannot be read, or if every first mask is too large
   */
  async next(): Promise<{ cutOut: BgrImage; mask: BgrImage }> {
    let mask = await readCutOut(this.sequence.masks[this.position]);
    while (coveredValues(mask) > mostCoveredValues) {
      if (this.position === 0) this.tooLarge.add(this.sequence);
      const all = this.library.videos.reduce((count, { sequences }) => count + sequences.length, 0);
      if (this.tooLarge.size === all) {
        throw new InputError(
          `${oneLine(this.library.folder)}: each of the ${all} sequences begins with a mask of more than ${mostCoveredValues} values`,
        );
      }
      this.sequence = this.draw();
      this.position = 0;
      mask = await readCutOut(this.sequence.masks[0]);
    }
    const cutOut = await readCutOut(this.sequence.cutOuts[this.position]);
    this.position++;
    if (this.position === this.sequence.masks.length) {
      this.sequence = this.draw();
      this.position = 0;
    }
    return { cutOut, mask };
  }

  /** As the original: a video first, then one of its sequences. */
  private draw(): CutOutSequence {
    const { sequences } = this.pick(this.library.videos);
    return this.pick(sequences);
  }

  private pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.random() * items.length)];
  }
}

async function readCutOut(path: string): Promise<BgrImage> {
  const image = await readImage(path);
  const { height, width } = anomalySize;
  if (image.width !== width || image.height !== height) {
    throw new InputError(`${oneLine(path)} is ${image.width}×${image.height} pixels; cut-outs are ${width}×${height}`);
  }
  return image;
}
