// Bilinear resize on the CPU, with the same result as on the GPU.

import { interpolationTable, type Size } from "../ops/resize.js";

/** An 8-bit image: B, G, R, interleaved, row-major; height × width × 3 bytes. */
export interface BgrImage {
  data: Uint8Array;
  width: number;
  height: number;
}

/**
 * Resizes like OpenCV's INTER_LINEAR for 8-bit images, to the bit; the same arithmetic as
 * `shaders/resize.wgsl`. Returns the image itself if it has that size.
 */
export function resizeBilinear(image: BgrImage, { height, width }: Size): BgrImage {
  if (image.width === width && image.height === height) return image;
  const { data } = image;
  const columns = interpolationTable(image.width, width, "x");
  const rows = interpolationTable(image.height, height, "y");
  const out = new Uint8Array(height * width * 3);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const lower = rows[y] >>> 16;
    const [above, below] = neighbours(rows[y], image.height, image.width * 3);
    for (let x = 0; x < width; x++) {
      const right = columns[x] >>> 16;
      const [near, far] = neighbours(columns[x], image.width, 3);
      for (let c = 0; c < 3; c++) {
        const upperRow = data[above + near + c] * (2048 - right) + data[above + far + c] * right;
        const lowerRow = data[below + near + c] * (2048 - right) + data[below + far + c] * right;
        const sum = (((upperRow >> 4) * (2048 - lower)) >> 16) + (((lowerRow >> 4) * lower) >> 16);
        out[to++] = (sum + 2) >> 2;
      }
    }
  }
  return { data: out, width, height };
}

/** Offsets of the two neighbours in an entry of {@link interpolationTable}. */
function neighbours(entry: number, count: number, stride: number): [number, number] {
  const next = entry & 0xffff;
  return [(Math.max(next, 1) - 1) * stride, Math.min(next, count - 1) * stride];
}
