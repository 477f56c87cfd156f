import { Command, Option } from "commander";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { Frame, FrameSource } from "../data/frame.js";
import type { ScoreOptions } from "../detector/settings.js";
import type { Gpu } from "../gpu/gpu.js";
import { writeFileAtomic } from "../node/atomic.js";
import { Detector } from "../node/detector.js";
import { openNodeGpu } from "../node/gpu.js";
import type { Size } from "../ops/resize.js";
import { uniformGenerator } from "../random.js";
import { benchCheckpoint } from "./fps.js";
import { adapterOption, dtypeOption, numberIn, parseSize, wholeNumber } from "./options.js";
import { table } from "./table.js";
import { versions } from "./versions.js";

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
  json?: string;
}

/** What was measured with a number of cameras. */
interface Measured {
  streams: number;
  batch: number;
  /** Frames scored a second, of all. */
  fps: number;
  /** Seconds from when the last frame that a score needs was there to when the score was. */
  latency: { p50: number; p90: number; p99: number; max: number };
  /** Whether frames came faster than they were scored. */
  lags: boolean;
}

/** Frames from the one that is scored to the last one that its score needs (METHOD §1). */
const ahead = 3;

/** `streams`: how many cameras one detector keeps up with, and how soon it answers. */
export function streamsBenchCommand(): Command {
  return new Command("streams")
    .description(
      "Feeds cameras of a steady frame rate into one detector and measures frames per second and latency, with more and more of them until scores come later and later.",
    )
    .option("--checkpoint <file>", "a model to run (default: the paper's sizes with fresh weights)")
    .addOption(
      new Option("--size <HxW>", "input size of the network")
        .default({ height: 320, width: 640 }, "320x640")
        .argParser(parseSize),
    )
    .addOption(
      new Option("--source <HxW>", "size of the cameras' frames (default: the network's)").argParser(parseSize),
    )
    .addOption(
      new Option("--patch <P>", "patch side (default: 16)").argParser(wholeNumber(4, 64)).conflicts("checkpoint"),
    )
    .addOption(new Option("--fps <r>", "frames per second of a camera").default(25).argParser(numberIn(0.1, 1000)))
    .addOption(
      new Option("--streams <list>", "numbers of cameras, with commas (default: 1, 2, 4, … until they lag)").argParser(
        (text) => text.split(",").map(wholeNumber(1, 4096)),
      ),
    )
    .addOption(
      new Option(
        "--batch <n>",
        "frames in a step, at most (default: the cameras, up to 64; 1 on a software adapter)",
      ).argParser(wholeNumber(1, 4096)),
    )
    .addOption(dtypeOption())
    .addOption(new Option("--seconds <s>", "how long to measure each").default(10).argParser(numberIn(0.5, 3600)))
    .addOption(adapterOption())
    .option("--json <file>", "write the figures to a file")
    .action(streamsBench);
}

async function streamsBench(options: StreamsBenchOptions): Promise<void> {
  const checkpoint = await benchCheckpoint(options);
  const gpu = await openNodeGpu({ adapter: options.adapter, onNotice: (line) => process.stderr.write(`${line}\n`) });
  try {
    const { size, source = size, fps } = options;
    console.log(`adapter  ${gpu.adapter.description} (${gpu.adapter.kind})`);
    console.log(
      `cameras  ${source.height}x${source.width} at ${fps} frames/s; network ${size.height}x${size.width}, patch ${checkpoint.config.patch}`,
    );
    const results: Measured[] = [];
    const numbers = options.streams ?? Array.from({ length: 13 }, (_, i) => 2 ** i);
    for (const streams of numbers) {
      process.stderr.write(`measuring ${streams} for ${options.seconds} s …\n`);
      const measured = await measureStreams(gpu, checkpoint, streams, options);
      results.push(measured);
      if (!options.streams && measured.lags) break;
    }
    for (const line of shown(results)) console.log(line);
    if (options.json !== undefined) {
      const report = {
        ...{ date: new Date().toISOString(), adapter: gpu.adapter, versions: versions() },
        ...{ size, source, patch: checkpoint.config.patch, cameraFps: fps, dtype: options.dtype ?? "auto", results },
      };
      await writeFileAtomic(options.json, `${JSON.stringify(report, null, 2)}\n`);
      console.log(`written  ${options.json}`);
    }
  } finally {
    gpu.close();
  }
}

async function measureStreams(
  gpu: Gpu,
  checkpoint: Checkpoint,
  streams: number,
  { size, source = size, fps, dtype, seconds, ...options }: StreamsBenchOptions,
): Promise<Measured> {
  const batch = options.batch ?? (gpu.adapter.kind === "gpu" ? Math.min(64, streams) : 1);
  const detector = await Detector.open(checkpoint, { gpu, batch, size, dtype });
  const random = uniformGenerator(3);
  const data = Uint8Array.from({ length: source.height * source.width * 3 }, () => random() * 256);
  const interval = 1000 / fps;
  try {
    // Kernels are compiled, and a first step run, before the cameras are switched on.
    for await (const _ of detector.streams(cameras(streams, source, data, () => 0, 2 * ahead)));
    // Not all at the same moment, as cameras are not.
    const begin = performance.now() + 50;
    const due = (camera: number, index: number) => begin + (index + camera / streams) * interval;
    const frames = Math.max(2 * ahead, Math.ceil((1000 * seconds) / interval));
    const latencies: number[] = [];
    for await (const { source: camera, index } of detector.streams(cameras(streams, source, data, due, frames), {
      prompt: true,
    })) {
      const last = Math.min(index + ahead, frames - 1);
      latencies.push((performance.now() - due(camera, last)) / 1000);
    }
    const took = (performance.now() - begin) / 1000;
    const sorted = Float64Array.from(latencies).sort();
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
    // Late by more than the frames that a score waits for anyway, at the end: there is a queue, and it grows.
    const tail = latencies.slice(-Math.ceil(latencies.length / 10));
    const lags = tail.reduce((sum, value) => sum + value, 0) / tail.length > Math.max(1, (2 * ahead * interval) / 1000);
    return {
      ...{ streams, batch, fps: latencies.length / took, lags },
      latency: { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) },
    };
  } finally {
    detector.close();
  }
}

/** Cameras that give `frames` frames, each when it is due; one that is read late has kept its frames. */
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

function shown(results: readonly Measured[]): string[] {
  const ms = (seconds: number) => (1000 * seconds).toFixed(seconds < 0.1 ? 1 : 0);
  return table(
    ["cameras", "batch", "frames/s", "latency p50", "p90", "p99", "max, ms", ""],
    results.map(({ streams, batch, fps, latency: { p50, p90, p99, max }, lags }) => [
      ...[String(streams), String(batch), fps.toFixed(1), ms(p50), ms(p90), ms(p99), ms(max)],
      lags ? "lags" : "keeps up",
    ]),
  );
}
