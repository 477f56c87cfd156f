// Anomaly maps as images to put over their frames.
import type { ScoreMap } from "../../detector/token_maps.js";

/** An image: `rgba` is [height, width, 4] bytes, R, G, B, alpha (not premultiplied), row-major. */
export interface HeatmapImage {
  width: number;
  height: number;
  rgba: Uint8Array;
}

/**
 * Matplotlib's "plasma" at 0, 1/8, … 1. Its lightness rises evenly, so it works in grey and for the
 * colour-blind.
 */
const RAMP = [
  [0x0d, 0x08, 0x87],
  [0x4c, 0x02, 0xa1],
  [0x7e, 0x03, 0xa8],
  [0xa9, 0x23, 0x95],
  [0xcc, 0x47, 0x78],
  [0xe5, 0x6b, 0x5d],
  [0xf8, 0x95, 0x40],
  [0xfd, 0xc3, 0x28],
  [0xf0, 0xf9, 0x21],
] as const;

/**
 * An anomaly map as an image to put over its frame, one pixel per value. Colour and opacity grow
 * from `low` to `high`: values up to `low` are transparent, so that the frame shows; values from
 * `high` on are opaque. NaN is transparent.
 * @param map [rows, columns]
 * @param low an unremarkable value, such as a median over the data set
 * @param high the value with the strongest colour; if it is not above `low`, all values above `low`
 * have the strongest
 */
export function heatmap(map: ScoreMap, low: number, high: number): HeatmapImage {
  const { rows, columns, data } = map;
  const rgba = new Uint8Array(rows * columns * 4);
  for (let i = 0; i < rows * columns; i++) {
    const value = data[i];
    if (!(value > low)) continue;
    const t = value >= high ? 1 : (value - low) / (high - low);
    const place = t * (RAMP.length - 1);
    const below = Math.min(Math.floor(place), RAMP.length - 2);
    const [from, to] = [RAMP[below], RAMP[below + 1]];
    for (let c = 0; c < 3; c++) {
      const a = from[c];
      rgba[i * 4 + c] = Math.round(a + (to[c] - a) * (place - below));
    }
    rgba[i * 4 + 3] = Math.round(255 * t);
  }
  return { width: columns, height: rows, rgba };
}
