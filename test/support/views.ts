import type { LumaPicture } from "../../src/watch/luma.js";
import { Random } from "./numbers.js";

const [width, height] = [96, 54];

/** A camera's view of 96 × 54 pixels: boxes of many grays, whose edges no other seed has. */
export function viewOf(
  seed: number,
  light: (gray: number, x: number, y: number) => number = (gray) => gray,
): LumaPicture {
  const random = new Random(seed);
  const [values, data] = [random.bytes(5 * 150), new Uint8Array(width * height).fill(120)];
  for (let box = 0; box < 150; box++) {
    const [x, y, w, h, gray] = values.subarray(5 * box, 5 * box + 5);
    for (let row = 0; row < 4 + (h % 8); row++) {
      for (let column = 0; column < 4 + (w % 12); column++) {
        const at = [(x + column) % width, (y + row) % height];
        data[at[1] * width + at[0]] = gray;
      }
    }
  }
  return { data: data.map((gray, at) => light(gray, at % width, Math.floor(at / width))), width, height };
}
