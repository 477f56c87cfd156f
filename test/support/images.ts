import type { Random } from "./numbers.js";
import type { Image } from "./reference.js";

export { packSamples } from "../../src/ops/samples.js";

/** A random 8-bit image. */
export function randomImage(random: Random, height: number, width: number, channels: number): Image {
  return { height, width, channels, data: random.bytes(height * width * channels) };
}

/**
 * Images, one after the other, as the engine packs them: one word per pixel, the first channel in
 * the lowest byte.
 */
export function packImages(images: readonly Image[]): Uint32Array<ArrayBuffer> {
  const words: number[] = [];
  for (const { data, channels } of images) {
    for (let i = 0; i < data.length; i += channels) {
      let word = 0;
      for (let c = 0; c < channels; c++) word += data[i + c] * 256 ** c;
      words.push(word);
    }
  }
  return Uint32Array.from(words);
}

/** The bytes of an interleaved image in a raw slot of `words` words. */
export function rawSlots(images: readonly Image[], words: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(images.length * words * 4);
  images.forEach(({ data }, i) => {
    bytes.set(data, i * words * 4);
  });
  return bytes;
}
