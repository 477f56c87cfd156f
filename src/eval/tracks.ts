import type { PixelMask, TrackBox } from "../data/dataset.js";
import { InputError } from "../errors.js";
import { boxIou } from "./region_metrics.js";
import { type Box, connectedComponents } from "./regions.js";

/** Fewer abnormal pixels than this in one piece are a slip of the annotator, not a region. */
const LEAST_PIXELS = 10;

/**
 * Ground-truth tracks of a video that has pixel masks only. A frame's regions are the boxes of its mask's 8-connected components of 10 pixels
 * or more. A region goes on with the track of the frame before whose box it overlaps most (by IoU, the best pair of the frame first, each track
 * once); one that overlaps none begins a new track. Tracks are numbered from 0 as they begin, in a frame row by row.
 */
export class TrackBuilder {
  private readonly boxesOf: TrackBox[][] = [];
  private previous: TrackBox[] = [];
  private frames = 0;

  /** Adds the video's next frame. @throws InputError for a mask whose size is not that of its data */
  add({ width, height, data }: PixelMask): void {
    if (data.length !== width * height) {
      throw new InputError(`mask ${this.frames}: ${width}×${height} pixels have ${data.length} values`);
    }
    const regions = connectedComponents(data, width)
      .filter(({ cells }) => cells.length >= LEAST_PIXELS)
      .map(({ box }) => box);
    const trackOf = linked(this.previous, regions);
    this.previous = regions.map((box) => {
      const track = trackOf.get(box) ?? this.boxesOf.push([]) - 1;
      const trackBox = { track, frame: this.frames, ...box };
      this.boxesOf[track]?.push(trackBox);
      return trackBox;
    });
    this.frames++;
  }

  /** Every region of every track so far, track by track. */
  get boxes(): TrackBox[] {
    return this.boxesOf.flat();
  }
}

/** Which track each region goes on with. */
function linked(previous: readonly TrackBox[], regions: readonly Box[]): Map<Box, number> {
  const pairs = previous.flatMap((before) =>
    regions.map((region) => ({ track: before.track, region, iou: boxIou(before, region) })),
  );
  const trackOf = new Map<Box, number>();
  const taken = new Set<number>();
  for (const { track, region, iou } of pairs.sort((a, b) => b.iou - a.iou)) {
    if (iou === 0) break;
    if (taken.has(track) || trackOf.has(region)) continue;
    trackOf.set(region, track);
    taken.add(track);
  }
  return trackOf;
}
