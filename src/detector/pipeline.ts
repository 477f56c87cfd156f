// A score graph compiled for frames of one size, and what the host writes for each step.
import type { Gpu } from "../gpu/gpu.js";
import { elementCount } from "../graph/graph.js";
import { type NodeProfile, Program, type Results } from "../graph/program.js";
import { noSlot, rawSlotWords, type Size, wholeWords } from "../ops/resize.js";
import { packSamples } from "../ops/samples.js";
import type { FirstUse } from "../tuner/first_use.js";
import type { ReadySample } from "./clip_window.js";
import { type ScoreGraph, type ScoreGraphOptions, tunedScoreGraph } from "./score_graph.js";

/** Runs batches of samples, of frames that were uploaded into slots. */
export class Pipeline {
  private readonly slotBytes: number;

  private constructor(
    readonly graph: ScoreGraph,
    private readonly program: Program,
    private readonly options: ScoreGraphOptions,
    /** Videos that share the slots. */
    private readonly sources: number,
  ) {
    this.slotBytes = 4 * rawSlotWords(options.source);
    program.openUploads(this.slotBytes, options.slots);
  }

  /**
   * Compiles a pipeline.
   * @param firstUse undefined if nothing is to be tuned
   * @throws GpuError if the GPU fails, the signal's reason
   */
  static async open(
    gpu: Gpu,
    options: ScoreGraphOptions,
    sources: number,
    firstUse?: FirstUse,
    signal?: AbortSignal,
  ): Promise<Pipeline> {
    const graph = await tunedScoreGraph(gpu, options, firstUse, signal);
    return new Pipeline(graph, await Program.compile(gpu, graph.graph), options, sources);
  }

  /** Whether it was made for frames of this size from as many sources. */
  fits({ height, width }: Size, sources: number): boolean {
    const { source } = this.options;
    return source.height === height && source.width === width && this.sources === sources;
  }

  /** Sets the seed of the random masks, for later steps. */
  writeSeed(seed: number): void {
    if (this.graph.seed) this.program.write(this.graph.seed, Uint32Array.of(seed));
  }

  /** Uploads a frame [height, width, 3] of 8-bit B, G, R. */
  upload(data: Uint8Array, slot: number): Promise<void> {
    return this.program.upload(this.graph.ring.raw, wholeWords(data), slot * this.slotBytes);
  }

  /** No step follows: uploads that wait for one go on. */
  flushUploads(): void {
    this.program.flushUploads();
  }

  /** Resolves when a step can be submitted without waiting. */
  ready(): Promise<void> {
    return this.program.ready();
  }

  /**
   * Submits a step, before it returns. A batch that the end of a video leaves short is filled up
   * with its last sample.
   * @param newSlots slots of the frames that were uploaded since the last step
   */
  step(samples: readonly ReadySample<{ number: number }>[], newSlots: readonly number[]): Promise<Results> {
    const { program, graph } = this;
    const slots = new Uint32Array(elementCount(graph.ring.slots.shape)).fill(noSlot);
    slots.set(newSlots);
    program.write(graph.ring.slots, slots);
    const rows = Array.from({ length: this.options.batch }, (_, b) => {
      const { frame, ...slots } = samples[Math.min(b, samples.length - 1)];
      return { ...slots, target: slots.current, frame: frame.number };
    });
    program.write(graph.samples, packSamples(rows));
    return program.run();
  }

  /** Times each kernel of a step, on the samples of the last one. */
  profile(): Promise<NodeProfile[]> {
    return this.program.profile();
  }

  close(): void {
    this.program.close();
  }
}
