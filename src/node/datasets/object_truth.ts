// Ground truth from UBnormal's annotations: tracks of abnormal objects, and maps of all objects. As
// in the authors' scripts, write_frame_level_ground_truth.py and create_tracks_for_tbdc_rbdc.py.
import { join } from "node:path";
import { type Box, connectedComponents } from "../../data/connected_components.js";
import type { PixelMask, TrackBox } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { inFlight } from "../media/in_flight.js";
import { readPngValues, type ValueImage } from "../media/png_values.js";
import { type Clip, frameCountOf, frameNumber } from "./clip.js";
import { listFolder } from "./listing.js";
import { checkMaskSize } from "./mask_images.js";
import { numbersOf, readLines } from "./text_file.js";

/** An object that is abnormal for a while. Frames by number, both inclusive. */
interface ObjectTrack {
  object: number;
  first: number;
  last: number;
}

/** Files of tracks. Undefined: every frame is normal. */
export interface TrackFiles {
  /** `<video>_tracks.txt`, for the labels of frames. */
  tracks: string;
  /** `<video>_new_tracks.txt`, which corrects the tracks of regions; absent: {@link tracks}. */
  corrected?: string;
}

/** Maps that are decoded at once. */
const DECODES_IN_FLIGHT = 4;

/** The ground truth of a video. Files are read when they are first needed. */
export class ObjectTruth {
  private readonly tracksOfFrames = once(() => this.read(this.files?.tracks));
  private readonly tracksOfRegions = once(() => {
    return this.files?.corrected === undefined ? this.tracksOfFrames() : this.read(this.files.corrected);
  });
  private readonly mapPaths = once(() => listMaps(this.folder));

  /** @param folder of the maps, `…<frame>_gt.png` */
  constructor(
    private readonly clip: Clip,
    private readonly files: TrackFiles | undefined,
    private readonly folder: string,
  ) {}

  private async read(path: string | undefined): Promise<ObjectTrack[]> {
    return path === undefined ? [] : readObjectTracks(path, this.clip);
  }

  /** 1 per frame in which a track is active, else 0. @throws InputError if the tracks are wrong */
  async labels(): Promise<Uint8Array> {
    const tracks = await this.tracksOfFrames();
    const out = new Uint8Array(await frameCountOf(this.clip));
    for (let frame = 0; frame < out.length; frame++) {
      const number = frameNumber(this.clip, frame);
      out[frame] = tracks.some((track) => isActive(track, number)) ? 1 : 0;
    }
    return out;
  }

  /**
   * 1 on the objects whose tracks are active, else 0.
   * @param frame by position
   * @throws InputError if tracks or map are missing or wrong
   */
  async mask(frame: number): Promise<PixelMask> {
    const number = frameNumber(this.clip, frame);
    const active = (await this.tracksOfRegions()).filter((track) => isActive(track, number));
    if (active.length === 0) {
      const { width, height } = await this.clip.size();
      return { width, height, data: new Uint8Array(width * height) };
    }
    const objects = new Set(active.map((track) => track.object));
    const { width, height, data } = await this.map(number);
    return { width, height, data: data.map((object) => (objects.has(object) ? 1 : 0)) };
  }

  /**
   * The box of each active track in each frame.
   * @throws InputError if tracks or a map are missing or wrong
   */
  async tracks(): Promise<TrackBox[]> {
    const rows = await this.tracksOfRegions();
    const boxes: TrackBox[] = [];
    const count = rows.length === 0 ? 0 : await frameCountOf(this.clip);
    await inFlight(Array(count).keys(), DECODES_IN_FLIGHT, async (frame) => {
      const number = frameNumber(this.clip, frame);
      const active = rows.flatMap((row, track) => (isActive(row, number) ? [{ track, object: row.object }] : []));
      if (active.length === 0) return;
      const map = await this.map(number);
      for (const { track, object } of active) {
        const box = boxOf(map, object);
        if (box) boxes.push({ track, frame, ...box });
      }
    });
    return boxes.sort((a, b) => a.track - b.track || a.frame - b.frame);
  }

  /** The map of a frame: each pixel is the number of an object. */
  private async map(number: number): Promise<ValueImage> {
    const path = (await this.mapPaths()).get(number);
    if (path === undefined) {
      throw new InputError(
        `${oneLine(this.folder)} has no …_gt.png for the frame number ${number}, in which a track is active`,
      );
    }
    const image = await readPngValues(path);
    await checkMaskSize(path, image, this.clip);
    return image;
  }
}

const isActive = ({ first, last }: ObjectTrack, number: number): boolean => number >= first && number <= last;

/** Does the work at the first call only. */
function once<T>(work: () => T): () => T {
  let result: { value: T } | undefined;
  return () => {
    result ??= { value: work() };
    return result.value;
  };
}

/**
 * Reads rows `object,first,last`; the last frame is part of the track, and may lie beyond the
 * video's end. NumPy writes the numbers as "1.0". A file may be empty.
 * @throws InputError that names file and line
 */
async function readObjectTracks(path: string, { numbers, frameCount }: Clip): Promise<ObjectTrack[]> {
  const newest = numbers?.at(-1) ?? (frameCount ?? Number.POSITIVE_INFINITY) - 1;
  return (await readLines(path)).map((line) => {
    const values = numbersOf(line);
    const [object, first, last] = values;
    if (values.length !== 3 || !values.every((value) => Number.isSafeInteger(value) && value >= 0)) {
      throw new InputError(`${line.where}: a row is object,first,last in whole numbers, not ${oneLine(line.text)}`);
    }
    if (last < first || first > newest) {
      throw new InputError(
        `${line.where}: a track from frame ${first} to ${last} is impossible: the video's last frame is ${newest}`,
      );
    }
    return { object, first, last };
  });
}

/** Paths by frame number, which is the last run of digits before "_gt". */
async function listMaps(folder: string): Promise<Map<number, string>> {
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

/**
 * The box of an object: that of its largest piece, by the box's area; undefined if it has no pixel.
 * Right and bottom edge lie one pixel beyond the object, as in the authors' script, but not beyond
 * the image.
 */
function boxOf(map: ValueImage, object: number): Box | undefined {
  const all = boundingBox(map, object);
  if (!all) return undefined;
  // Pieces are looked for in the part of the map that holds them all: it is small.
  const columns = all.x2 - all.x1 + 1;
  const inside = new Uint8Array(area(all));
  for (let y = all.y1, i = 0; y <= all.y2; y++) {
    for (let x = all.x1; x <= all.x2; x++, i++) inside[i] = map.data[y * map.width + x] === object ? 1 : 0;
  }
  let [largest, ...others] = connectedComponents(inside, columns).map(({ box }) => box);
  for (const box of others) if (area(box) > area(largest)) largest = box;
  return {
    x1: all.x1 + largest.x1,
    y1: all.y1 + largest.y1,
    x2: Math.min(all.x1 + largest.x2 + 1, map.width - 1),
    y2: Math.min(all.y1 + largest.y2 + 1, map.height - 1),
  };
}

const area = ({ x1, y1, x2, y2 }: Box) => (x2 - x1 + 1) * (y2 - y1 + 1);

/** The box around all pixels of an object, corners inclusive; undefined if it has none. */
function boundingBox({ width, height, data }: ValueImage, object: number): Box | undefined {
  let [x1, y1, x2, y2] = [width, height, -1, -1];
  for (let at = data.indexOf(object); at >= 0; at = data.indexOf(object, at + 1)) {
    const x = at % width;
    x1 = Math.min(x1, x);
    x2 = Math.max(x2, x);
    y2 = (at - x) / width;
    y1 = Math.min(y1, y2);
  }
  return x2 < 0 ? undefined : { x1, y1, x2, y2 };
}
