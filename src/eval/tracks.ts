// Ground-truth tracks for data sets that have only pixel masks.

import { type Box, connectedComponents } from "../data/connected_components.js";
import type { PixelMask, TrackBox } from "../data/dataset.js";
import { InputError } from "../errors.js";
import { boxIou } from "./region_metrics.js";

/** Fewer connected abnormal pixels are taken for an annotation error, not a region. */
const LEAST_PIXELS = 10;

/**
 * Builds tracks from the masks of a video. The regions of a frame are the boxes around the mask's
 * 8-connected components of 10 pixels or more. A region continues the track of the last frame that
 * it overlaps most, by IoU; pairs are matched from the best down, each track once. A region that
 * overlaps none begins a new track. Tracks are numbered from 0 in the order in which they begin.
 */
export class TrackBuilder {
  private readonly boxesOf: TrackBox[][] = [];
  private previous: TrackBox[] = [];
  private frames = 0;

  /**
   * Adds the video's next frame.
   * @throws InputError if the mask's data do not match its size
   */
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
      this.boxesOf[track].push(trackBox);
      return trackBox;
    });
    this.frames++;
  }

  /** All regions so far, track by track. */
  get boxes(): TrackBox[] {
    return this.boxesOf.flat();
  }
}

/** The track that each region continues. */
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
