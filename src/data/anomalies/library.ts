// Collects moving objects from training videos, as material for pseudo-anomalies.

import { counted } from "../../counted.js";
import { InputError } from "../../errors.js";
import type { DatasetVideo } from "../dataset.js";
import { type Frame, sampleStride } from "../frame.js";
import type { BgrImage } from "../resize.js";
import type { DrawnKind } from "./drawn_kinds.js";
import { type Box, EvenSample, ForegroundFinder, medianImage, type Region } from "./foreground.js";
import { type UsualPerson, usualPeople } from "./usual_person.js";

/** The background is the median of up to twice as many frames. */
const backgroundFrames = 12;
/** Number of frames of a video in which to look for objects. */
const anchors = 48;
/** Frames in which an object must be seen. */
const windowFrames = 2 * sampleStride + 1;
/** Width of a window's soft edge around its box, as a share of the box's half sides. */
export const windowEdge = 0.25;
/** Pixels around an object's windows that its crop includes, because pasting averages over them. */
const cropMargin = 4;

/** A moving object's pixels in seven frames, and the background there. */
export interface ObjectCrop {
  /** The crops' left edge in their frames, in pixels. */
  x: number;
  /** Their top edge. */
  y: number;
  /** Seven crops of the same size: `frame` − 3 to `frame` + 3. */
  frames: BgrImage[];
  background: BgrImage;
}

/** Something that moves in a video, usually a person. */
export interface MovingObject {
  /** The position of its frame in the video. */
  frame: number;
  /** Boxes around it in frame − 3, frame, frame + 3, in pixels of the source. */
  boxes: readonly [Box, Box, Box];
  crop?: ObjectCrop;
  /** Only of drawn objects: what they are. They face right, and move where they face. */
  drawn?: DrawnKind;
}

/** What pseudo-anomalies need from a training video. */
export interface LibraryClip {
  name: string;
  width: number;
  height: number;
  frameCount: number;
  /** The median over time. */
  background: BgrImage;
  /**
   * Differences from the background in grey levels: a pixel is not foreground up to `low`, and
   * fully foreground from `high` on.
   */
  low: number;
  high: number;
  /** Whether its frames are gray. Then pasted pixels must be gray as well. */
  gray: boolean;
  objects: MovingObject[];
  /** How tall people are here. Where nobody moves, the people of another clip, at its scale. */
  usual: UsualPerson;
}

/** The moving objects of the training videos. */
export interface ForegroundLibrary {
  clips: readonly LibraryClip[];
  /** Drawn objects, on sheets that stand one after the other like the frames of a clip. */
  drawn?: LibraryClip;
}

/** Options of {@link buildForegroundLibrary}. */
export interface LibraryOptions {
  /**
   * Also keep objects' pixels, of as many objects as fit into these bytes, but of one per video at
   * least. For callers that have no frames when they paste. Default: keep none.
   */
  cropBytes?: number;
  signal?: AbortSignal;
  /** Called after each frame. Each video is read twice. */
  onFrame?: () => void;
}

/**
 * Finds moving objects in training videos: they differ from the median over time, are whole, stand
 * apart, and are found elsewhere three frames before and after. Reads one video at a time, and lets
 * other work run between frames.
 * @throws InputError if a video cannot be read, or nothing moves in any of them
 */
export async function buildForegroundLibrary(
  videos: readonly DatasetVideo[],
  options: LibraryOptions = {},
): Promise<ForegroundLibrary> {
  const clips: FoundClip[] = [];
  for (const video of videos) clips.push(await readClip(video, options, videos.length));
  if (clips.every(({ objects }) => objects.length === 0)) {
    const longest = clips.reduce((at, { frameCount }, i) => (frameCount > clips[at].frameCount ? i : at), 0);
    const { frameCount } = clips[longest];
    if (frameCount < windowFrames) {
      throw new InputError(
        `${videos[longest].path} has ${counted(frameCount, "frame")}, and no training video has more: ` +
          `pseudo-anomalies need ${windowFrames}, better a few seconds`,
      );
    }
    throw new InputError(
      `no moving foreground was found in ${videos.length === 1 ? `the training video ${videos[0].path}` : `the ${videos.length} training videos`}: ` +
        "pseudo-anomalies need a fixed camera and people or things that move, apart from each other, for a few seconds",
    );
  }
  return { clips: clips.map((clip) => ({ ...clip, usual: clip.usual ?? usualElsewhere(clip, clips) })) };
}

/** What was found in a video; no usual person where nothing moves. */
type FoundClip = Omit<LibraryClip, "usual"> & Partial<Pick<LibraryClip, "usual">>;

/** The people of the first clip that has some, as if a clip without any had its view. */
function usualElsewhere({ height }: FoundClip, clips: readonly FoundClip[]): UsualPerson {
  const { usual, height: other } = clips.find((clip): clip is LibraryClip => clip.usual !== undefined)!;
  const scale = height / other;
  return { ...usual, height: usual.height * scale, foot: usual.foot * scale };
}

async function readClip(
  video: DatasetVideo,
  { cropBytes, signal, onFrame }: LibraryOptions,
  clipCount: number,
): Promise<FoundClip> {
  const source = await video.open();
  const { width, height } = source;
  const sample = new EvenSample<BgrImage>(backgroundFrames);
  let frameCount = 0;
  for await (const frame of source.frames(signal)) {
    sample.add(frame);
    frameCount++;
    onFrame?.();
  }
  if (frameCount === 0) throw new InputError(`${video.path} has no frames`);
  const background = await medianImage(sample.items);
  const finder = new ForegroundFinder(background, sample.items);

  const objects: MovingObject[] = [];
  const stride = Math.max(1, Math.floor(frameCount / anchors));
  const window: Frame[] = [];
  for await (const frame of source.frames(signal)) {
    window.push(frame);
    if (window.length > windowFrames) window.shift();
    onFrame?.();
    const anchor = frame.index - sampleStride;
    if (window.length < windowFrames || anchor % stride !== 0) continue;
    const regions = [0, sampleStride, 2 * sampleStride].map((i) => finder.objects(window[i]));
    for (const boxes of movingTriples(regions[0], regions[1], regions[2], height)) {
      const object: MovingObject = { frame: anchor, boxes };
      if (cropBytes !== undefined) object.crop = cutObjectCrop(boxes, window, background);
      objects.push(object);
    }
  }
  const { usual, alike } = usualPeople(objects);
  return {
    name: video.name,
    width,
    height,
    frameCount,
    background,
    low: 1.2 * finder.threshold,
    high: 2.6 * finder.threshold,
    gray: isGray(background),
    objects: cropBytes === undefined ? alike : within(alike, cropBytes / clipCount),
    ...(usual && { usual }),
  };
}

/**
 * Objects that are found in all three frames, with similar sizes, and that move. An object's three
 * boxes get the same size.
 */
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
    // 1.5 pixels in six frames, at 240 lines.
    if (Math.hypot(last.x - first.x, last.y - first.y) < 0.006 * height) continue;
    // Something that swings to and fro does not walk.
    if ((region.x - first.x) * (last.x - region.x) + (region.y - first.y) * (last.y - region.y) < 0) continue;
    const rx = Math.max(first.rx, region.rx, last.rx);
    const ry = Math.max(first.ry, region.ry, last.ry);
    const box = ({ x, y }: Region): Box => ({ x, y, rx, ry });
    triples.push([box(first), box(region), box(last)]);
  }
  return triples;
}

/** The region that matches: near, of similar size, and the only one nearby. */
function matchOf(region: Region, others: readonly Region[]): Region | undefined {
  const near = others.filter(
    ({ x, y, rx, ry }) => Math.abs(x - region.x) < region.rx + rx && Math.abs(y - region.y) < 0.5 * (region.ry + ry),
  );
  const [match] = near;
  if (near.length !== 1 || !match) return undefined;
  const alike = (a: number, b: number) => Math.min(a, b) > 0.7 * Math.max(a, b);
  return alike(match.area, region.area) && alike(match.ry, region.ry) ? match : undefined;
}

/** An object's pixels in a window of seven frames. */
export function cutObjectCrop(boxes: readonly Box[], window: readonly BgrImage[], background: BgrImage): ObjectCrop {
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

/** An object's pixels. @throws Error if its library was built without them */
export function keptCrop({ crop }: MovingObject): ObjectCrop {
  if (!crop) throw new Error("the library was built without crops");
  return crop;
}

/** As many objects as fit into `bytes`, evenly spread; at least one. */
function within(objects: readonly MovingObject[], bytes: number): MovingObject[] {
  const total = objects.reduce((sum, { crop }) => sum + 8 * (crop?.background.data.length ?? 0), 0);
  const share = Math.min(1, bytes / Math.max(total, 1));
  const fitting = objects.filter((_, i) => Math.floor((i + 1) * share) > Math.floor(i * share));
  return fitting.length > 0 ? fitting : objects.slice(objects.length >> 1, (objects.length >> 1) + 1);
}

function isGray({ data }: BgrImage): boolean {
  for (let i = 0; i < data.length; i += 3) if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
  return true;
}
