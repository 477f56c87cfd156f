import { InputError } from "../../errors.js";
import type { DatasetVideo } from "../dataset.js";
import { type Frame, sampleStride } from "../frame.js";
import type { BgrImage } from "../resize.js";
import { type Box, EvenSample, ForegroundFinder, medianImage, type Region } from "./foreground.js";

/** Background is the median of up to twice as many frames. */
const backgroundFrames = 12;
/** Places of a video at which objects are looked for. */
const anchors = 48;
/** A window's soft edge beyond its box, as a share of the box's half sides. */
export const windowEdge = 0.25;
/** Pixels around an object's windows that are cut out with it: what is averaged about a point. */
const cropMargin = 4;

/** Pixels of a moving object in the frames around its own, and of the background there. */
export interface ObjectCrop {
  /** Where the crops lie in their frames. */
  x: number;
  y: number;
  /** Seven of them, of one size: `frame` − 3 to `frame` + 3. */
  frames: BgrImage[];
  background: BgrImage;
}

/** Something that moves in a video: a person, as a rule. */
export interface MovingObject {
  /** Its frame, by position in the video. */
  frame: number;
  /** Around it in frame − 3, frame, frame + 3, in pixels of the source. */
  boxes: readonly [Box, Box, Box];
  crop?: ObjectCrop;
}

/** What pseudo-anomalies need to know of a training video. */
export interface LibraryClip {
  name: string;
  width: number;
  height: number;
  frameCount: number;
  /** The median over time. */
  background: BgrImage;
  /** Differences from the background, in grey levels: at `low` a pixel begins to count as foreground, at `high` it does wholly. */
  low: number;
  high: number;
  /** Whether its frames are gray: their colours must stay so. */
  gray: boolean;
  objects: MovingObject[];
}

/** Moving foreground of the training videos. */
export interface ForegroundLibrary {
  clips: readonly LibraryClip[];
}

export interface LibraryOptions {
  /** Keep objects' pixels, for those who have no frames at hand when they paste: of so many objects as fit into these bytes. Default: none. */
  cropBytes?: number;
  signal?: AbortSignal;
  /** Called after each frame that was read; each video is read twice. */
  onFrame?: () => void;
}

/**
 * Looks for moving foreground in training videos: what differs from the median over time, is whole, stands apart and is found again,
 * elsewhere, three frames before and after. Reads one video after the other and gives way to other work between frames.
 * @throws InputError as the videos do, and where nothing moves in any of them
 */
export async function buildForegroundLibrary(
  videos: readonly DatasetVideo[],
  options: LibraryOptions = {},
): Promise<ForegroundLibrary> {
  const clips: LibraryClip[] = [];
  for (const video of videos) clips.push(await readClip(video, options, videos.length));
  if (clips.every(({ objects }) => objects.length === 0)) {
    throw new InputError(
      `no moving foreground was found in ${videos.length === 1 ? `the training video ${videos[0].path}` : `the ${videos.length} training videos`}: ` +
        "pseudo-anomalies need a fixed camera and people or things that move, apart from each other, for a few seconds",
    );
  }
  return { clips };
}

async function readClip(
  video: DatasetVideo,
  { cropBytes, signal, onFrame }: LibraryOptions,
  clipCount: number,
): Promise<LibraryClip> {
  const source = await video.open();
  const { width, height } = source;
  const sample = new EvenSample<BgrImage>(backgroundFrames);
  let frameCount = 0;
  for await (const frame of source.frames(signal)) {
    sample.add(frame);
    frameCount++;
    onFrame?.();
  }
  if (frameCount === 0) throw new InputError(`${video.path} has no frame`);
  const background = await medianImage(sample.items);
  const finder = new ForegroundFinder(background, sample.items);

  const objects: MovingObject[] = [];
  const stride = Math.max(1, Math.floor(frameCount / anchors));
  const window: Frame[] = [];
  for await (const frame of source.frames(signal)) {
    window.push(frame);
    if (window.length > 2 * sampleStride + 1) window.shift();
    onFrame?.();
    const anchor = frame.index - sampleStride;
    if (window.length < 2 * sampleStride + 1 || anchor % stride !== 0) continue;
    const regions = [0, sampleStride, 2 * sampleStride].map((i) => finder.objects(window[i]));
    for (const boxes of movingTriples(regions[0], regions[1], regions[2], height)) {
      const object: MovingObject = { frame: anchor, boxes };
      if (cropBytes !== undefined) object.crop = cut(boxes, window, background);
      objects.push(object);
    }
  }
  return {
    name: video.name,
    width,
    height,
    frameCount,
    background,
    low: 1.2 * finder.threshold,
    high: 2.6 * finder.threshold,
    gray: isGray(background),
    objects: cropBytes === undefined ? usual(objects) : within(usual(objects), cropBytes / clipCount),
  };
}

/** Objects that are found in all three frames, at about one size, and that move. Boxes of one track are made equally large. */
function movingTriples(
  before: readonly Region[],
  now: readonly Region[],
  after: readonly Region[],
  height: number,
): [Box, Box, Box][] {
  const triples: [Box, Box, Box][] = [];
  for (const region of now) {
    const [first, last] = [matchOf(region, before), matchOf(region, after)];
    if (!first || !last) continue;
    // A pixel and a half at 240 lines, in six frames.
    if (Math.hypot(last.x - first.x, last.y - first.y) < 0.006 * height) continue;
    // Who swings to and fro does not walk.
    if ((region.x - first.x) * (last.x - region.x) + (region.y - first.y) * (last.y - region.y) < 0) continue;
    const rx = Math.max(first.rx, region.rx, last.rx);
    const ry = Math.max(first.ry, region.ry, last.ry);
    const box = ({ x, y }: Region): Box => ({ x, y, rx, ry });
    triples.push([box(first), box(region), box(last)]);
  }
  return triples;
}

/** The only region that is near enough and about as large. */
function matchOf(region: Region, others: readonly Region[]): Region | undefined {
  const near = others.filter(
    ({ x, y, rx, ry }) => Math.abs(x - region.x) < region.rx + rx && Math.abs(y - region.y) < 0.5 * (region.ry + ry),
  );
  const [match] = near;
  if (near.length !== 1 || !match) return undefined;
  const alike = (a: number, b: number) => Math.min(a, b) > 0.7 * Math.max(a, b);
  return alike(match.area, region.area) && alike(match.ry, region.ry) ? match : undefined;
}

function cut(boxes: readonly Box[], window: readonly BgrImage[], background: BgrImage): ObjectCrop {
  const { width, height } = background;
  const reach = 1 + windowEdge;
  const x = Math.max(0, Math.floor(Math.min(...boxes.map((b) => b.x - reach * b.rx)) - cropMargin));
  const y = Math.max(0, Math.floor(Math.min(...boxes.map((b) => b.y - reach * b.ry)) - cropMargin));
  const right = Math.min(width, Math.ceil(Math.max(...boxes.map((b) => b.x + reach * b.rx)) + cropMargin));
  const bottom = Math.min(height, Math.ceil(Math.max(...boxes.map((b) => b.y + reach * b.ry)) + cropMargin));
  const crop = (image: BgrImage) => cropImage(image, x, y, right - x, bottom - y);
  return { x, y, frames: window.map(crop), background: crop(background) };
}

function cropImage(image: BgrImage, x: number, y: number, width: number, height: number): BgrImage {
  const data = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    const from = ((y + row) * image.width + x) * 3;
    data.set(image.data.subarray(from, from + width * 3), row * width * 3);
  }
  return { data, width, height };
}

/** Without what is much smaller or larger than the rest: parts of people, and groups. */
function usual(objects: readonly MovingObject[]): MovingObject[] {
  const heights = objects.map(({ boxes }) => boxes[1].ry).sort((a, b) => a - b);
  const middle = heights[heights.length >> 1];
  return objects.filter(({ boxes }) => boxes[1].ry >= 0.55 * middle && boxes[1].ry <= 1.8 * middle);
}

/** As many of the objects as fit into so many bytes, evenly spread. */
function within(objects: readonly MovingObject[], bytes: number): MovingObject[] {
  const total = objects.reduce((sum, { crop }) => sum + 8 * (crop?.background.data.length ?? 0), 0);
  const share = Math.min(1, bytes / Math.max(total, 1));
  return objects.filter((_, i) => Math.floor((i + 1) * share) > Math.floor(i * share));
}

function isGray({ data }: BgrImage): boolean {
  for (let i = 0; i < data.length; i += 3) if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
  return true;
}
