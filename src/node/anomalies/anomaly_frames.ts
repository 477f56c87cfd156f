// Training videos with something abnormal pasted into their frames.

import { mostSpedUp } from "../../data/anomalies/insertion.js";
import type { ForegroundLibrary } from "../../data/anomalies/library.js";
import { pasteInsertion } from "../../data/anomalies/paste.js";
import {
  drawPseudoAnomaly,
  type PseudoAnomaly,
  type PseudoAnomalyOptions,
} from "../../data/anomalies/pseudo_anomaly.js";
import { anomalySize, pasteCutOut } from "../../data/anomalies/ubnormal.js";
import type { DatasetVideo } from "../../data/dataset.js";
import { toBgr } from "../../data/frame.js";
import { type BgrImage, resizeBilinear } from "../../data/resize.js";
import { uniformGenerator } from "../../random.js";
import { FrameWindow } from "./frame_window.js";
import { type SequenceLibrary, SequenceReader } from "./sequences.js";

/** The middle of an anomaly lies so many frames after its earliest possible begin. */
const [leastAhead, mostAhead] = [4, 16];

/** A training frame with something abnormal in it. */
export interface AnomalyFrame {
  /** The training frame's number. */
  number: number;
  frame: BgrImage;
  /** 255 where it is abnormal, on all three channels. */
  mask: BgrImage;
}

/**
 * A random generator per video, seeded with FNV-1a of its name: it does not depend on the other
 * videos.
 */
function generatorFor(seed: number, name: string): () => number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return uniformGenerator(hash);
}

/**
 * Step 2 of docs/method.md §7 for one training video: its frames, resized to {@link anomalySize},
 * with cut-out sequences pasted in, one after the other.
 * @throws InputError as the video and {@link SequenceReader} do
 */
export async function* pasteSequences(
  video: DatasetVideo,
  library: SequenceLibrary,
  seed: number,
  signal?: AbortSignal,
): AsyncGenerator<AnomalyFrame> {
  const reader = new SequenceReader(library, generatorFor(seed, video.name));
  const source = await video.open();
  for await (const frame of source.frames(signal)) {
    const { cutOut, mask } = await reader.next();
    yield { number: frame.number, frame: pasteCutOut(resizeBilinear(frame, anomalySize), mask, cutOut), mask };
  }
}

/**
 * A training video with pseudo-anomalies pasted in, one after the other, each moving along its
 * path. A frame for which none could be drawn stays as it is, with an empty mask.
 * @param library of the same videos, with crops
 * @param clip the video's position in the library
 * @throws InputError as the video does
 */
export async function* pastePseudoAnomalies(
  video: DatasetVideo,
  library: ForegroundLibrary,
  clip: number,
  options: PseudoAnomalyOptions,
  seed: number,
  signal?: AbortSignal,
): AsyncGenerator<AnomalyFrame> {
  const random = generatorFor(seed, video.name);
  const source = await video.open();
  const window = new FrameWindow(source.frames(signal), mostSpedUp);
  let anomaly: PseudoAnomaly | undefined;
  let middle = 0;
  let until = -1;
  try {
    for (let index = 0; ; index++) {
      const frame = await window.at(index);
      if (!frame) return;
      if (index > until) {
        // The middle is drawn first: a speed-up must find something that moves there.
        middle = index + leastAhead + Math.floor(random() * (mostAhead - leastAhead));
        anomaly = drawPseudoAnomaly(random, library, { clip, frame: middle }, options);
        // A cut-out needs no such place: it begins now.
        if (anomaly && anomaly.kind !== "speedup" && anomaly.kind !== "piece") middle = index - anomaly.first;
        until = middle + (anomaly?.last ?? 0);
      }
      const offset = index - middle;
      const { frame: image, mask } =
        anomaly && offset >= anomaly.first && offset <= anomaly.last
          ? await pasteInsertion(frame, anomaly, offset, async (at) => (await window.at(at)) ?? frame)
          : { frame, mask: new Uint8Array(frame.width * frame.height) };
      yield { number: frame.number, frame: image, mask: { ...image, data: toBgr(mask, "gray") } };
    }
  } finally {
    await window.close();
  }
}
