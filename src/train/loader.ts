// Brings the frames of micro-batches onto the GPU, and writes what samples are made of.
import type { Program } from "../graph/program.js";
import { packAugmentations } from "../ops/augment.js";
import { type GivenAnomaly, type Paste, packPastes } from "../ops/paste.js";
import { noSlot, wholeWords } from "../ops/resize.js";
import { packSamples } from "../ops/samples.js";
import { type DataGraph, evenSamples } from "./data_graph.js";
import type { DrawnSample } from "./sampler.js";
import type { TrainingSet } from "./training_set.js";

/**
 * Writes micro-batches: uploads missing frames, and tells the kernels which slots they are in.
 * Frames stay on the GPU while there is room. If a training set fits, nothing is uploaded after the
 * first epoch; if not, the least recently used frames are replaced.
 */
export class Loader {
  /** Slots by frame, the least recently used first. */
  private readonly slotOf = new Map<number, number>();
  private readonly reading = new Map<number, Promise<Uint8Array>>();

  constructor(
    private readonly program: Program,
    private readonly data: DataGraph,
    private readonly set: TrainingSet,
    seed: number,
  ) {
    if (data.maskSeed) program.write(data.maskSeed, Uint32Array.of(seed));
  }

  /** Begins to read the frames of samples that will be written soon. */
  prefetch(samples: readonly DrawnSample[]): void {
    for (const frame of framesOf(samples)) {
      if (this.slotOf.has(frame) || this.reading.has(frame)) continue;
      const bytes = this.set.archive.read(frame);
      bytes.catch(() => {}); // The error is thrown when the frame is awaited.
      this.reading.set(frame, bytes);
    }
  }

  /** Uploads the missing frames of a micro-batch, and writes its inputs. */
  async write(samples: readonly DrawnSample[]): Promise<void> {
    this.prefetch(samples);
    for (const frame of framesOf(samples)) await this.place(frame);
    const { program, set } = this;
    const { store, framesEach, pastesEach } = this.data;
    const slots = store.slots.map(() => new Uint32Array(samples.length * framesEach).fill(noSlot));
    const moving = store.moving.map(() => samples.map(() => ({ before: noSlot, after: noSlot })));
    const slot = (frame: number) => this.slotOf.get(frame)!;
    for (const [b, { frames, before, after }] of samples.entries()) {
      for (const [i, frame] of frames.entries()) {
        slots[set.sizeIndex(frame)]?.set([slot(frame)], b * framesEach + i);
      }
      const rows = moving[set.sizeIndex(before)];
      if (rows) rows[b] = { before: slot(before), after: slot(after) };
    }
    for (const [i, tensor] of store.slots.entries()) program.write(tensor, slots[i]);
    for (const [i, tensor] of store.moving.entries()) program.write(tensor, packSamples(moving[i]));
    const numbers = samples.map(({ number }) => number >>> 0);
    // With pasting, each sample has three frames and a separate target.
    program.write(this.data.samples, packSamples(evenSamples(samples.length, 3, this.data.pastes ? 1 : 3, numbers)));
    if (this.data.pastes) {
      // Pastes name frames by their position in their sample.
      program.write(
        this.data.pastes,
        packPastes(
          samples.flatMap(({ pastes }, b) =>
            Array.from({ length: pastesEach }, (_, k) => pastes[k] && moved(pastes[k], b * framesEach)),
          ),
        ),
      );
    }
    const { augmentations } = this.data;
    if (augmentations) program.write(augmentations, packAugmentations(samples.map((sample) => sample.augmentation)));
  }

  /** Uploads a frame, unless it is on the GPU. */
  private async place(frame: number): Promise<void> {
    const { raw, slotWords } = this.data.store;
    let slot = this.slotOf.get(frame);
    if (slot === undefined) {
      const bytes = await (this.reading.get(frame) ?? this.set.archive.read(frame));
      const [oldest] = this.slotOf.keys();
      const full = this.slotOf.size >= raw.shape[0];
      slot = full ? this.slotOf.get(oldest)! : this.slotOf.size;
      if (full) this.slotOf.delete(oldest);
      // Submitted steps still see the older frame, because the queue keeps the order.
      this.program.write(raw, wholeWords(bytes), 4 * slot * slotWords);
    }
    this.reading.delete(frame);
    this.slotOf.delete(frame);
    this.slotOf.set(frame, slot);
  }
}

/** The frames that samples need, each once. */
function framesOf(samples: readonly DrawnSample[]): Set<number> {
  const all = new Set<number>();
  for (const { frames, before, after } of samples) {
    for (const frame of [...frames, before, after]) all.add(frame);
  }
  return all;
}

/** An anomaly with `by` added to the numbers of its frames. */
function moved(anomaly: Paste | GivenAnomaly, by: number): Paste | GivenAnomaly {
  if ("mask" in anomaly) {
    const [previous, current, next] = anomaly.frames;
    return { frames: [previous + by, current + by, next + by], mask: anomaly.mask + by };
  }
  const [previous, current, next] = anomaly.layers;
  const layer = (of: typeof previous) => ({ ...of, slot: of.slot + by });
  return { ...anomaly, background: anomaly.background + by, layers: [layer(previous), layer(current), layer(next)] };
}
