// Objects that are cut out of UBnormal's videos: sequences of images on disk.
import { basename, dirname, join, resolve } from "node:path";
import { anomalySize, coveredValues, cutObject, mostCoveredValues } from "../../data/anomalies/ubnormal.js";
import { type BgrImage, resizeBilinear } from "../../data/resize.js";
import { InputError } from "../../errors.js";
import { listFolder } from "../datasets/listing.js";
import { distributedVideos } from "../datasets/ubnormal.js";
import { oneLine } from "../files/messages.js";
import { listFrameFiles } from "../media/frame_folder.js";
import { readImage } from "../media/images.js";
import { readPngValues } from "../media/png_values.js";
import { type Annotations, type ObjectTrack, readAnnotations } from "./annotations.js";
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

/** A video of UBnormal with something abnormal. */
export interface AbnormalVideo {
  name: string;
  /** Where its annotations lie. */
  annotations: string;
  /** Its frames in order, with the file or number of each for messages. */
  frames(signal?: AbortSignal): AsyncIterable<{ image: BgrImage; shown: string }>;
}

/**
 * UBnormal's training videos with something abnormal, as distributed or in the layout of
 * docs/method.md §7.
 * @throws InputError if there is none, or if a folder cannot be read
 */
export async function abnormalVideos(root: string): Promise<AbnormalVideo[]> {
  const listing = await listFolder(root);
  const onFault = (fault: InputError) => {
    throw fault;
  };
  const distributed =
    listing &&
    (await distributedVideos({ path: root, name: basename(resolve(root)), ...listing }, { notes: [], onFault }));
  if (distributed) {
    if (distributed.abnormal.length === 0) {
      throw new InputError(
        `${oneLine(root)} holds no abnormal training video of UBnormal's published split: there is nothing to cut out`,
      );
    }
    return distributed.abnormal.map(({ name, path, open }) => ({
      name,
      annotations: dirname(path),
      frames: async function* (signal) {
        for await (const frame of (await open()).frames(signal)) yield { image: frame, shown: String(frame.number) };
      },
    }));
  }
  const frames = join(root, "train", "frames");
  const names = (await namesIn(frames)).filter((name) => name.includes("abnormal"));
  if (names.length === 0) {
    throw new InputError(
      `${oneLine(frames)} holds no video with "abnormal" in its name: is this the root of UBnormal?`,
    );
  }
  return names.map((name) => ({
    name,
    annotations: join(root, "train", "annotations"),
    frames: async function* (signal) {
      for (const file of await listFrameFiles(join(frames, name))) {
        signal?.throwIfAborted();
        yield { image: await readImage(file.path), shown: String(file.number) };
      }
    },
  }));
}

/** A track whose sequence is being written. */
interface OpenSequence extends ObjectTrack {
  index: number;
  name: string;
  images: ImageFolder | undefined;
  /** Whether the object has become too small to cut out. */
  ended: boolean;
}

/**
 * Step 1 of docs/method.md §7 for one video of UBnormal. Each of its tracks becomes
 * `<folder>/<video>/sequence_<track>/anomalies/<n>.png` and `…/masks/<n>.png`. Existing sequences
 * stay as they are. Frames and annotations are matched by position; frames are read once.
 * @returns the number of its tracks
 * @throws InputError if files are missing, cannot be read or do not fit each other
 */
export async function extractSequences(video: AbnormalVideo, folder: string, signal?: AbortSignal): Promise<number> {
  const annotations = await readAnnotations(video.annotations, video.name);
  const made = new Set(await namesIn(join(folder, video.name)));
  const open: OpenSequence[] = annotations.tracks
    .map((track, index) => ({
      ...track,
      index,
      name: `sequence_${String(index).padStart(4, "0")}`,
      images: undefined,
      ended: false,
    }))
    .filter(({ name }) => !made.has(name));
  const end = Math.max(0, ...open.map(({ last }) => last));
  try {
    let position = -1;
    if (end > 0) {
      for await (const { image, shown } of video.frames(signal)) {
        position++;
        const active = open.filter(({ first, last, ended }) => !ended && position >= first && position < last);
        if (active.length > 0) await cutFrame(video.name, active, position, { image, shown }, annotations, folder);
        if (!open.some(({ last, ended }) => !ended && last > position + 1)) break;
      }
    }
    for (const { images } of open) await images?.commit();
  } finally {
    for (const { images } of open) await images?.discard();
  }
  return annotations.tracks.length;
}

/** Cuts the objects of the active tracks out of a frame. */
async function cutFrame(
  video: string,
  active: readonly OpenSequence[],
  position: number,
  { image, shown }: { image: BgrImage; shown: string },
  annotations: Annotations,
  folder: string,
): Promise<void> {
  const path = annotations.images[position];
  if (path === undefined) {
    throw new InputError(
      `${oneLine(video)}: track ${active[0].index} needs an annotation of frame ${shown}, ` +
        `but there are only ${annotations.images.length} annotations`,
    );
  }
  const numbers = await readPngValues(path);
  if (numbers.width < image.width || numbers.height < image.height) {
    throw new InputError(
      `${oneLine(path)} is ${numbers.width}×${numbers.height} pixels, but its frame is ${image.width}×${image.height}`,
    );
  }
  for (const track of active) {
    const cut = cutObject(image, numbers, track.object);
    if (!cut) {
      track.ended = true;
      continue;
    }
    track.images ??= await ImageFolder.create(join(folder, video, track.name), [cutOuts, masks]);
    const i = position - track.first;
    await track.images.write(`${cutOuts}/${i}.png`, resizeBilinear(cut.cutOut, anomalySize));
    await track.images.write(`${masks}/${i}.png`, resizeBilinear(cut.mask, anomalySize));
  }
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
