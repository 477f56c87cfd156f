// A picture of pseudo-anomalies to look at: a few samples side by side.
import sharp from "sharp";
import { sampleStride } from "../../data/frame.js";
import { type BgrImage, resizeBilinear } from "../../data/resize.js";
import { encodePng } from "../media/png_write.js";
import type { AnomalyFrame } from "./anomaly_frames.js";

/** Width of a picture, and of the gap between pictures, in pixels. */
const pictureWidth = 320;
const gap = 6;

/** A sample as training sees it. */
export interface Moment {
  previous: BgrImage;
  current: BgrImage;
  next: BgrImage;
  mask: BgrImage;
}

/** Finds the first moment at or after a position that has something abnormal in it. */
export class MomentFinder {
  private readonly recent: AnomalyFrame[] = [];
  private seen = 0;

  constructor(private readonly from: number) {}

  /** Takes the video's next frame. @returns the moment, once its three frames have come */
  add(frame: AnomalyFrame): Moment | undefined {
    this.recent.push(frame);
    if (this.recent.length > 2 * sampleStride + 1) this.recent.shift();
    if (this.recent.length < 2 * sampleStride + 1 || this.seen++ < this.from) return undefined;
    const [previous, current, next] = [0, sampleStride, 2 * sampleStride].map((i) => this.recent[i]);
    if (!current.mask.data.some((value) => value >= 128)) return undefined;
    return { previous: previous.frame, current: current.frame, next: next.frame, mask: current.mask };
  }
}

/**
 * A PNG with a column per moment: previous, current and next frame, then the current one with its
 * mask in red.
 */
export async function contactSheet(moments: readonly Moment[]): Promise<Buffer> {
  const heights = moments.map(({ current }) => Math.round((current.height * pictureWidth) / current.width));
  const rowHeight = Math.max(...heights);
  const pictures = moments.flatMap((moment, column) => {
    const height = heights[column];
    const { previous, current, next } = moment;
    return [previous, current, next, overlay(moment)].map((image, row) => ({
      image: resizeBilinear(image, { height, width: pictureWidth }),
      left: gap + column * (pictureWidth + gap),
      top: gap + row * (rowHeight + gap),
    }));
  });
  return sharp({
    create: {
      width: gap + moments.length * (pictureWidth + gap),
      height: gap + 4 * (rowHeight + gap),
      channels: 3,
      background: "#202020",
    },
  })
    .composite(
      await Promise.all(
        pictures.map(async ({ image, left, top }) => ({
          input: await encodePng(image.data, image.width, image.height),
          left,
          top,
        })),
      ),
    )
    .png()
    .toBuffer();
}

function overlay({ current, mask }: Moment): BgrImage {
  const data = current.data.slice();
  for (let i = 0; i < data.length; i += 3) {
    if (mask.data[i] < 128) continue;
    data[i] >>= 1;
    data[i + 1] >>= 1;
    data[i + 2] = 128 + (data[i + 2] >> 1);
  }
  return { ...current, data };
}
