// bench/streams.js: finds how many cameras one detector keeps up with, and how late its scores are.

import { Command, Option } from "commander";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { adapterOption, deviceOf, robustOption, tuneOption } from "../cli/options/device.js";
import { checkpointOrFresh, dtypeOption, patchOption } from "../cli/options/model.js";
import { numberIn, parseSize, wholeNumber } from "../cli/options/parse.js";
import { refuseOutputs } from "../cli/outputs/refuse.js";
import { examples } from "../cli/terminal/examples.js";
import { Progress } from "../cli/terminal/progress.js";
import { type Column, tableHead, tableRow } from "../cli/terminal/table.js";
import { counted } from "../counted.js";
import type { Frame, FrameSource } from "../data/frame.js";
import { type ScoreOptions, scoreSettings } from "../detector/settings.js";
import { GpuError } from "../errors.js";
import type { Gpu } from "../gpu/gpu.js";
import { openNodeGpu } from "../node/adapters/gpu.js";
import { Detector } from "../node/detector.js";
import { writeFileAtomic } from "../node/files/atomic.js";
import { oneLine } from "../node/files/messages.js";
import { versions } from "../node/files/versions.js";
import type { Size } from "../ops/resize.js";
import { uniformGenerator } from "../random.js";
import { type StreamsFigure, streamsPage } from "../report/bench/streams.js";
import { FirstUse } from "../tuner/first_use.js";
import { checkpointOption } from "./model.js";

interface StreamsBenchOptions {
  checkpoint?: string;
  size: Size;
  source?: Size;
  patch?: number;
  fps: number;
  streams?: number[];
  batch?: number;
  dtype?: ScoreOptions["dtype"];
  seconds: number;
  adapter?: string;
  robust?: boolean;
  tune: boolean;
  json?: string;
  out?: string;
}

const onNotice = (line: string) => process.stderr.write(`${line}\n`);

/** Frames from a scored frame to the last one that its score needs (docs/method.md §1). */
const ahead = 3;

/** Most cameras that are tried, unless more are asked for. */
const limit = 4096;

/**
 * `bench/streams.js`: measures how many cameras one detector keeps up with, and how soon it
 * answers.
 */
export function streamsBenchCommand(): Command {
  return new Command("streams")
    .description(
      "Feeds live cameras into one detector, and measures frames per second and latency. Adds cameras until the scores lag.",
    )
    .addOption(
      new Option("--size <HxW>", "input size of the network, height x width in pixels")
        .default({ height: 320, width: 640 }, "320x640")
        .argParser(parseSize),
    )
    .addOption(
      new Option(
        "--source <HxW>",
        "size of the cameras' frames, height x width in pixels (default: the network's)",
      ).argParser(parseSize),
    )
    .addOption(patchOption())
    .addOption(new Option("--fps <r>", "frames per second per camera").default(25).argParser(numberIn(0.1, 1000)))
    .addOption(
      new Option(
        "--streams <list>",
        "numbers of cameras, separated by commas (default: 1, 2, 4, … until scores lag, then numbers between)",
      ).argParser((text) => text.split(",").map(wholeNumber(1, 4096))),
    )
    .addOption(
      new Option(
        "--batch <n>",
        "most frames per step (default: one per camera, up to 64; 1 on a software adapter)",
      ).argParser(wholeNumber(1, 4096)),
    )
    .addOption(
      new Option("--seconds <s>", "how long to measure each number of cameras, in seconds")
        .default(10)
        .argParser(numberIn(0.5, 3600)),
    )
    .option("--out <file>", "write plots to a file, *.html")
    .option("--json <file>", "write the figures to a file")
    .addOption(checkpointOption())
    .addOption(dtypeOption())
    .addOption(adapterOption())
    .addOption(robustOption())
    .addOption(tuneOption())
    .addHelpText("after", examples("node bench/streams.js --fps 25 --out streams.html"))
    .action(streamsBench);
}

async function streamsBench(options: StreamsBenchOptions): Promise<void> {
  await refuseOutputs(options);
  const checkpoint = await checkpointOrFresh(options);
  let gpu = await openNodeGpu({ ...deviceOf(options), onNotice });
  try {
    if (options.tune) await new FirstUse(gpu, { onNotice }).checkHalf(options.dtype);
    const { size, source = size, fps } = options;
    const cameras = `${source.height}x${source.width} at ${fps} frames/s`;
    const network = `${size.height}x${size.width}, patch ${checkpoint.config.patch}`;
    const { dtype } = scoreSettings(checkpoint, { size, dtype: options.dtype }, gpu);
    console.log(`adapter  ${gpu.adapter.description} (${gpu.adapter.kind})`);
    console.log(`cameras  ${cameras}; network ${network}, ${dtype}`);
    for (const line of tableHead(columns)) console.log(line);
    const results: StreamsFigure[] = [];
    let tooMany = Number.POSITIVE_INFINITY;
    for (;;) {
      const streams = nextNumber(options, results, tooMany);
      if (streams === undefined) break;
      try {
        results.push(await measureStreams(gpu, checkpoint, streams, options, results.length === 0));
      } catch (error) {
        // Memory may not suffice for so many. That is an error only if the user asked for them.
        if (!(error instanceof GpuError) || options.streams || results.length === 0) throw error;
        tooMany = streams;
        gpu.close();
        gpu = await openNodeGpu(deviceOf(options));
        console.log(tableRow(columns, [String(streams), oneLine(error.message)]));
        continue;
      }
      console.log(tableRow(columns, cells(results.at(-1) as StreamsFigure)));
      await save(options, { checkpoint, gpu, dtype, results, facts: { cameras, network }, complete: false });
    }
    await save(options, { checkpoint, gpu, dtype, results, facts: { cameras, network }, complete: true });
    const most = Math.max(0, ...results.filter(({ lags }) => !lags).map(({ streams }) => streams));
    console.log(
      most > 0
        ? `keeps up with ${counted(most, "camera")}, the most of the numbers tried`
        : "keeps up with none of the numbers tried",
    );
    for (const path of [options.json, options.out]) if (path !== undefined) console.log(`written  ${path}`);
  } finally {
    gpu.close();
  }
}

/**
 * The number of cameras to try next: the user's next number, else twice as many until they lag or
 * memory is full, then halfway between the most that keep up and the fewest that do not, until
 * these differ by less than an eighth.
 * @param tooMany the fewest that memory does not suffice for
 * @returns undefined if nothing is left to try
 */
export function nextNumber(
  { streams }: Pick<StreamsBenchOptions, "streams">,
  results: readonly StreamsFigure[],
  tooMany = Number.POSITIVE_INFINITY,
): number | undefined {
  if (streams) return streams[results.length];
  const first = Math.min(tooMany, ...results.filter(({ lags }) => lags).map((each) => each.streams));
  const most = Math.max(0, ...results.filter((each) => !each.lags && each.streams < first).map((each) => each.streams));
  if (first === Number.POSITIVE_INFINITY) return most >= limit ? undefined : Math.max(1, 2 * most);
  return first - most <= Math.max(1, most / 8) ? undefined : Math.ceil((most + first) / 2);
}

async function measureStreams(
  gpu: Gpu,
  checkpoint: Checkpoint,
  streams: number,
  { size, source = size, fps, dtype, seconds, tune, ...options }: StreamsBenchOptions,
  isFirst: boolean,
): Promise<StreamsFigure> {
  const batch = options.batch ?? (gpu.adapter.kind === "gpu" ? Math.min(64, streams) : 1);
  const detector = await Detector.open(checkpoint, { gpu, batch, size, dtype, tune, onNotice });
  const random = uniformGenerator(3);
  const data = Uint8Array.from({ length: source.height * source.width * 3 }, () => random() * 256);
  const interval = 1000 / fps;
  const frames = Math.max(2 * ahead, Math.ceil((1000 * seconds) / interval));
  const progress = new Progress(`frames of ${counted(streams, "camera")}`, streams * frames, false, isFirst);
  const often = Math.ceil((streams * frames) / 100);
  try {
    // Before the cameras start, kernels are compiled and a first step is run.
    for await (const _ of detector.streams(cameras(streams, source, data, () => 0, 2 * ahead)));
    // Like real cameras, they do not send their frames at the same moment.
    const begin = performance.now() + 50;
    const due = (camera: number, index: number) => begin + (index + camera / streams) * interval;
    const latencies: number[] = [];
    let end = begin;
    // At the end of a stream all waiting frames are scored at once. Cameras do not end, so the
    // streams are longer than what is measured.
    const streamed = cameras(streams, source, data, due, frames + 2 * ahead);
    for await (const { source: camera, index } of detector.streams(streamed, { prompt: true })) {
      if (index >= frames) continue;
      end = performance.now();
      latencies.push((end - due(camera, index + ahead)) / 1000);
      if (latencies.length % often === 0) progress.advance(often);
    }
    // Time counts from one interval before the first score is possible.
    const took = (end - begin - (ahead - 1) * interval) / 1000;
    const sorted = Float64Array.from(latencies).sort();
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    const lags = isLagging(latencies, (frames * interval) / 1000);
    return {
      ...{ streams, batch, fps: latencies.length / took, lags },
      latency: { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) },
    };
  } finally {
    progress.stop();
    detector.close();
  }
}

/**
 * Whether a queue grows: whether the mean latency of the last tenth of the scores exceeds the
 * smallest latency by more than a fortieth of the measured time (at least 0.1 s, at most 1 s).
 * @param latencies seconds, in the order of the scores
 * @param seconds how long frames came
 */
export function isLagging(latencies: readonly number[], seconds: number): boolean {
  const tail = latencies.slice(-Math.ceil(latencies.length / 10));
  const late = tail.reduce((sum, value) => sum + value, 0) / tail.length - Math.min(...latencies);
  return late > Math.max(0.1, Math.min(1, seconds / 40));
}

/**
 * Cameras with `frames` frames each, which wait until a frame is due. A late reader misses none.
 */
function cameras(
  count: number,
  { height, width }: Size,
  data: Uint8Array,
  due: (camera: number, index: number) => number,
  frames: number,
): FrameSource[] {
  return Array.from({ length: count }, (_, camera) => ({
    ...{ name: `camera ${camera}`, height, width },
    async *frames(): AsyncGenerator<Frame> {
      for (let index = 0; index < frames; index++) {
        const wait = due(camera, index) - performance.now();
        if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
        yield { data, height, width, index, number: index };
      }
    },
  }));
}

const columns: readonly Column[] = [
  ["cameras", 7],
  ["batch", 5],
  ["frames/s", 8],
  ["latency p50", 11],
  ["p90", 7],
  ["p99", 7],
  ["max, ms", 7],
  ["", 8],
];

function cells({ streams, batch, fps, latency: { p50, p90, p99, max }, lags }: StreamsFigure): string[] {
  const ms = [p50, p90, p99, max].map((seconds) => (1000 * seconds).toFixed(seconds < 0.1 ? 1 : 0));
  return [String(streams), String(batch), fps.toFixed(1), ...ms, lags ? "lags" : "keeps up"];
}

interface Found {
  checkpoint: Checkpoint;
  gpu: Gpu;
  dtype: string;
  results: readonly StreamsFigure[];
  facts: Record<string, string>;
  /** Whether everything was measured. Files are written after each number of cameras too. */
  complete: boolean;
}

async function save(
  { json, out, size, source = size, fps, seconds }: StreamsBenchOptions,
  found: Found,
): Promise<void> {
  const { checkpoint, gpu, dtype, results, complete } = found;
  const date = new Date().toISOString();
  if (json !== undefined) {
    const report = {
      ...{ date, adapter: gpu.adapter, versions: versions() },
      ...{
        size,
        source,
        patch: checkpoint.config.patch,
        model: checkpoint.source,
        cameraFps: fps,
        dtype,
        seconds,
        complete,
        results,
      },
    };
    await writeFileAtomic(json, `${JSON.stringify(report, null, 2)}\n`);
  }
  if (out !== undefined) {
    const { description, kind } = gpu.adapter;
    const facts = Object.entries({
      ...{ adapter: `${description} (${kind})`, ...found.facts, model: checkpoint.source, "storage type": dtype },
      ...{ "seconds per number of cameras": String(seconds), ...versions() },
    });
    const title = `SD-MAE, cameras at once: ${size.height}x${size.width} on ${description}`;
    await writeFileAtomic(
      out,
      streamsPage({ title, created: date, cameraFps: fps, figures: results, facts, complete }),
    );
  }
}
