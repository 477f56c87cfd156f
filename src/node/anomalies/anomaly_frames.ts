import type { ForegroundLibrary, ObjectCrop } from "../../data/anomalies/library.js";
import { lookOf, type Pasted, pasteLayer, toCrop } from "../../data/anomalies/paste.js";
import {
  drawPseudoAnomaly,
  mostSpedUp,
  type PseudoAnomaly,
  type PseudoAnomalyOptions,
} from "../../data/anomalies/pseudo_anomaly.js";
import { anomalySize, pasteCutOut } from "../../data/anomalies/ubnormal.js";
import type { DatasetVideo } from "../../data/dataset.js";
import { sampleStride, toBgr } from "../../data/frame.js";
import { type BgrImage, resizeBilinear } from "../../data/resize.js";
import { uniformGenerator } from "../../random.js";
import { FrameWindow } from "./frame_window.js";
import { type SequenceLibrary, SequenceReader } from "./sequences.js";

/** How many frames ahead of where an anomaly may begin its middle is drawn. */
const [leastAhead, mostAhead] = [4, 16];

/** A training frame with something abnormal in it. */
export interface AnomalyFrame {
  /** As the training frame's. */
  number: number;
  frame: BgrImage;
  /** 255 where it is abnormal, on all three channels. */
  mask: BgrImage;
}

/** A generator of a video's own: what it draws does not depend on the videos before it. FNV-1a over the name. */
function generatorFor(seed: number, name: string): () => number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return uniformGenerator(hash);
}

/**
 * Step 2 of docs/method.md §7 for one training video: frames at {@link anomalySize} with cut-out sequences pasted, one after the other.
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
 * A training video with pseudo-anomalies pasted, one after the other, each along its path. A frame for which nothing could be drawn
 * stays as it is, its mask empty.
 * @param library with crops, made of the same videos
 * @param clip the video's position in it
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
        // Where it has its middle is drawn first: a speed-up must find something that moves there.
        middle = index + leastAhead + Math.floor(random() * (mostAhead - leastAhead));
        anomaly = drawPseudoAnomaly(random, library, { clip, frame: middle }, options);
        // A cut-out may be anywhere in time.
        if (anomaly?.kind === "cutout") middle = index - anomaly.first;
        until = middle + (anomaly?.last ?? 0);
      }
      const offset = index - middle;
      const shows = anomaly && offset >= anomaly.first && offset <= anomaly.last;
      const { frame: image, mask } = shows
        ? await pasteInto(frame, anomaly as PseudoAnomaly, offset, window)
        : { frame, mask: new Uint8Array(frame.width * frame.height) };
      yield { number: frame.number, frame: image, mask: { ...image, data: toBgr(mask, "gray") } };
    }
  } finally {
    await window.close();
  }
}

async function pasteInto(
  frame: BgrImage,
  anomaly: PseudoAnomaly,
  offset: number,
  window: FrameWindow,
): Promise<Pasted> {
  const { source, object } = anomaly;
  const layer = anomaly.layer(offset);
  if (anomaly.kind === "speedup") {
    const then = (await window.at(layer.frame)) ?? frame;
    return pasteLayer(frame, { frame: then, background: source.background }, layer, lookOf(anomaly));
  }
  const crop = object.crop as ObjectCrop;
  const pixels = crop.frames[layer.frame - object.frame + sampleStride];
  return pasteLayer(frame, { frame: pixels, background: crop.background }, toCrop(layer, crop), lookOf(anomaly));
}
