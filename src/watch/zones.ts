// Zones and masks of a camera's view: which tokens count, and where in the frame they are high.

import { connectedComponents } from "../data/connected_components.js";
import type { ScoreMap } from "../detector/token_maps.js";
import { InputError } from "../errors.js";

/**
 * The corners of an area, [x, y] as shares of the frame's width and height: 0, 0 is the upper left
 * corner, 1, 1 the lower right one. The last corner is joined to the first.
 */
export type Polygon = readonly (readonly [number, number])[];

/** A rectangle in shares of the frame's width and height, 0…1; x, y is its upper left corner. */
export interface RelativeBox {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Points per token in each direction that decide how much of it an area covers. */
const SAMPLES = 8;

/**
 * Which tokens belong to the union of some areas: 1 if at least half of the token lies in them,
 * else 0; row-major, rows × columns. Where an area's edges cross, the even-odd rule decides. An
 * area that covers half of no token has none.
 */
export function tokensIn(polygons: readonly Polygon[], rows: number, columns: number): Uint8Array {
  return Uint8Array.from({ length: rows * columns }, (_, token) => {
    const [row, column] = [Math.floor(token / columns), token % columns];
    let inside = 0;
    for (let i = 0; i < SAMPLES * SAMPLES; i++) {
      const x = (column + ((i % SAMPLES) + 0.5) / SAMPLES) / columns;
      const y = (row + (Math.floor(i / SAMPLES) + 0.5) / SAMPLES) / rows;
      if (polygons.some((polygon) => contains(polygon, x, y))) inside++;
    }
    return 2 * inside >= SAMPLES * SAMPLES ? 1 : 0;
  });
}

/** Whether a point is in an area: a ray to the right crosses its edges an odd number of times. */
function contains(polygon: Polygon, x: number, y: number): boolean {
  let inside = false;
  for (const [i, [x2, y2]] of polygon.entries()) {
    const [x1, y1] = polygon[(i || polygon.length) - 1];
    if (y1 > y !== y2 > y && x < x1 + ((y - y1) / (y2 - y1)) * (x2 - x1)) inside = !inside;
  }
  return inside;
}

/** Areas below this share of the frame are none. It is above the rounding errors of corners. */
const LEAST_AREA = 1e-9;

/**
 * Refuses what is no area.
 * @param name of the area, for the message
 * @throws InputError for fewer than 3 points, coordinates that are not from 0 to 1, and points that
 * enclose nothing
 */
export function checkPolygon(polygon: Polygon, name: string): void {
  if (polygon.length < 3) throw new InputError(`${name} needs at least 3 points, not ${polygon.length}`);
  for (const [i, [x, y]] of polygon.entries()) {
    if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1)) {
      throw new InputError(`point ${i + 1} of ${name} is [${x}, ${y}]: coordinates go from 0 to 1`);
    }
  }
  if (Math.abs(signedArea(polygon)) < LEAST_AREA) {
    throw new InputError(`${name} has no area: its points lie on a line, or its edges cross in the middle`);
  }
}

function signedArea(polygon: Polygon): number {
  let sum = 0;
  for (const [i, [x2, y2]] of polygon.entries()) {
    const [x1, y1] = polygon[(i || polygon.length) - 1];
    sum += x1 * y2 - x2 * y1;
  }
  return sum / 2;
}

/**
 * The bounds of the connected tokens at or above a level around the highest token. Tokens that
 * share an edge or a corner are connected, as in `findRegions`.
 * @param counts 1 for each token that counts, row-major; default: all count
 * @returns nothing if no token reaches the level
 */
export function regionOf(
  { rows, columns, data }: ScoreMap,
  level: number,
  counts?: Uint8Array,
): RelativeBox | undefined {
  const inside = Uint8Array.from(data, (value, token) => (value >= level && (!counts || counts[token] === 1) ? 1 : 0));
  let highest = -1;
  for (let token = 0; token < inside.length; token++) {
    if (inside[token] === 1 && !(data[token] <= data[highest])) highest = token;
  }
  const found = connectedComponents(inside, columns).find(({ cells }) => cells.includes(highest));
  if (!found) return undefined;
  const { x1, y1, x2, y2 } = found.box;
  return { x: x1 / columns, y: y1 / rows, width: (x2 - x1 + 1) / columns, height: (y2 - y1 + 1) / rows };
}
