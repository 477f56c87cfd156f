// Regions of a map that are abnormal, as boxes in pixels.
import { type Box, connectedComponents } from "../data/connected_components.js";
import type { ScoreMap } from "../detector/token_maps.js";
import { InputError } from "../errors.js";

/** An abnormal region of a frame. */
export interface Region extends Box {
  /** The higher, the less normal. */
  score: number;
}

/**
 * Regions of a map: 8-connected cells that reach the threshold and are above 0. The box of a region
 * covers the pixels whose centres fall into its cells; its score is its largest cell.
 * @param size of the image in pixels; the map is stretched over it
 * @returns in the order of their first cells, row by row
 * @throws InputError if the map's data do not match its size, or have a NaN
 */
export function findRegions(map: ScoreMap, threshold: number, size: { width: number; height: number }): Region[] {
  checkMap(map, "a map");
  const inside = Uint8Array.from(map.data, (value) => (value >= threshold && value > 0 ? 1 : 0));
  return connectedComponents(inside, map.columns).map(({ box, cells }) => {
    const [x1, x2] = pixelsOf(box.x1, box.x2, map.columns, size.width);
    const [y1, y2] = pixelsOf(box.y1, box.y2, map.rows, size.height);
    const score = cells.reduce((most, cell) => Math.max(most, map.data[cell]), 0);
    return { x1, y1, x2, y2, score };
  });
}

/**
 * The cell that a pixel's centre falls into, of `cells` cells stretched over `pixels` pixels:
 * floor((pixel + ½) · cells / pixels).
 */
export function cellOf(pixel: number, cells: number, pixels: number): number {
  // Whole numbers up to the only division, so that rounding does not move a border.
  return Math.floor(((2 * pixel + 1) * cells) / (2 * pixels));
}

/**
 * The first and the last pixel whose centre falls into the cells `first`…`last`. If they are too
 * narrow for any centre: the pixel at their middle, twice.
 */
function pixelsOf(first: number, last: number, cells: number, pixels: number): [number, number] {
  // ⌈cell · pixels / cells − ½⌉ in whole numbers
  const from = (cell: number) => Math.floor((2 * cell * pixels + cells - 1) / (2 * cells));
  const [start, end] = [from(first), from(last + 1) - 1];
  if (start <= end) return [start, end];
  const middle = Math.min(pixels - 1, Math.floor(((first + last + 1) * pixels) / (2 * cells)));
  return [middle, middle];
}

/**
 * Checks a map.
 * @param name the map or its frame, for messages
 * @throws InputError unless it has rows × columns values, none of them NaN
 */
export function checkMap({ rows, columns, data }: ScoreMap, name: string): void {
  if (data.length === 0 || data.length !== rows * columns) {
    throw new InputError(`${name}: a map of ${rows}×${columns} cells has ${data.length} values`);
  }
  const at = data.findIndex(Number.isNaN);
  if (at >= 0) {
    throw new InputError(`${name}: the map is NaN in row ${Math.floor(at / columns)}, column ${at % columns}`);
  }
}
