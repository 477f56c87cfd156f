// The samples of a step: which slots their frames are in, as words that kernels read.
import { sampleWords } from "./common.js";

/** What a sample is made of: slots of frames and of its target. What is not given is 0. */
export interface SampleRow {
  previous?: number;
  current?: number;
  next?: number;
  /** The motion gradient is |before - after|. */
  before?: number;
  after?: number;
  target?: number;
  /** The current frame's number: random masks depend on it. */
  frame?: number;
}

/** The word of a sample's row that each field lies in, as in shaders/common/sample.wgsl. */
export const sampleField = { previous: 0, current: 1, next: 2, before: 3, after: 4, target: 5, frame: 6 } as const;

/** Samples as kernels read them: [B, sampleWords]. */
export function packSamples(rows: readonly SampleRow[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(rows.length * sampleWords);
  for (const [b, row] of rows.entries()) {
    for (const [name, word] of Object.entries(sampleField)) {
      words[b * sampleWords + word] = row[name as keyof SampleRow] ?? 0;
    }
  }
  return words;
}
