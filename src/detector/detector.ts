import { type Checkpoint, type CheckpointFile, openCheckpoint } from "../checkpoint/checkpoint.js";
import type { FrameSource } from "../data/frame.js";
import { GpuError, InputError } from "../errors.js";
import { type Gpu, openNavigatorGpu } from "../gpu/gpu.js";
import { Profiler } from "../gpu/profiler.js";
import { elementCount } from "../graph/graph.js";
import { type NodeProfile, Program, type Results } from "../graph/program.js";
import { combineErrors, combineTokenErrors } from "../model/presets.js";
import { sampleWords } from "../ops/common.js";
import { noSlot, rawSlotWords, type Size, wholeWords } from "../ops/resize.js";
import { FirstUse } from "../tuner/first_use.js";
import type { ReadySample } from "./clip_window.js";
import { Feeds, type SourceFrame } from "./feeds.js";
import { frameScore, mapOf, tokenMap } from "./frame_score.js";
import { type ScoreGraph, tunedScoreGraph } from "./score_graph.js";
import { isMeanError, type ScoreOptions, type ScoreSettings, scoreSettings } from "./settings.js";
import { type ScoreMap, type TokenMaps, tokenMapsOf } from "./token_maps.js";

/** Options of a detector. */
export interface DetectorOptions extends ScoreOptions {
  /** The device to run on, which the caller closes; by default the detector opens one of its own. */
  gpu?: Gpu;
  /** Attention heads, where the checkpoint does not tell; 4 as the original. */
  heads?: number;
  /** Of the random masks: the same seed gives the same scores. Default 0. */
  seed?: number;
  /** Frames scored together; default 16 on a GPU, 1 on a software adapter. */
  batch?: number;
  /** Whether to return the predicted anomaly map with each frame. */
  anomalyMap?: boolean;
  /** Whether to return {@link TokenMaps} with each frame. */
  tokenMaps?: boolean;
  /**
   * Whether the first use of a model and size on a real GPU begins with a check and a quick tuning
   * of kernels (src/tuner/first_use.ts), 5 seconds at most; default true. Otherwise what is known
   * is used, else tiles.
   */
  tune?: boolean;
  /** Receives one line for each thing that is done or chosen without being asked for. */
  onNotice?: (line: string) => void;
}

/** What the detector says of a frame. */
export interface FrameScore {
  /** The frame's number (in its file's name, or its position). */
  frame: number;
  /** Position in the video, from 0. */
  index: number;
  /** Seconds from the video's start, if known. */
  time?: number;
  /** The higher, the less normal. */
  score: number;
  /** Mean difference of teacher and student; 0 for a model without a student. */
  studentError: number;
  /** Mean difference of target and teacher. */
  targetError: number;
  /** What the score is made of, a value a token: where in the frame. */
  map: ScoreMap;
  /** The predicted anomaly map in the network's input size, 0…1, if asked for. */
  anomalyMap?: ScoreMap;
  /** If asked for. */
  tokens?: TokenMaps;
}

/** Options of {@link Detector.streams}. */
export interface StreamsOptions {
  signal?: AbortSignal;
  /** Scores frames as soon as the GPU is free, in batches that are not full, as live cameras want it; else full batches, which is faster. */
  prompt?: boolean;
}

/** A score of one of several streams. */
export interface StreamScore extends FrameScore {
  /** Which one, from 0. */
  source: number;
}

/** A batch that is being computed. */
interface Step {
  scores: Promise<StreamScore[]>;
  done: boolean;
}

interface Pipeline {
  source: Size;
  sources: number;
  built: ScoreGraph;
  program: Program;
}

/** Where a checkpoint is: see {@link Detector.open}. */
export type DetectorSource = string | URL | readonly string[] | Uint8Array | readonly CheckpointFile[] | Checkpoint;

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
   * @param source a URL or two (teacher and student), the bytes of a .safetensors or .pth file, several such files, or a checkpoint that is open
   * @throws InputError for a file that is no checkpoint of this network, NoAdapterError without WebGPU
   */
  static async open(source: DetectorSource, options: DetectorOptions = {}): Promise<Detector> {
    const checkpoint = await fetchCheckpoint(source, options);
    return Detector.create(checkpoint, options, openNavigatorGpu);
  }

  /** A detector on the given device, or on one of its own by `openGpu`. */
  protected static async create(
    checkpoint: Checkpoint,
    options: DetectorOptions,
    openGpu: () => Promise<Gpu>,
  ): Promise<Detector> {
    const { seed = 0, batch = 1 } = options;
    checkSeed(seed);
    if (!Number.isInteger(batch) || batch < 1) throw new InputError(`batch ${batch} is not a whole number from 1`);
    scoreSettings(checkpoint, options); // what is wrong with them is said before a device is opened
    const gpu = options.gpu ?? (await openGpu());
    const firstUse = (options.tune ?? true) ? new FirstUse(gpu, { onNotice: options.onNotice }) : undefined;
    let settings: ScoreSettings;
    try {
      await firstUse?.checkHalf(options.dtype);
      settings = scoreSettings(checkpoint, options, gpu);
    } catch (error) {
      if (!options.gpu) gpu.close();
      throw error;
    }
    const detector = new Detector(gpu, checkpoint, settings, options, !options.gpu, firstUse);
    detector.seed = seed;
    return detector;
  }

  /** Of the random masks, for streams that begin from now on. */
  get seed(): number {
    return this.ownSeed;
  }

  /** @throws InputError where it is no whole number of 32 bits */
  set seed(seed: number) {
    checkSeed(seed);
    this.ownSeed = seed;
  }

  /** Frames that are scored together. */
  get batch(): number {
    return this.options.batch ?? (this.gpu.adapter.kind === "gpu" ? 16 : 1);
  }

  /**
   * Scores a video frame by frame, in order. Decoding, uploading and computing overlap; memory does not depend on the video's length.
   * One stream at a time. Leaving the loop early lets go of the source.
   * @throws InputError for a source that cannot be read, GpuError where the GPU fails
   */
  async *stream(source: FrameSource, signal?: AbortSignal): AsyncGenerator<FrameScore, void, undefined> {
    for await (const { source: _, ...score } of this.streams([source], { signal })) yield score;
  }

  /**
   * Scores several videos or cameras of one frame size together: their frames share the batches. Each one's scores come in order, and
   * are what {@link stream} gives for it alone.
   * @throws InputError for sources that cannot be read or differ in size, GpuError where the GPU fails
   */
  async *streams(
    sources: readonly FrameSource[],
    { signal, prompt = false }: StreamsOptions = {},
  ): AsyncGenerator<StreamScore, void, undefined> {
    const [first] = sources;
    if (!first) return;
    const { height, width } = first;
    const other = sources.find((source) => source.height !== height || source.width !== width);
    if (other) {
      throw new InputError(
        `${other.name} is ${other.width}×${other.height} pixels, ${first.name} ${width}×${height}: streams that are scored together have one size`,
      );
    }
    if (this.busy) throw new Error("this detector is streaming already: open another for a second stream");
    this.busy = true;
    const pending: Step[] = [];
    const stop = new AbortController();
    const feeds = new Feeds(this.batch, sources.length);
    let pumps: Promise<void>[] = [];
    try {
      const { program, built } = await this.prepare({ height, width }, sources.length, signal);
      if (built.seed) program.write(built.seed, Uint32Array.of(this.ownSeed));
      const slotBytes = 4 * rawSlotWords(first);
      const all = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
      pumps = sources.map((source, i) =>
        feeds.pump(i, source, all, (data, slot) => program.upload(built.ring.raw, wholeWords(data), slot * slotBytes)),
      );
      // Two steps may be on their way: while one computes, the other is made ready.
      while (pending.length > 0 || !feeds.done) {
        signal?.throwIfAborted();
        if (pending.length < 2 && feeds.has(prompt ? 1 : this.batch)) {
          // Nothing may come between taking samples and the step: their slots are free for new frames afterwards.
          await program.ready();
          const samples = feeds.take();
          this.write(program, built, samples, feeds.takeNewSlots());
          const scores = program.run().then((results) => this.unpack(results, samples, built));
          const step: Step = { scores, done: false };
          scores
            .finally(() => {
              step.done = true;
            })
            .catch(() => {}); // seen when it is awaited, if it still is
          pending.push(step);
          continue;
        }
        const [oldest] = pending;
        if (!oldest) await feeds.change();
        else if (pending.length === 2 || oldest.done) {
          pending.shift();
          yield* await oldest.scores;
        } else await Promise.race([oldest.scores, feeds.change()]);
      }
    } finally {
      stop.abort();
      feeds.close();
      await Promise.allSettled([...pending.map(({ scores }) => scores), ...pumps]);
      this.busy = false;
    }
  }

  /** Times each kernel of a step, on the frames that were scored last (timestamp queries). */
  async profile(): Promise<NodeProfile[]> {
    if (!this.pipeline) throw new Error("nothing was scored yet");
    if (!Profiler.available(this.gpu)) throw new GpuError("this adapter has no timestamp queries to profile with");
    return this.pipeline.program.profile();
  }

  /** Frees what the detector holds on the GPU, and its device if it opened one. */
  close(): void {
    this.pipeline?.program.close();
    this.pipeline = undefined;
    if (this.ownsGpu) this.gpu.close();
  }

  /** The program for raw frames of a size, of a number of sources; made anew where either changes. */
  private async prepare(source: Size, sources: number, signal?: AbortSignal): Promise<Pipeline> {
    const made = this.pipeline;
    const { height, width } = made?.source ?? {};
    if (made && height === source.height && width === source.width && made.sources === sources) return made;
    this.pipeline?.program.close();
    this.pipeline = undefined;
    const { config, weights } = this.checkpoint;
    const slots = Feeds.slotsFor(this.batch, sources);
    const built = await tunedScoreGraph(
      this.gpu,
      {
        config,
        weights,
        settings: this.settings,
        source,
        batch: this.batch,
        slots,
        anomalyMap: this.options.anomalyMap ?? false,
        tokenMaps: this.options.tokenMaps || !isMeanError(this.settings),
        cleanedMap: this.options.tokenMaps || this.settings.frameScore.scoring === "cleaned-map",
      },
      this.firstUse,
      signal,
    );
    const program = await Program.compile(this.gpu, built.graph);
    program.openUploads(4 * rawSlotWords(source), slots);
    this.pipeline = { source, sources, built, program };
    return this.pipeline;
  }

  private write(
    program: Program,
    built: ScoreGraph,
    samples: readonly ReadySample<SourceFrame>[],
    newSlots: readonly number[],
  ) {
    const slots = new Uint32Array(elementCount(built.ring.slots.shape)).fill(noSlot);
    slots.set(newSlots);
    program.write(built.ring.slots, slots);
    const words = new Uint32Array(this.batch * sampleWords);
    for (let b = 0; b < this.batch; b++) {
      // A batch that the video's end leaves short is filled up with its last sample.
      const s = samples[Math.min(b, samples.length - 1)];
      words.set(
        [s.previous, s.current, s.next, s.before, s.after, s.current, s.frame.number >>> 0, 0],
        b * sampleWords,
      );
    }
    program.write(built.samples, words);
  }

  private unpack(results: Results, samples: readonly ReadySample<SourceFrame>[], { grid }: ScoreGraph): StreamScore[] {
    const { score: rule, size, dtype, frameScore: how } = this.settings;
    const errors = results.errors as Float32Array;
    const scores = results.scores as Float32Array;
    const anomaly = results.anomalyMap as Float32Array | undefined;
    const pixels = size.height * size.width;
    return samples.map(({ frame }, b): StreamScore => {
      const [studentError, targetError] = [scores[2 * b], scores[2 * b + 1]];
      if (dtype === "f16" && !Number.isFinite(studentError + targetError)) {
        throw new InputError(
          `frame ${frame.number} has no score: values of this model go beyond float16; use dtype f32`,
        );
      }
      const tokens = results.tokenAnomaly && tokenMapsOf(results, b, grid);
      const score =
        tokens && !isMeanError(this.settings)
          ? frameScore(tokens, { ...how, rule })
          : combineErrors(rule, studentError, targetError);
      const map = tokens
        ? tokenMap(tokens, rule, mapOf[how.scoring])
        : combineTokenErrors(rule, errors, b * grid.tokens, grid.tokens);
      return {
        source: frame.source,
        frame: frame.number,
        index: frame.index,
        ...(frame.time !== undefined && { time: frame.time }),
        score,
        studentError,
        targetError,
        map: { rows: grid.rows, columns: grid.columns, data: map },
        ...(anomaly && {
          anomalyMap: { rows: size.height, columns: size.width, data: anomaly.slice(b * pixels, (b + 1) * pixels) },
        }),
        ...(tokens && this.options.tokenMaps && { tokens }),
      };
    });
  }
}

/** Opens a checkpoint from wherever it is; strings are fetched as URLs. */
export async function fetchCheckpoint(source: DetectorSource, { heads }: DetectorOptions): Promise<Checkpoint> {
  if (isCheckpoint(source)) return source;
  if (source instanceof Uint8Array) return openCheckpoint([{ name: "the checkpoint", bytes: source }], { heads });
  const parts = (Array.isArray(source) ? source : [source]) as (string | URL | CheckpointFile)[];
  const files = await Promise.all(
    parts.map(async (part) => {
      if (typeof part !== "string" && "bytes" in part) return part;
      const response = await fetch(part).catch((error: Error) => {
        throw new InputError(`${part} cannot be fetched: ${error.message}`);
      });
      if (!response.ok) throw new InputError(`${part} cannot be fetched: status ${response.status}`);
      return { name: String(part), bytes: new Uint8Array(await response.arrayBuffer()) };
    }),
  );
  return openCheckpoint(files, { heads });
}

function checkSeed(seed: number): void {
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
    throw new InputError(`seed ${seed} is not a whole number from 0 to 4294967295`);
  }
}

/** Whether a source is a checkpoint that is open already. */
function isCheckpoint(source: DetectorSource): source is Checkpoint {
  return typeof source === "object" && "weights" in source && "config" in source;
}
