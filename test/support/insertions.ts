// Where something that is pasted is, and how large.

import { mat2d } from "gl-matrix";
import type { Insertion } from "../../src/data/anomalies/insertion.js";

/** The middle of what is pasted, in the scene, at some offsets. */
export function pathOf({ layer }: Insertion, offsets: readonly number[]): (readonly [x: number, y: number])[] {
  return offsets.map((offset) => {
    const { affine, box } = layer(offset);
    const back = mat2d.invert(mat2d.create(), affine)!;
    return [back[0] * box.x + back[2] * box.y + back[4], back[1] * box.x + back[3] * box.y + back[5]] as const;
  });
}

/** Pixels of the scene per pixel of the source. */
export function sizeOf({ layer }: Insertion): number {
  return 1 / Math.sqrt(Math.abs(mat2d.determinant(layer(0).affine)));
}

/** How far it moves in three frames, in pixels of the scene. */
export function wayOf(insertion: Insertion): readonly [dx: number, dy: number] {
  const [before, after] = pathOf(insertion, [-3, 3]);
  return [(after[0] - before[0]) / 2, (after[1] - before[1]) / 2];
}
