/** A seeded generator of uniform numbers in [0, 1): SplitMix32. */
export function uniformGenerator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return ((z ^ (z >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** Mixes whole numbers into one of 32 bits that depends on each of them and on their order. */
export function mix(...keys: readonly number[]): number {
  let state = 0x2545f491;
  for (const key of keys) {
    state = Math.imul(state ^ (key | 0), 0x9e3779b1);
    state = Math.imul(state ^ (state >>> 15), 0x85ebca6b);
    state ^= state >>> 13;
  }
  return state >>> 0;
}
