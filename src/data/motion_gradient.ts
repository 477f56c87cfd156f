// The motion gradient on the CPU, for tools. The engine computes it on the GPU.

import type { Frame } from "./frame.js";

/** A frame with its neighbours in time. */
export interface FrameWithNeighbours {
  frame: Frame;
  /** Frame t − 1. */
  before: Frame;
  /** Frame t + 1. */
  after: Frame;
}

/**
 * Each frame of a video with its neighbours t − 1 and t + 1, by frame number. If one does not exist
 * (at either end or at a gap), the frame itself stands in (docs/method.md §1). Holds three frames
 * at a time.
 */
export async function* withNeighbours(frames: AsyncIterable<Frame>): AsyncGenerator<FrameWithNeighbours> {
  let before: Frame | undefined;
  let frame: Frame | undefined;
  const neighboured = (frame: Frame, after?: Frame): FrameWithNeighbours => ({
    frame,
    before: before?.number === frame.number - 1 ? before : frame,
    after: after?.number === frame.number + 1 ? after : frame,
  });
  for await (const after of frames) {
    if (frame) yield neighboured(frame, after);
    before = frame;
    frame = after;
  }
  if (frame) yield neighboured(frame);
}

/**
 * |frame[t − 1] − frame[t + 1]| of each value (docs/method.md §1), in B, G, R bytes. Both frames
 * must have the same size.
 */
export function motionGradient({ before, after }: FrameWithNeighbours): Uint8Array<ArrayBuffer> {
  const [a, b] = [before.data, after.data];
  const out = new Uint8Array(a.length);
  for (let i = 0; i < out.length; i++) out[i] = Math.abs(a[i] - b[i]);
  return out;
}
