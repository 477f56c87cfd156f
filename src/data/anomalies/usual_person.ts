// How tall people usually are in a video, and how far they walk, by where they stand.

import { quantile } from "../quantile.js";
import type { Box } from "./foreground.js";

/**
 * How tall those usually are who move in a video, by where they stand: `height` pixels if the feet
 * are at row `foot`, and `slope` more for each row below. And how far they walk in three frames,
 * relative to that height.
 */
export interface UsualPerson {
  height: number;
  foot: number;
  slope: number;
  stride: number;
}

/** Something that moves: boxes around it in frame − 3, frame, frame + 3. */
interface Moving {
  boxes: readonly [Box, Box, Box];
}

/** The row that something stands on. */
export const footOf = ({ y, ry }: Pick<Box, "y" | "ry">) => y + ry;

/** Fewer objects do not show how heights depend on the place. */
const leastForSlope = 6;
/** A person nearer or farther than any that was seen: at most this many times as tall or small. */
const mostNearer = 3;

/**
 * How tall those usually are who move in a video, and the objects without those that are much
 * smaller or larger where they stand: parts of people, and groups.
 * @returns no usual person if there are no objects
 */
export function usualPeople<T extends Moving>(objects: readonly T[]): { usual?: UsualPerson; alike: T[] } {
  if (objects.length === 0) return { alike: [] };
  const line = usualHeights(objects);
  const near = objects.filter(({ boxes: [, now] }) => {
    const ratio = (2 * now.ry) / heightAt(line, footOf(now));
    return ratio >= 0.55 && ratio <= 1.8;
  });
  // Of two that differ much, neither is known to be the usual one.
  const alike = near.length > 0 ? near : [...objects];
  const strides = alike.map(({ boxes: [before, now, after] }) => {
    return Math.hypot(after.x - before.x, after.y - before.y) / 2 / heightAt(line, footOf(now));
  });
  return { usual: { ...line, stride: medianOf(strides) }, alike };
}

/** The usual height of those whose feet are at a row, in pixels. */
export function heightAt({ height, foot, slope }: Omit<UsualPerson, "stride">, row: number): number {
  return Math.min(Math.max(height + slope * (row - foot), height / mostNearer), height * mostNearer);
}

/**
 * A line through heights over rows: the median of the slopes between any two objects (Theil and
 * Sen), so that parts of people and groups do not count.
 */
function usualHeights(objects: readonly Moving[]): Omit<UsualPerson, "stride"> {
  const points = objects.map(({ boxes }) => ({ foot: footOf(boxes[1]), height: 2 * boxes[1].ry }));
  const foot = medianOf(points.map((point) => point.foot));
  const flat = { height: medianOf(points.map((point) => point.height)), foot, slope: 0 };
  if (points.length < leastForSlope) return flat;
  const slopes: number[] = [];
  for (const [i, a] of points.entries()) {
    for (const b of points.slice(i + 1)) {
      if (Math.abs(a.foot - b.foot) > 0.1 * flat.height) slopes.push((a.height - b.height) / (a.foot - b.foot));
    }
  }
  if (slopes.length < leastForSlope) return flat;
  // Who is nearer is not smaller.
  const slope = Math.max(0, medianOf(slopes));
  return { height: medianOf(points.map((point) => point.height - slope * (point.foot - foot))), foot, slope };
}

const medianOf = (values: readonly number[]) => quantile(Float64Array.from(values), 0.5);
