import { Command, Option } from "commander";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { Frame, FrameSource } from "../data/frame.js";
import { ClipWindow } from "../detector/clip_window.js";
import { tunedScoreGraph } from "../detector/score_graph.js";
import { type ScoreOptions, type ScoreSettings, scoreSettings } from "../detector/settings.js";
import { InputError } from "../errors.js";
import type { Gpu } from "../gpu/gpu.js";
import { Profiler } from "../gpu/profiler.js";
import { type NodeProfile, Program } from "../graph/program.js";
import { paperConfig, type SdMaeConfig } from "../model/config.js";
import { freshWeights } from "../model/init.js";
import { writeFileAtomic } from "../node/atomic.js";
import { readCheckpoint } from "../node/checkpoint_file.js";
import { Detector } from "../node/detector.js";
import { openNodeGpu } from "../node/gpu.js";
import { noSlot } from "../ops/resize.js";
import { uniformGenerator } from "../random.js";
import { shownMs } from "../report/bench_page.js";
import { FirstUse } from "../tuner/first_use.js";
import { adapterLines } from "./adapters.js";
import { measure, measurePeak, type Rate, shownRate, summary, timed } from "./measure.js";
import {
  adapterOption,
  deviceOf,
  dtypeOption,
  numberIn,
  parseSize,
  robustOption,
  tuneOption,
  wholeNumber,
} from "./options.js";
import { refuseOutputs } from "./outputs.js";
import { profileTable } from "./profile_table.js";
import { Progress } from "./progress.js";
import { versions } from "./versions.js";

/** What a peer is asked to do. */
export interface PeerRequest {
  checkpoint: Checkpoint;
  settings: ScoreSettings;
  batch: number;
  seconds: number;
  adapterKind: string;
  /** The precisions that are wanted, of a peer that has several: f32, tf32, f16. All where none is named. */
  precisions?: readonly string[];
}

/** A peer's precisions that count as float32. */
export const fullPrecisions: readonly string[] = ["f32", "tf32"];

/** One way in which a peer ran the network, or why it did not. */
export interface PeerVariant {
  /** What values are rounded to; without it float32. */
  precision?: string;
  /** What tells it from the peer's other variants. */
  variant?: string;
  form?: string;
  /** Absent where it failed. */
  fps?: Rate;
  msPerBatch?: { median: number; min: number; max: number };
  /** Of a batch by itself, where it is not the same as {@link msPerBatch}. */
  latencyMs?: number;
  /** GPU memory at most. */
  memoryBytes?: number;
  error?: string;
}

/** What a peer reports: the figures of its fastest variant, and those of all. */
export interface PeerResult extends PeerVariant {
  name: string;
  version: string;
  fps: Rate;
  all?: PeerVariant[];
}

/** Runs a peer on the same network and adapter; lives beside the benchmarks, since peers are no part of the package. */
export type RunPeer = (name: string, request: PeerRequest) => Promise<PeerResult>;

interface FpsOptions {
  size: { height: number; width: number };
  patch?: number;
  batch?: number;
  seconds: number;
  dtype?: ScoreOptions["dtype"];
  checkpoint?: string;
  adapter?: string;
  robust?: boolean;
  tune: boolean;
  listAdapters?: boolean;
  json?: string;
  peer: string[];
  profile?: boolean;
}

/** Says why a peer cannot be measured here; nothing where it can. One that is asked for is installed where npm can do that. */
export type PeerMissing = (name: string, asked?: boolean) => Promise<string | undefined>;

/**
 * Refuses peers that were asked for and cannot run here: better before than after minutes of measuring.
 * @throws InputError
 */
export async function refuseMissing(names: readonly string[], peerMissing: PeerMissing): Promise<void> {
  for (const name of names) {
    const reason = await peerMissing(name, true);
    if (reason !== undefined) throw new InputError(`--peer ${name}: ${reason}`);
  }
}

/** `fps`: how fast the model runs here. */
export function fpsCommand(
  peers: readonly string[] = [],
  runPeer?: RunPeer,
  peerMissing: PeerMissing = async () => undefined,
): Command {
  return new Command("fps")
    .description("Measures frames per second of the full model (teacher, student, scores), GPU-synchronised.")
    .addOption(
      new Option("--size <HxW>", "input size of the network")
        .default({ height: 320, width: 640 }, "320x640")
        .argParser(parseSize),
    )
    .addOption(
      new Option("--patch <P>", "patch side (default: 16)").argParser(wholeNumber(4, 64)).conflicts("checkpoint"),
    )
    .addOption(
      new Option("--batch <n>", "frames in a step (default: 32 on a GPU, else 1)").argParser(wholeNumber(1, 4096)),
    )
    .addOption(new Option("--seconds <s>", "how long to measure").default(5).argParser(numberIn(0.1, 3600)))
    .addOption(dtypeOption())
    .option("--checkpoint <file>", "a model to run (default: the paper's sizes with fresh weights)")
    .addOption(adapterOption())
    .addOption(robustOption())
    .addOption(tuneOption())
    .option("--list-adapters", "list the adapters here and stop")
    .addOption(new Option("--peer <name...>", "measure a peer in the same run").choices(peers).default([], "none"))
    .option("--profile", "print where the time of a step goes")
    .option("--json <file>", "write the figures to a file")
    .action(async (options: FpsOptions) => {
      if (options.listAdapters) {
        for (const line of await adapterLines()) console.log(line);
        return;
      }
      await refuseMissing(options.peer, peerMissing);
      await fps(options, runPeer);
    });
}

async function fps(options: FpsOptions, runPeer: RunPeer | undefined): Promise<void> {
  await refuseOutputs(options);
  const checkpoint = await benchCheckpoint(options);
  const onNotice = (line: string) => process.stderr.write(`${line}\n`);
  const gpu = await openNodeGpu({ ...deviceOf(options), onNotice });
  const firstUse = options.tune ? new FirstUse(gpu, { onNotice }) : undefined;
  let progress: Progress | undefined;
  try {
    await firstUse?.checkHalf(options.dtype);
    const settings = scoreSettings(checkpoint, { size: options.size, dtype: options.dtype }, gpu);
    const { height, width } = settings.size;
    const batch = options.batch ?? (gpu.adapter.kind === "gpu" ? 32 : 1);
    console.log(`adapter       ${gpu.adapter.description} (${gpu.adapter.kind})`);
    console.log(
      `model         ${height}x${width}, patch ${checkpoint.config.patch}, batch ${batch}, ${settings.dtype}`,
    );
    const opened = await openModel(gpu, checkpoint, settings, batch, firstUse);
    progress = new Progress("measurements", 3 + options.peer.length, false, true);
    const model = await measureModel(opened, batch, options.seconds, options.profile ?? false);
    progress.print(`model         ${shown(model.rate)}, ${(1000 / model.rate.median).toPrecision(3)} ms a frame`);
    progress.advance(1, "the best matmul");
    const { median, min, max } = model.latency;
    progress.print(
      `latency       ${shownMs(median)} ms (${shownMs(min)} to ${shownMs(max)}) of a batch by itself, from submission until it is done`,
    );
    const achieved = (model.flopsPerFrame * model.rate.median) / 1e9;
    const peak = await measurePeak(gpu, Math.min(options.seconds, 3));
    progress.advance(1, "end to end");
    progress.print(
      `arithmetic    ${(model.flopsPerFrame / 1e9).toPrecision(3)} GFLOP a frame, ${achieved.toPrecision(3)} GFLOP/s, ` +
        `${((100 * achieved) / peak).toFixed(0)} % of ${peak.toPrecision(3)} GFLOP/s, the best matmul here`,
    );
    progress.print(
      `dispatches    ${model.dispatches} a step, ${(model.bytesPerFrame / 1e6).toPrecision(3)} MB moved a frame at least`,
    );
    progress.print(`GPU memory    ${(model.memoryBytes / 1e6).toFixed(0)} MB`);
    const endToEnd = await measureEndToEnd(gpu, checkpoint, settings, batch, options);
    progress.advance(1, options.peer[0]);
    progress.print(`end to end    ${shown(endToEnd)}, with upload of ${height}x${width} frames and read-back`);
    if (model.profile) for (const line of profileTable(model.profile)) progress.print(line);
    const peers: PeerResult[] = [];
    for (const [i, name] of options.peer.entries()) {
      const request = {
        ...{ checkpoint, settings, batch, seconds: options.seconds, adapterKind: gpu.adapter.kind },
        precisions: settings.dtype === "f32" ? fullPrecisions : undefined,
      };
      const result = await (runPeer as RunPeer)(name, request);
      peers.push(result);
      progress.advance(1, options.peer[i + 1]);
      progress.print(`${name.padEnd(12)}  ${shown(result.fps)} (${result.version})`);
      progress.print(`ratio         ${(model.rate.median / result.fps.median).toFixed(2)} times ${name}`);
    }
    if (options.json !== undefined) {
      const report = {
        date: new Date().toISOString(),
        adapter: gpu.adapter,
        versions: versions(),
        size: settings.size,
        patch: checkpoint.config.patch,
        batch,
        dtype: settings.dtype,
        model: model.rate,
        latencyMs: model.latency,
        endToEnd,
        gflopPerFrame: model.flopsPerFrame / 1e9,
        gflopPerSecond: achieved,
        peakGflopPerSecond: peak,
        dispatches: model.dispatches,
        memoryBytes: model.memoryBytes,
        profile: model.profile,
        peers,
      };
      await writeFileAtomic(options.json, `${JSON.stringify(report, null, 2)}\n`);
      progress.print(`written       ${options.json}`);
    }
  } finally {
    progress?.stop();
    gpu.close();
  }
}

/** The checkpoint that is named, else the paper's sizes with fresh weights. */
export async function benchCheckpoint(options: { checkpoint?: string; patch?: number }): Promise<Checkpoint> {
  if (options.checkpoint) return readCheckpoint([options.checkpoint]);
  return freshCheckpoint({ ...paperConfig, patch: options.patch ?? paperConfig.patch });
}

/** A network with fresh weights. */
export function freshCheckpoint(config: SdMaeConfig): Checkpoint {
  const weights = new Map(freshWeights(config, 1));
  return { config, weights, extras: new Map(), settings: {}, source: "fresh weights", overlaid: 0 };
}

const shown = (rate: Rate) => shownRate(rate, "frames");

/** The model alone, as {@link openModel} has it ready; it is closed. */
async function measureModel({ program, memoryBytes }: OpenModel, batch: number, seconds: number, profile: boolean) {
  try {
    const rate = await measure(seconds, batch, (steps) => timed(program, steps));
    const { flops, bytes: moved } = program.cost;
    const alone: number[] = [];
    for (let i = 0; i < 9; i++) alone.push(1000 * (await timed(program, 1)));
    const profiled: NodeProfile[] | undefined =
      profile && Profiler.available(program.gpu) ? await program.profile() : undefined;
    return {
      rate,
      /** Of a batch by itself, ms. */
      latency: summary(alone),
      flopsPerFrame: flops / batch,
      bytesPerFrame: moved / batch,
      dispatches: program.dispatchCount,
      memoryBytes,
      profile: profiled,
    };
  } finally {
    program.close();
  }
}

/** What {@link openModel} has made ready. */
export interface OpenModel {
  program: Program;
  /** Of GPU memory. */
  memoryBytes: number;
}

/**
 * The model with frames of noise on the device, each of its steps a steady one of a stream: as many frames resized as scored, no upload and no
 * read-back. Whoever opens it closes the program.
 * @param firstUse none where kernels are neither checked nor tuned first
 */
export async function openModel(
  gpu: Gpu,
  { config, weights }: Checkpoint,
  settings: ScoreSettings,
  batch: number,
  firstUse?: FirstUse,
): Promise<OpenModel> {
  const slots = ClipWindow.slotsFor(batch);
  const before = gpu.allocatedBytes;
  const options = { config, weights, settings, source: settings.size, batch, slots, anomalyMap: false };
  const built = await tunedScoreGraph(gpu, options, firstUse);
  const program = await Program.compile(gpu, built.graph);
  try {
    const noise = uniformGenerator(7);
    const bytes = Uint8Array.from(
      { length: 4 * Math.ceil((settings.size.height * settings.size.width * 3) / 4) },
      () => noise() * 256,
    );
    for (let slot = 0; slot < slots; slot++) program.write(built.ring.raw, bytes, slot * 4 * built.ring.raw.shape[1]);
    const rows = Array.from({ length: batch }, (_, b) => [b, b + 3, b + 6, b + 2, b + 4, b + 3, b, 0]);
    program.write(built.samples, Uint32Array.from(rows.flat()));
    const resize = (count: number) =>
      program.write(
        built.ring.slots,
        Uint32Array.from({ length: slots }, (_, i) => (i < count ? i : noSlot)),
      );
    resize(slots);
    await timed(program, 1);
    resize(batch); // a steady step resizes as many frames as it scores
    return { program, memoryBytes: gpu.allocatedBytes - before };
  } catch (error) {
    program.close();
    throw error;
  }
}

/** A stream of frames through the detector: upload, compute and read-back overlapped. */
async function measureEndToEnd(
  gpu: Gpu,
  checkpoint: Checkpoint,
  settings: ScoreSettings,
  batch: number,
  { seconds, tune }: FpsOptions,
): Promise<Rate> {
  const detector = await Detector.open(checkpoint, { ...settings, gpu, batch, tune });
  const { height, width } = settings.size;
  const random = uniformGenerator(11);
  const data = Uint8Array.from({ length: height * width * 3 }, () => random() * 256);
  const controller = new AbortController();
  const source: FrameSource = {
    name: "noise",
    height,
    width,
    async *frames(): AsyncGenerator<Frame> {
      for (let i = 0; !controller.signal.aborted; i++) yield { data, height, width, index: i, number: i };
    },
  };
  const rates: number[] = [];
  try {
    let frames = 0;
    let last = 0;
    let end = Number.POSITIVE_INFINITY;
    for await (const { index } of detector.stream(source)) {
      if ((index + 1) % batch !== 0) continue;
      const now = performance.now();
      if (last === 0) end = now + seconds * 1000; // the first batch is the warm-up
      frames += batch;
      if (last === 0 || now - last > 500) {
        if (last > 0) rates.push((frames * 1000) / (now - last));
        last = now;
        frames = 0;
      }
      if (now > end && rates.length >= 3) controller.abort();
    }
  } finally {
    detector.close();
  }
  return summary(rates);
}
