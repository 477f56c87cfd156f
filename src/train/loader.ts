import type { Program } from "../graph/program.js";
import { sampleWords } from "../ops/common.js";
import { packPastes } from "../ops/paste.js";
import { noSlot, wholeWords } from "../ops/resize.js";
import { type DataGraph, packSamples } from "./data_graph.js";
import type { DrawnSample } from "./sampler.js";
import type { TrainingSet } from "./training_set.js";

/**
 * Writes micro-batches: sees to it that their frames are on the GPU, and says where. Frames stay there while there is room, so that after an
 * epoch of a set that fits nothing is uploaded any more; where it does not fit, those that were used longest ago give way.
 */
export class Loader {
  /** Slots by frame, the one that was used longest ago first. */
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
      bytes.catch(() => {}); // seen when it is awaited
      this.reading.set(frame, bytes);
    }
  }

  /** Uploads what is missing of a micro-batch, and writes its inputs. */
  async write(samples: readonly DrawnSample[]): Promise<void> {
    this.prefetch(samples);
    for (const frame of framesOf(samples)) await this.place(frame);
    const { program, set } = this;
    const { store, framesEach } = this.data;
    const slots = store.slots.map(() => new Uint32Array(samples.length * framesEach).fill(noSlot));
    const moving = store.moving.map(() => new Uint32Array(samples.length * sampleWords).fill(noSlot));
    const slot = (frame: number) => this.slotOf.get(frame) as number;
    for (const [b, { frames, before, after }] of samples.entries()) {
      for (const [i, frame] of frames.entries()) {
        slots[set.sizeIndex(frame)]?.set([slot(frame)], b * framesEach + i);
      }
      // In the `before` and `after` of a sample.
      moving[set.sizeIndex(before)]?.set([slot(before), slot(after)], b * sampleWords + 3);
    }
    for (const [i, tensor] of store.slots.entries()) program.write(tensor, slots[i]);
    for (const [i, tensor] of store.moving.entries()) program.write(tensor, moving[i]);
    const numbers = samples.map(({ number }) => number >>> 0);
    // Pasting gives each sample three frames and a target of its own.
    program.write(this.data.samples, packSamples(samples.length, 3, this.data.pastes ? 1 : 3, numbers));
    if (this.data.pastes) {
      // Pastes name frames of their own sample.
      program.write(
        this.data.pastes,
        packPastes(samples.map(({ anomaly }, b) => anomaly && moved(anomaly, b * framesEach))),
      );
    }
  }

  /** Sees to it that a frame is on the GPU. */
  private async place(frame: number): Promise<void> {
    const { raw, slotWords } = this.data.store;
    let slot = this.slotOf.get(frame);
    if (slot === undefined) {
      const bytes = await (this.reading.get(frame) ?? this.set.archive.read(frame));
      const [oldest] = this.slotOf.keys();
      const full = this.slotOf.size >= raw.shape[0];
      slot = full ? this.slotOf.get(oldest)! : this.slotOf.size;
      if (full) this.slotOf.delete(oldest);
      // What was submitted before still sees the older frame: the queue keeps the order.
      this.program.write(raw, wholeWords(bytes), 4 * slot * slotWords);
    }
    this.reading.delete(frame);
    this.slotOf.delete(frame);
    this.slotOf.set(frame, slot);
  }
}

/** Every frame that samples need, once. */
function framesOf(samples: readonly DrawnSample[]): Set<number> {
  const all = new Set<number>();
  for (const { frames, before, after } of samples) {
    for (const frame of [...frames, before, after]) all.add(frame);
  }
  return all;
}

/** An anomaly whose frames lie further on. */
function moved(anomaly: NonNullable<DrawnSample["anomaly"]>, by: number): NonNullable<DrawnSample["anomaly"]> {
  if ("mask" in anomaly) {
    const [previous, current, next] = anomaly.frames;
    return { frames: [previous + by, current + by, next + by], mask: anomaly.mask + by };
  }
  const [previous, current, next] = anomaly.layers;
  const layer = (of: typeof previous) => ({ ...of, slot: of.slot + by });
  return { ...anomaly, background: anomaly.background + by, layers: [layer(previous), layer(current), layer(next)] };
}
