import { Command, Option } from "commander";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { adapterLines } from "../cli/commands/adapters.js";
import { adapterOption, deviceOf, robustOption, tuneOption } from "../cli/options/device.js";
import { checkpointOrFresh, dtypeOption, maskRatioOption, patchOption } from "../cli/options/model.js";
import { numberIn, parseSize, wholeNumber } from "../cli/options/parse.js";
import { refuseOutputs } from "../cli/outputs/refuse.js";
import { examples } from "../cli/terminal/examples.js";
import { profileTable } from "../cli/terminal/profile_table.js";
import { Progress } from "../cli/terminal/progress.js";
import type { Frame, FrameSource } from "../data/frame.js";
import { type ScoreOptions, type ScoreSettings, scoreSettings } from "../detector/settings.js";
import type { Gpu } from "../gpu/gpu.js";
import { openNodeGpu } from "../node/adapters/gpu.js";
import { Detector } from "../node/detector.js";
import { writeFileAtomic } from "../node/files/atomic.js";
import { versions } from "../node/files/versions.js";
import { uniformGenerator } from "../random.js";
import { shownMs } from "../report/bench/page.js";
import { FirstUse } from "../tuner/first_use.js";
import { measurePeak, type Rate, shownRate, summary } from "./measure.js";
import { checkpointOption, type ModelFigures, measureModel, openModel } from "./model.js";
import { fullPrecisions, type PeerMissing, type PeerResult, type RunPeer, refuseMissing } from "./peers.js";

interface FpsOptions {
  size: { height: number; width: number };
  patch?: number;
  batch?: number;
  seconds: number;
  maskRatio?: number;
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

/** `bench/fps.js`: measures how fast the model runs here, and peers beside it. */
export function fpsCommand(
  peers: readonly string[] = [],
  runPeer?: RunPeer,
  peerMissing: PeerMissing = async () => undefined,
): Command {
  return new Command("fps")
    .description(
      "Measures frames per second of the full model (teacher, student and scores), synchronised with the GPU.",
    )
    .addOption(
      new Option("--size <HxW>", "input size of the network, height x width in pixels")
        .default({ height: 320, width: 640 }, "320x640")
        .argParser(parseSize),
    )
    .addOption(patchOption())
    .addOption(
      new Option("--batch <n>", "frames per step (default: 32 on a GPU, else 1)").argParser(wholeNumber(1, 4096)),
    )
    .addOption(new Option("--seconds <s>", "how long to measure, in seconds").default(5).argParser(numberIn(0.1, 3600)))
    .addOption(
      new Option("--peer <name...>", "also measure these peers, in the same run").choices(peers).default([], "none"),
    )
    .option("--profile", "print where the GPU time of a step goes")
    .option("--json <file>", "write the figures to a file")
    .addOption(checkpointOption())
    .addOption(maskRatioOption())
    .addOption(dtypeOption())
    .addOption(adapterOption())
    .addOption(robustOption())
    .addOption(tuneOption())
    .option("--list-adapters", "list the WebGPU adapters of this machine and stop")
    .addHelpText("after", examples("node bench/fps.js --size 160x320 --peer ort-webgpu"))
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
  const checkpoint = await checkpointOrFresh(options);
  const onNotice = (line: string) => process.stderr.write(`${line}\n`);
  const gpu = await openNodeGpu({ ...deviceOf(options), onNotice });
  const firstUse = options.tune ? new FirstUse(gpu, { onNotice }) : undefined;
  let progress: Progress | undefined;
  try {
    // 1. The model.
    await firstUse?.checkHalf(options.dtype);
    const settings = scoreSettings(
      checkpoint,
      { size: options.size, maskRatio: options.maskRatio, dtype: options.dtype },
      gpu,
      onNotice,
    );
    const { height, width } = settings.size;
    const batch = options.batch ?? (gpu.adapter.kind === "gpu" ? 32 : 1);
    console.log(`adapter       ${gpu.adapter.description} (${gpu.adapter.kind})`);
    console.log(
      `model         ${height}x${width}, patch ${checkpoint.config.patch}, batch ${batch}, ${settings.dtype}`,
    );
    // 2. The engine: frames that are on the GPU, the best matmul, frames from the host.
    const opened = await openModel(gpu, checkpoint, settings, batch, firstUse);
    progress = new Progress("measurements", 3 + options.peer.length, false, true);
    const model = await measureModel(opened, batch, options.seconds, options.profile ?? false);
    for (const line of speedLines(model)) progress.print(line);
    progress.advance(1, "the best matmul");
    const peak = await measurePeak(gpu, Math.min(options.seconds, 3));
    progress.advance(1, "end to end");
    for (const line of workLines(model, peak)) progress.print(line);
    const endToEnd = await measureEndToEnd(gpu, checkpoint, settings, batch, options);
    progress.advance(1, options.peer[0]);
    progress.print(`end to end    ${shown(endToEnd)}, with upload of ${height}x${width} frames and read-back`);
    if (model.profile) for (const line of profileTable(model.profile)) progress.print(line);
    // 3. The peers.
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
    // 4. The file.
    if (options.json !== undefined) {
      const { size, maskRatio, dtype } = settings;
      const report = {
        ...{ date: new Date().toISOString(), adapter: gpu.adapter, versions: versions() },
        ...{ size, patch: checkpoint.config.patch, maskRatio, batch, dtype },
        ...{ model: model.rate, latencyMs: model.latency, endToEnd },
        gflopPerFrame: model.flopsPerFrame / 1e9,
        gflopPerSecond: achievedGflops(model),
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

const shown = (rate: Rate) => shownRate(rate, "frames");

const achievedGflops = ({ flopsPerFrame, rate }: ModelFigures) => (flopsPerFrame * rate.median) / 1e9;

function speedLines({ rate, latency: { median, min, max } }: ModelFigures): string[] {
  return [
    `model         ${shown(rate)}, ${(1000 / rate.median).toPrecision(3)} ms per frame`,
    `latency       ${shownMs(median)} ms (${shownMs(min)} to ${shownMs(max)}) for one batch alone, from submission to result`,
  ];
}

/** @param peak GFLOP/s of the best matmul */
function workLines(model: ModelFigures, peak: number): string[] {
  const { flopsPerFrame, bytesPerFrame, dispatches, memoryBytes } = model;
  const achieved = achievedGflops(model);
  return [
    `arithmetic    ${(flopsPerFrame / 1e9).toPrecision(3)} GFLOP per frame, ${achieved.toPrecision(3)} GFLOP/s, ` +
      `${((100 * achieved) / peak).toFixed(0)} % of the best matmul here (${peak.toPrecision(3)} GFLOP/s)`,
    `dispatches    ${dispatches} per step, at least ${(bytesPerFrame / 1e6).toPrecision(3)} MB moved per frame`,
    `GPU memory    ${(memoryBytes / 1e6).toFixed(0)} MB`,
  ];
}

/** Frames per second of a stream through the detector: upload, compute and read-back overlap. */
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
