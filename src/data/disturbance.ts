// Disturbs normal video as weather and cameras do, to see which of it raises false alarms.
import { mix, uniformGenerator } from "../random.js";
import type { BgrImage } from "./resize.js";

/**
 * What disturbs a video:
 * - `light`: brighter by a third, then darker, within a few seconds, as behind clouds
 * - `noise`: of a standard deviation of 8 grey levels
 * - `compression`: blocks of 8×8 pixels lose their fine parts, as in JPEG of low quality
 * - `shaking`: the camera moves by up to a pixel at 240 lines, from frame to frame
 * - `night`: half as bright, with little contrast and some noise
 */
export const disturbances = ["light", "noise", "compression", "shaking", "night"] as const;
/** Name of a disturbance. */
export type Disturbance = (typeof disturbances)[number];

/**
 * A frame as it is when disturbed.
 * @param position of the frame in its video: the same position gives the same disturbance
 */
export function disturb(kind: Disturbance, image: BgrImage, position: number): BgrImage {
  switch (kind) {
    case "light": {
      const gain = 1 + Math.sin(position / 8) / 3;
      return mapped(image, (value) => gain * value);
    }
    case "noise":
      return mapped(image, (value) => value, { level: 8, position });
    case "compression":
      return compressed(image);
    case "shaking": {
      const random = uniformGenerator(mix(position, 6));
      const most = image.height / 240;
      const shift = () => Math.round((2 * random() - 1) * (most + 0.49));
      return shifted(image, shift(), shift());
    }
    case "night":
      return mapped(image, (value) => 30 + 0.4 * value, { level: 4, position });
  }
}

/** Values changed one by one; noise is the same for the channels of a pixel, as in gray video. */
function mapped(
  { data, width, height }: BgrImage,
  change: (value: number) => number,
  noise?: { level: number; position: number },
): BgrImage {
  const out = new Uint8Array(data.length);
  const random = uniformGenerator(mix(noise?.position ?? 0, 7));
  for (let i = 0; i < data.length; i += 3) {
    // The sum of four uniform numbers is about normal; its variance is 1 / 3.
    const normal = noise ? (random() + random() + random() + random() - 2) * Math.sqrt(3) : 0;
    for (let c = 0; c < 3; c++) {
      out[i + c] = Math.min(255, Math.max(0, Math.round(change(data[i + c]) + (noise?.level ?? 0) * normal)));
    }
  }
  return { data: out, width, height };
}

function shifted({ data, width, height }: BgrImage, dx: number, dy: number): BgrImage {
  const out = new Uint8Array(data.length);
  const clamp = (value: number, end: number) => Math.min(end - 1, Math.max(0, value));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (clamp(y + dy, height) * width + clamp(x + dx, width)) * 3;
      out.set(data.subarray(from, from + 3), (y * width + x) * 3);
    }
  }
  return { data: out, width, height };
}

/** Side of a block, and the step by which its coefficients are rounded: coarser for finer parts. */
const side = 8;
const roundingStep = (u: number, v: number) => 12 + 8 * (u + v);
/** cosines[u][x]: the basis of the discrete cosine transform of {@link side} values. */
const cosines = Array.from({ length: side }, (_, u) =>
  Float64Array.from(
    { length: side },
    (_, x) => Math.sqrt((u === 0 ? 1 : 2) / side) * Math.cos(((2 * x + 1) * u * Math.PI) / (2 * side)),
  ),
);

/** Blocks lose what rounding takes; what remains at the right and lower border stays. */
function compressed({ data, width, height }: BgrImage): BgrImage {
  const out = data.slice();
  const block = new Float64Array(side * side);
  for (let top = 0; top + side <= height; top += side) {
    for (let left = 0; left + side <= width; left += side) {
      for (let c = 0; c < 3; c++) {
        const at = (i: number) => ((top + Math.floor(i / side)) * width + left + (i % side)) * 3 + c;
        for (let i = 0; i < block.length; i++) block[i] = data[at(i)];
        const parts = transform(block, (u, x) => cosines[u][x]);
        for (let i = 0; i < parts.length; i++) {
          const step = roundingStep(Math.floor(i / side), i % side);
          parts[i] = Math.round(parts[i] / step) * step;
        }
        const rounded = transform(parts, (x, u) => cosines[u][x]);
        for (let i = 0; i < rounded.length; i++) out[at(i)] = Math.min(255, Math.max(0, Math.round(rounded[i])));
      }
    }
  }
  return { data: out, width, height };
}

/** Σ over y, x of basis(v, y) · basis(u, x) · block[y, x]. */
function transform(block: Float64Array, basis: (to: number, from: number) => number): Float64Array {
  const rows = new Float64Array(block.length);
  const out = new Float64Array(block.length);
  for (let y = 0; y < side; y++) {
    for (let u = 0; u < side; u++) {
      let sum = 0;
      for (let x = 0; x < side; x++) sum += basis(u, x) * block[y * side + x];
      rows[y * side + u] = sum;
    }
  }
  for (let v = 0; v < side; v++) {
    for (let u = 0; u < side; u++) {
      let sum = 0;
      for (let y = 0; y < side; y++) sum += basis(v, y) * rows[y * side + u];
      out[v * side + u] = sum;
    }
  }
  return out;
}
