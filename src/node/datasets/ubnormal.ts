import { join } from "node:path";
import type { Dataset, DatasetVideo, PixelMask, TrackBox } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { inFlight } from "../media/in_flight.js";
import { readPngValues, type ValueImage } from "../media/png_values.js";
import { type Clip, frameNumber } from "./clip.js";
import type { Layout, OpenDatasetOptions, Root } from "./layout.js";
import { listFolder, namesInShort } from "./listing.js";
import { checkMaskSize } from "./mask_images.js";
import { type Findings, findSplit, finishDataset, type Split, startFindings } from "./original.js";
import { numbersOf, readLines } from "./text_file.js";

/**
 * UBnormal (Acsintoae et al., CVPR 2022) as docs/method.md §7 has it: `{train,test}/frames/<video>` or `<video>.mp4`,
 * `{train,test}/annotations/<video>_annotations/…<frame>_gt.png` with the object's number for a pixel value, and `<video>_tracks.txt` there or in annotations/.
 * Told by its annotations, or the folder's name.
 */
export const ubnormal: Layout = {
  name: "ubnormal",
  recognises: async (root) => {
    if (/ubnormal/i.test(root.name)) return true;
    for (const split of ["train", "test"]) {
      const listing = await listFolder(join(root.path, split, "annotations"));
      if (listing?.folders.some((name) => name.endsWith("_annotations"))) return true;
    }
    return false;
  },
  open: openUbnormal,
};

/** An object that is abnormal for a while. Frames by number, from `first` until before `end`. */
interface ObjectTrack {
  object: number;
  first: number;
  end: number;
}

async function openUbnormal(root: Root, options: OpenDatasetOptions): Promise<Dataset> {
  if (options.labels !== undefined) {
    throw new InputError(
      `the labels of ${oneLine(root.path)} come from its annotations: leave out ${oneLine(options.labels)}`,
    );
  }
  const findings = startFindings(root, options);
  const splits = {} as Record<Split, DatasetVideo[]>;
  for (const split of ["train", "test"] as const) {
    splits[split] = await withTruth(root, split, await findSplit(root, split, findings), findings);
  }
  if (root.folders.includes("validation")) findings.notes.push("validation/ is not read");
  return finishDataset("ubnormal", root, splits, findings);
}

async function withTruth(
  root: Root,
  split: Split,
  clips: readonly Clip[],
  { notes }: Findings,
): Promise<DatasetVideo[]> {
  const annotations = join(root.path, split, "annotations");
  const listing = await listFolder(annotations);
  if (!listing && clips.length > 0)
    notes.push(`${split}: no labels, masks or tracks (looked for ${split}/annotations)`);
  const trackless: string[] = [];
  const videos: DatasetVideo[] = [];
  for (const clip of clips) {
    const { name, path, frameCount, open } = clip;
    const video = { name, path, ...(frameCount === undefined ? {} : { frameCount }), open };
    if (!listing) {
      videos.push(video);
      continue;
    }
    const folder = join(annotations, `${name}_annotations`);
    const tracksName = `${name}_tracks.txt`;
    const inside = (await listFolder(folder))?.files.includes(tracksName);
    const tracksFile = inside ? join(folder, tracksName) : join(annotations, tracksName);
    const isAbnormal = name.includes("abnormal");
    const hasTracks = isAbnormal && (inside || listing.files.includes(tracksName));
    if (isAbnormal && !hasTracks) trackless.push(name);
    videos.push({ ...video, ...objectTruth(clip, hasTracks ? tracksFile : undefined, folder) });
  }
  if (trackless.length > 0) {
    notes.push(`${split}: no _tracks.txt, so all frames are taken as normal: ${namesInShort(trackless)}`);
  }
  return videos;
}

/** The ground truth that tracks of objects and maps of their numbers give; without tracks all is normal. */
function objectTruth(clip: Clip, tracksFile: string | undefined, folder: string) {
  let listed: Promise<Map<number, string>> | undefined;
  let read: Promise<ObjectTrack[]> | undefined;
  function allTracks(): Promise<ObjectTrack[]> {
    read ??= tracksFile === undefined ? Promise.resolve([]) : readObjectTracks(tracksFile, clip);
    return read;
  }

  /** The map of a frame's objects. */
  async function objects(number: number): Promise<ValueImage> {
    listed ??= listAnnotations(folder);
    const path = (await listed).get(number);
    if (path === undefined) {
      throw new InputError(
        `${oneLine(folder)} has no …_gt.png for the frame number ${number}, in which a track is active`,
      );
    }
    const image = await readPngValues(path);
    await checkMaskSize(path, image, clip);
    return image;
  }

  async function labels(): Promise<Uint8Array> {
    const tracks = await allTracks();
    const out = new Uint8Array(clip.frameCount ?? (await countFrames(clip)));
    for (let frame = 0; frame < out.length; frame++) {
      const number = frameNumber(clip, frame);
      out[frame] = tracks.some((track) => isActive(track, number)) ? 1 : 0;
    }
    return out;
  }

  async function mask(frame: number): Promise<PixelMask> {
    const number = frameNumber(clip, frame);
    const active = new Set((await allTracks()).filter((track) => isActive(track, number)).map((track) => track.object));
    if (active.size === 0) {
      const { width, height } = await clip.size();
      return { width, height, data: new Uint8Array(width * height) };
    }
    const { width, height, data } = await objects(number);
    return { width, height, data: data.map((object) => (active.has(object) ? 1 : 0)) };
  }

  async function tracks(): Promise<TrackBox[]> {
    const rows = await allTracks();
    const boxes: TrackBox[] = [];
    const count = rows.length === 0 ? 0 : (clip.frameCount ?? (await countFrames(clip)));
    await inFlight(Array(count).keys(), 4, async (frame) => {
      const number = frameNumber(clip, frame);
      const active = rows.flatMap((row, track) => (isActive(row, number) ? [{ track, object: row.object }] : []));
      if (active.length === 0) return;
      const image = await objects(number);
      for (const { track, object } of active) {
        const box = boundingBox(image, object);
        if (box) boxes.push({ track, frame, ...box });
      }
    });
    return boxes.sort((a, b) => a.track - b.track || a.frame - b.frame);
  }

  return { labels, mask, tracks };
}

const isActive = ({ first, end }: ObjectTrack, number: number): boolean => number >= first && number < end;

/**
 * Rows `object,first,last` with the last frame exclusive; NumPy writes the numbers as "1.0". A file may have no row.
 * @throws InputError naming file and line
 */
async function readObjectTracks(path: string, { numbers, frameCount }: Clip): Promise<ObjectTrack[]> {
  const newest = numbers?.at(-1) ?? (frameCount ?? Number.POSITIVE_INFINITY) - 1;
  return (await readLines(path)).map((line) => {
    const values = numbersOf(line);
    const [object, first, end] = values as [number, number, number];
    if (values.length !== 3 || !values.every((value) => Number.isSafeInteger(value) && value >= 0)) {
      throw new InputError(`${line.where}: a row is object,first,last in whole numbers, not ${oneLine(line.text)}`);
    }
    if (end < first || first > newest) {
      throw new InputError(
        `${line.where}: a track from frame ${first} to before ${end} is none of this video, whose last frame is ${newest}`,
      );
    }
    return { object, first, end };
  });
}

/** Files by frame number, which is the last run of digits before "_gt". */
async function listAnnotations(folder: string): Promise<Map<number, string>> {
  const paths = new Map<number, string>();
  for (const name of (await listFolder(folder))?.files ?? []) {
    const digits = /(\d+)\D*_gt\.png$/i.exec(name)?.[1];
    if (digits === undefined) continue;
    const twin = paths.get(Number(digits));
    if (twin !== undefined) {
      throw new InputError(`${oneLine(join(folder, name))} and ${oneLine(twin)} are of one frame, ${Number(digits)}`);
    }
    paths.set(Number(digits), join(folder, name));
  }
  return paths;
}

function boundingBox({ width, height, data }: ValueImage, object: number) {
  let [x1, y1, x2, y2] = [width, height, -1, -1];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (data[i] !== object) continue;
      x1 = Math.min(x1, x);
      x2 = Math.max(x2, x);
      y1 = Math.min(y1, y);
      y2 = y;
    }
  }
  return x2 < 0 ? undefined : { x1, y1, x2, y2 };
}

/** A video file's header does not tell it for sure. */
async function countFrames(clip: Clip): Promise<number> {
  let count = 0;
  for await (const _ of (await clip.open()).frames()) count++;
  return count;
}
