// The detector: frames of one or several videos in, anomaly scores out.

import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { counted } from "../counted.js";
import type { FrameSource } from "../data/frame.js";
import { GpuError, InputError } from "../errors.js";
import { type Gpu, openNavigatorGpu } from "../gpu/gpu.js";
import { Profiler } from "../gpu/profiler.js";
import type { NodeProfile } from "../graph/program.js";
import type { Size } from "../ops/resize.js";
import { FirstUse } from "../tuner/first_use.js";
import { type DetectorSource, fetchCheckpoint } from "./checkpoint_source.js";
import { Feeds } from "./feeds.js";
import { Pipeline } from "./pipeline.js";
import { batchScores, type FrameScore, type StreamScore } from "./scores.js";
import { isMeanError, type ScoreOptions, type ScoreSettings, scoreSettings } from "./settings.js";

/** Options of a detector. */
export interface DetectorOptions extends ScoreOptions {
  /** The device to run on, which the caller closes; by default the detector opens one. */
  gpu?: Gpu;
  /** Attention heads, if the checkpoint does not name them; default 4, as in the original. */
  heads?: number;
  /** Seed of the random masks: the same seed gives the same scores. Default 0. */
  seed?: number;
  /** Frames scored together; default 16 on a GPU, 1 on a software adapter. */
  batch?: number;
  /** Whether each score gets the predicted anomaly map. */
  anomalyMap?: boolean;
  /** Whether each score gets its token maps. */
  tokenMaps?: boolean;
  /**
   * Whether the first use of a model and size on a real GPU begins with a check and a quick tuning
   * of kernels (src/tuner/first_use.ts), which takes 5 seconds at most; default true. Otherwise
   * kernels come from the tuning table, or are tiled.
   */
  tune?: boolean;
  /** Receives one line for each thing that the detector does or chooses unasked. */
  onNotice?: (line: string) => void;
}

/** Options of {@link Detector.streams}. */
export interface StreamsOptions {
  signal?: AbortSignal;
  /**
   * Scores frames as soon as the GPU is free, in batches that may not be full, as live cameras need
   * it. By default batches are full, which is faster.
   */
  prompt?: boolean;
  /**
   * Scores only the newest frames of each source, two at most, as live cameras need it: while the
   * GPU is busy, no source waits, and older frames are left out. Left-out frames still serve others
   * as neighbours. Scores are those of the same frames without this option.
   */
  latest?: boolean;
}

/** A batch that is being computed. */
interface Step {
  scores: Promise<StreamScore[]>;
  done: boolean;
}

/** Scores videos with an SD-MAE checkpoint. */
export class Detector {
  private pipeline: Pipeline | undefined;
  private busy = false;
  private ownSeed = 0;

  protected constructor(
    readonly gpu: Gpu,
    readonly checkpoint: Checkpoint,
    readonly settings: ScoreSettings,
    private readonly options: DetectorOptions,
    private readonly ownsGpu: boolean,
    private readonly firstUse?: FirstUse,
  ) {}

  /**
   * Opens a checkpoint.
   * @param source a URL or two (teacher and student), the bytes of a .safetensors or .pth file,
   * several such files, or an open checkpoint
   * @throws InputError if a file is not a checkpoint of this network or an option does not fit it,
   * NoAdapterError if there is no WebGPU
   */
  static async open(source: DetectorSource, options: DetectorOptions = {}): Promise<Detector> {
    const checkpoint = await fetchCheckpoint(source, options);
    return Detector.create(checkpoint, options, openNavigatorGpu);
  }

  /** A detector on the given device; without one, on a device that `openGpu` opens. */
  protected static async create(
    checkpoint: Checkpoint,
    options: DetectorOptions,
    openGpu: () => Promise<Gpu>,
  ): Promise<Detector> {
    const { seed = 0, batch = 1 } = options;
    checkSeed(seed);
    if (!Number.isInteger(batch) || batch < 1) throw new InputError(`batch ${batch} is not a whole number from 1`);
    scoreSettings(checkpoint, options); // Wrong settings are reported before a device is opened.
    const gpu = options.gpu ?? (await openGpu());
    const firstUse = (options.tune ?? true) ? new FirstUse(gpu, { onNotice: options.onNotice }) : undefined;
    let settings: ScoreSettings;
    try {
      await firstUse?.checkHalf(options.dtype);
      settings = scoreSettings(checkpoint, options, gpu, options.onNotice);
    } catch (error) {
      if (!options.gpu) gpu.close();
      throw error;
    }
    if (checkpoint.leftOut) {
      options.onNotice?.(
        `${checkpoint.source}: left out: ${counted(checkpoint.leftOut, "tensor")} outside of the network`,
      );
    }
    const detector = new Detector(gpu, checkpoint, settings, options, !options.gpu, firstUse);
    detector.seed = seed;
    return detector;
  }

  /** Seed of the random masks, for streams that begin later. */
  get seed(): number {
    return this.ownSeed;
  }

  /** @throws InputError if it is not a whole number of 32 bits */
  set seed(seed: number) {
    checkSeed(seed);
    this.ownSeed = seed;
  }

  /** Frames that are scored together. */
  get batch(): number {
    return this.options.batch ?? (this.gpu.adapter.kind === "gpu" ? 16 : 1);
  }

  /**
   * Scores a video frame by frame, in order. Decoding, uploading and computing overlap; memory does
   * not depend on the video's length. A detector runs one stream at a time. Leaving the loop early
   * closes the source. If the source fails, the frames before are scored as those of a video that
   * ends there; then its error is thrown.
   * @throws InputError if the source cannot be read, GpuError if the GPU fails, the signal's reason
   */
  async *stream(source: FrameSource, signal?: AbortSignal): AsyncGenerator<FrameScore, void, undefined> {
    for await (const { source: _, ...score } of this.streams([source], { signal })) yield score;
  }

  /**
   * Scores several videos or cameras of one frame size together: their frames share batches. The
   * scores of each source come in order, and are those that {@link stream} gives for it alone. If a
   * source fails, none is read on: its frames before are scored, and those frames of the others
   * that have their neighbours; then its error is thrown.
   * @throws InputError if a source cannot be read or sizes differ, GpuError if the GPU fails, the
   * signal's reason
   */
  async *streams(
    sources: readonly FrameSource[],
    { signal, prompt = false, latest = false }: StreamsOptions = {},
  ): AsyncGenerator<StreamScore, void, undefined> {
    const [first] = sources;
    if (!first) return;
    checkSameSize(sources);
    if (this.busy) throw new Error("this detector is streaming already: open another for a second stream");
    this.busy = true;
    const pending: Step[] = [];
    const stop = new AbortController();
    const feeds = new Feeds(this.batch, sources, latest);
    let pumps: Promise<void>[] = [];
    try {
      // 1. Compile, unless the last stream's pipeline fits.
      const pipeline = await this.prepare(first, sources.length, signal);
      pipeline.writeSeed(this.ownSeed);
      // 2. Start to read all sources into their slots.
      const all = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
      const upload = (data: Uint8Array, slot: number) => pipeline.upload(data, slot);
      pumps = sources.map((source, i) => feeds.pump(i, source, all, upload));
      // 3. Keep two steps in flight: while one is computed, the next one is prepared.
      while (pending.length > 0 || !feeds.done) {
        signal?.throwIfAborted();
        if (pending.length < 2 && feeds.has(prompt || latest ? 1 : this.batch)) {
          await pipeline.ready();
          pending.push(this.submit(pipeline, feeds));
          continue;
        }
        // 4. Yield the oldest step's scores once they are there, or wait for something to change.
        const [oldest] = pending;
        if (!oldest) await feeds.change();
        else if (pending.length === 2 || oldest.done) {
          pending.shift();
          yield* await oldest.scores;
        } else await Promise.race([oldest.scores, feeds.change()]);
      }
    } finally {
      // 5. Stop reading, and wait until nothing uses the slots.
      stop.abort();
      feeds.close();
      this.pipeline?.flushUploads();
      await Promise.allSettled([...pending.map(({ scores }) => scores), ...pumps]);
      this.busy = false;
    }
  }

  /**
   * Times each kernel of a step, on the frames that were scored last.
   * @throws GpuError if the adapter has no timestamp queries
   */
  async profile(): Promise<NodeProfile[]> {
    if (!this.pipeline) throw new Error("nothing was scored yet");
    if (!Profiler.available(this.gpu)) throw new GpuError("this adapter has no timestamp queries to profile with");
    return this.pipeline.profile();
  }

  /** Frees what the detector holds on the GPU, and its device if it opened one. */
  close(): void {
    this.pipeline?.close();
    this.pipeline = undefined;
    if (this.ownsGpu) this.gpu.close();
  }

  /** The pipeline for frames of a size from several sources. */
  private async prepare({ height, width }: Size, sources: number, signal?: AbortSignal): Promise<Pipeline> {
    const source = { height, width };
    if (this.pipeline?.fits(source, sources)) return this.pipeline;
    this.pipeline?.close();
    this.pipeline = undefined;
    const { config, weights } = this.checkpoint;
    const { anomalyMap = false, tokenMaps = false } = this.options;
    this.pipeline = await Pipeline.open(
      this.gpu,
      {
        ...{ config, weights, settings: this.settings, source, batch: this.batch },
        slots: Feeds.slotsFor(this.batch, sources),
        anomalyMap,
        tokenMaps: tokenMaps || !isMeanError(this.settings),
        cleanedMap: tokenMaps || this.settings.frameScore.scoring === "cleaned-map",
      },
      sources,
      this.firstUse,
      signal,
    );
    return this.pipeline;
  }

  /**
   * Submits a step for the next batch. Nothing is awaited in between: once samples are taken, their
   * slots are free for new frames.
   */
  private submit(pipeline: Pipeline, feeds: Feeds): Step {
    const samples = feeds.take();
    const { grid } = pipeline.graph;
    const scores = pipeline
      .step(samples, feeds.takeNewSlots())
      .then((results) => batchScores(results, samples, grid, this.settings, this.options.tokenMaps ?? false));
    const step: Step = { scores, done: false };
    scores
      .finally(() => {
        step.done = true;
      })
      .catch(() => {}); // An error is thrown when the scores are awaited.
    return step;
  }
}

/** @throws InputError if sizes differ, or something is no source, such as a promise of one */
function checkSameSize(sources: readonly FrameSource[]): void {
  for (const source of sources as readonly unknown[]) {
    const { frames, then } = (source ?? {}) as { frames?: unknown; then?: unknown };
    if (typeof frames === "function") continue;
    const what = typeof then === "function" ? "a promise: await it first, as in stream(await openInput(…))" : "none";
    throw new InputError(`a source of frames is needed to score, but what was given is ${what}`);
  }
  const { name, height, width } = sources[0];
  const other = sources.find((source) => source.height !== height || source.width !== width);
  if (!other) return;
  throw new InputError(
    `${other.name} is ${other.width}×${other.height} pixels, ${name} is ${width}×${height}: streams that are scored together must have one size`,
  );
}

function checkSeed(seed: number): void {
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
    throw new InputError(`seed ${seed} is not a whole number from 0 to 4294967295`);
  }
}
