import { describe, expect, it } from "vitest";
import { TrackBuilder } from "../../src/eval/tracks.js";

const [width, height] = [40, 30];

/** A mask with filled boxes (x1, y1, x2, y2). */
function mask(...boxes: [number, number, number, number][]) {
  const data = new Uint8Array(width * height);
  for (const [x1, y1, x2, y2] of boxes) {
    for (let y = y1; y <= y2; y++) data.fill(1, y * width + x1, y * width + x2 + 1);
  }
  return { width, height, data };
}

/** [track, frame, x1] of each box, for masks given frame by frame. */
function tracks(...masks: ReturnType<typeof mask>[]) {
  const builder = new TrackBuilder();
  for (const m of masks) builder.add(m);
  return builder.boxes.map(({ track, frame, x1 }) => [track, frame, x1]);
}

describe("tracks from masks", () => {
  it("follow a region from frame to frame, with inclusive boxes", () => {
    const builder = new TrackBuilder();
    builder.add(mask([2, 3, 7, 9]));
    builder.add(mask([4, 3, 9, 8], [20, 1, 25, 6]));
    expect(builder.boxes).toEqual([
      { track: 0, frame: 0, x1: 2, y1: 3, x2: 7, y2: 9 },
      { track: 0, frame: 1, x1: 4, y1: 3, x2: 9, y2: 8 },
      { track: 1, frame: 1, x1: 20, y1: 1, x2: 25, y2: 6 },
    ]);
  });

  it("end if nothing overlaps in the next frame, and are numbered as they begin", () => {
    const found = tracks(mask([0, 0, 5, 5]), mask(), mask([0, 0, 5, 5]), mask([20, 0, 25, 5]));
    expect(found).toEqual([
      [0, 0, 0],
      [1, 2, 0],
      [2, 3, 20],
    ]);
  });

  it("follow the larger overlap if a region splits, and only one continues if two regions merge", () => {
    const parted = mask([0, 0, 6, 9], [9, 0, 19, 9]);
    expect(tracks(mask([0, 0, 19, 9]), parted, mask([0, 0, 19, 9]))).toEqual([
      [0, 0, 0],
      [0, 1, 9],
      [0, 2, 0],
      [1, 1, 0],
    ]);
  });

  it("join pieces that touch at a corner, and leave out specks", () => {
    expect(tracks(mask([0, 0, 3, 3], [4, 4, 8, 8]))).toEqual([[0, 0, 0]]);
    // 9 pixels, and 10.
    expect(tracks(mask([0, 0, 2, 2], [10, 0, 14, 1]))).toEqual([[0, 0, 10]]);
  });

  it("refuse a mask whose data do not match its size", () => {
    expect(() => tracks(mask(), { ...mask(), width: 41 })).toThrow("mask 1: 41×30 pixels have 1200 values");
  });
});
