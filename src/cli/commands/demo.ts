import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";
import { counted } from "../../counted.js";
import {
  anomaliesOf,
  type SceneDatasetSettings,
  sceneDataset,
  sceneDatasetSettings,
} from "../../data/scene/dataset.js";
import { benchmarks } from "../../eval/benchmarks.js";
import { type EvaluationResult, type EvaluationSettings, paperEvaluation } from "../../eval/evaluation.js";
import { microAuc } from "../../eval/frame_auc.js";
import type { VideoRecord } from "../../eval/record.js";
import { smooth } from "../../eval/smoothing.js";
import { testedBy } from "../../eval/tested_by.js";
import { Detector } from "../../node/detector.js";
import { evaluate } from "../../node/evaluate.js";
import { makeFolder } from "../../node/files/atomic.js";
import { packageFile } from "../../node/files/package_files.js";
import { RecordStore } from "../../node/files/record_store.js";
import { writeReport } from "../../report/evaluation/write.js";
import { trainingScene } from "../../train/presets.js";
import { adapterOption, deviceOf, robustOption, tuneOption } from "../options/device.js";
import { wholeNumber } from "../options/parse.js";
import { facts, reportMetrics } from "../terminal/eval_summary.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";
import { Progress } from "../terminal/progress.js";
import { percent, table } from "../terminal/table.js";

interface DemoOptions {
  seed: number;
  frames: number;
  report: string;
  adapter?: string;
  robust?: boolean;
  tune: boolean;
}

/** The bundled model. */
const model = packageFile("models", "scene.safetensors");
const { fps, view, anomalies, trainSeedRange } = trainingScene;

/** `demo`: scores a drawn street with the bundled model, and writes a report. */
export function demoCommand(): Command {
  return new Command("demo")
    .summary("score a drawn street with the bundled model, and write a report")
    .description(
      `Scores four clips of a procedurally drawn street with the bundled model, and writes a report. The model was trained on the streets of seeds ${trainSeedRange.join(" to ")}.`,
    )
    .addOption(new Option("--seed <n>", "seed of the street").default(123).argParser(wholeNumber(0)))
    .addOption(new Option("--frames <n>", "frames per clip").default(70).argParser(wholeNumber(20, 10_000)))
    .option("--report <dir>", "folder of the report, index.html", "sdmae-demo")
    .addOption(adapterOption())
    .addOption(robustOption())
    .addOption(tuneOption())
    .addHelpText("after", examples("npx sdmae demo --seed 7"))
    .action((options: DemoOptions) => interruptible((signal) => demo(options, signal)));
}

async function demo({ seed, frames, report, tune, ...device }: DemoOptions, signal: AbortSignal): Promise<void> {
  // First, so that a folder that cannot be written is reported at once.
  const made = await makeFolder(report, `--report ${report}`);
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const detector = await Detector.open(model, { ...deviceOf(device), tune, tokenMaps: true, onNotice: say });
  const { size, score, frameScore } = detector.settings;
  const { maskings = 1, ...tested } = testedBy(detector.checkpoint.settings);
  const how = { ...paperEvaluation, ...frameScore, ...tested };
  const settings: EvaluationSettings = { ...how, rule: score, map: "moving-anomaly" };
  const scene = sceneDatasetSettings({ ...size, fps, view, seed, train: 0, test: anomalies.length, frames, anomalies });
  const dataset = sceneDataset(scene);
  const records = await RecordStore.open(undefined, dataset, detector);
  const progress = new Progress("frames", dataset.test.length * frames * maskings, false, true);
  let done = false;
  try {
    progress.print(
      `drawn street, seed ${seed}: ${counted(dataset.test.length, "clip")} of ${counted(frames, "frame")}, each with something abnormal`,
    );
    const onFrames = (count: number) => progress.advance(count);
    const result = await evaluate(dataset, detector, { settings, maskings, records, signal, onFrames });
    progress.stop();
    const motion = await motionAuc(records, result.videos, settings);
    for (const line of scoreTable(result, scene)) console.log(line);
    console.log(
      `micro-AUC (all frames together): ${percent(result.microAuc)} %; the largest motion alone would get ${percent(motion)} %`,
    );
    console.log(
      `${progress.rate.toPrecision(3)} frames/s at ${size.height}x${size.width} on ${detector.gpu.adapter.description}`,
    );
    const benchmark = { ...benchmarks.folder, title: "Drawn street" };
    const evaluated = { result, settings, dataset, detector, maskings, benchmark, isPart: false };
    const page = join(report, "index.html");
    await writeReport(page, {
      title: `Demo: drawn street, seed ${seed}`,
      ...{ dataset, result, settings, metrics: reportMetrics(evaluated), facts: facts(evaluated), signal },
      about: (name) => happening(name, result, scene),
      records: async ({ name }) =>
        Promise.all(Array.from({ length: maskings }, async (_, i) => (await records.read(name, i)) as VideoRecord)),
    });
    done = true;
    console.log(`report: ${page}`);
    console.log("next: npx sdmae score VIDEO --checkpoint FILE --out scores.csv");
  } finally {
    progress.stop();
    // After a failure an empty folder is removed.
    if (made && !done) await rmdir(report).catch(() => undefined);
    await records.close();
    detector.close();
  }
}

/** What is abnormal in a clip, such as "thrown object". */
function happening(name: string, { videos }: Pick<EvaluationResult, "videos">, scene: SceneDatasetSettings): string {
  const clip = videos.findIndex((video) => video.name === name);
  return anomaliesOf(clip, scene).join(", ").replaceAll("-", " ");
}

/** A row per clip: what happens in it, and how well it was found. */
function scoreTable({ videos }: EvaluationResult, scene: SceneDatasetSettings): string[] {
  const rows = videos.map(({ name, labels, auc }) => [
    name,
    happening(name, { videos }, scene),
    String(labels?.reduce((sum, label) => sum + label, 0) ?? 0),
    percent(auc),
  ]);
  return table(["clip", "what happens", "abnormal frames", "AUC %"], rows);
}

/**
 * The micro-AUC of a simple rival: the largest motion gradient of a frame's patches, smoothed as
 * the scores are.
 */
async function motionAuc(
  records: RecordStore,
  videos: readonly { name: string; labels?: Uint8Array }[],
  { smoothing }: EvaluationSettings,
): Promise<number | undefined> {
  const scored = [];
  for (const { name, labels } of videos) {
    const { tokens } = (await records.read(name, 0)) as VideoRecord;
    const largest = Float64Array.from(tokens, ({ motion }) => Math.max(...motion));
    if (labels) scored.push({ name, labels, scores: smooth(largest, smoothing, name) });
  }
  return microAuc(scored);
}
