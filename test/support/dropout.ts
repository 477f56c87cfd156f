// Dropout in plain arithmetic: which values a mask drops.

/** PCG-4D by the paper's listing: the four words of a key. */
function pcg4d(key: readonly [number, number, number, number]): number[] {
  const v = key.map((word) => (Math.imul(word, 1664525) + 1013904223) >>> 0) as [number, number, number, number];
  const mix = () => {
    v[0] = (v[0] + Math.imul(v[1], v[3])) >>> 0;
    v[1] = (v[1] + Math.imul(v[2], v[0])) >>> 0;
    v[2] = (v[2] + Math.imul(v[0], v[1])) >>> 0;
    v[3] = (v[3] + Math.imul(v[1], v[2])) >>> 0;
  };
  mix();
  for (const i of [0, 1, 2, 3]) v[i] = (v[i] ^ (v[i] >>> 16)) >>> 0;
  mix();
  return v;
}

/** What a mask depends on. */
export interface Key {
  seed: number;
  step: number;
  layer: number;
}

/** What dropout multiplies each of `count` values by: 0, or 1 / (1 − rate). */
export function dropoutMask(count: number, rate: number, { seed, step, layer }: Key): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    const word = pcg4d([seed, step, layer, Math.floor(i / 4)])[i % 4];
    return word < rate * 2 ** 32 ? 0 : 1 / (1 - rate);
  });
}

/** Sizes, rates and masks for tests of GELU with dropout. */
export const dropoutCases: readonly { shape: number[]; rate: number; key: Key }[] = [
  { shape: [4], rate: 0, key: { seed: 1, step: 0, layer: 0 } },
  { shape: [2, 13, 12], rate: 0, key: { seed: 7, step: 2, layer: 3 } },
  { shape: [3, 7, 20], rate: 0.1, key: { seed: 0xdeadbeef, step: 123456, layer: 6 } },
  { shape: [1, 7, 64], rate: 0.5, key: { seed: 0, step: 0, layer: 0 } },
];
