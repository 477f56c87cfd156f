import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { Command, Option } from "commander";
import { anomaliesOf, sceneDataset, sceneDatasetSettings } from "../../data/scene/dataset.js";
import { benchmarks } from "../../eval/benchmarks.js";
import type { EvaluationSettings } from "../../eval/evaluation.js";
import { microAuc } from "../../eval/frame_auc.js";
import type { VideoRecord } from "../../eval/record.js";
import { smooth } from "../../eval/smoothing.js";
import { Detector } from "../../node/detector.js";
import { evaluate } from "../../node/evaluate.js";
import { makeFolder } from "../../node/files/atomic.js";
import { packageFile } from "../../node/files/package_files.js";
import { RecordStore } from "../../node/files/record_store.js";
import { writeReport } from "../../report/evaluation/write.js";
import { trainingPresets, trainingScene } from "../../train/presets.js";
import { adapterOption, deviceOf, robustOption, tuneOption } from "../options/device.js";
import { wholeNumber } from "../options/parse.js";
import { facts, metrics } from "../terminal/eval_summary.js";
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

const { size, test } = trainingPresets.scene;
const { fps, view, anomalies } = trainingScene;

/** `demo`: the main job on a street that is drawn, with the model that is bundled. */
export function demoCommand(): Command {
  return new Command("demo")
    .description(
      "Looks for what is abnormal in four clips of a street that is drawn, with the model that comes along. The model was trained on the streets of seeds 1 to 72; of others it has seen none.",
    )
    .addOption(new Option("--seed <n>", "which street").default(123).argParser(wholeNumber(0)))
    .addOption(new Option("--frames <n>", "length of a clip").default(70).argParser(wholeNumber(20, 10_000)))
    .option("--report <dir>", "where to write a page to look at", "sdmae-demo")
    .addOption(adapterOption())
    .addOption(robustOption())
    .addOption(tuneOption())
    .action((options: DemoOptions) => interruptible((signal) => demo(options, signal)));
}

async function demo({ seed, frames, report, tune, ...device }: DemoOptions, signal: AbortSignal): Promise<void> {
  // Where it cannot be written, that is found out now.
  const made = await makeFolder(report, `--report ${report}`);
  const scene = sceneDatasetSettings({ ...size, fps, view, seed, train: 0, test: anomalies.length, frames, anomalies });
  const dataset = sceneDataset(scene);
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const settings: EvaluationSettings = { ...test.evaluation, rule: test.score, map: "moving-anomaly" };
  const detector = await Detector.open(packageFile("models", "scene.safetensors"), {
    ...{ size, score: test.score, norm: test.norm, ...deviceOf(device), tune, tokenMaps: true, onNotice: say },
  });
  const records = await RecordStore.open(undefined, dataset, detector);
  const progress = new Progress("frames", dataset.test.length * frames * test.maskings, false, true);
  let done = false;
  try {
    progress.print(
      `a street that is drawn, seed ${seed}: ${dataset.test.length} clips of ${frames} frames; in each something happens that is not normal there`,
    );
    const onFrames = (count: number) => progress.advance(count);
    const { maskings } = test;
    const result = await evaluate(dataset, detector, { settings, maskings, records, signal, onFrames });
    progress.stop();
    const motion = await motionAuc(records, result.videos, settings);
    const rows = result.videos.map(({ name, labels, auc }, i) => [
      name,
      anomaliesOf(i, scene).join(", "),
      String(labels?.reduce((sum, label) => sum + label, 0) ?? 0),
      percent(auc),
    ]);
    for (const line of table(["clip", "what happens", "abnormal frames", "AUC %"], rows)) console.log(line);
    console.log(
      `AUC of all frames (micro): ${percent(result.microAuc)} %; by the largest motion alone it would be ${percent(motion)} %`,
    );
    console.log(
      `${progress.rate.toPrecision(3)} frames/s at ${size.height}x${size.width} on ${detector.gpu.adapter.description}`,
    );
    const benchmark = { ...benchmarks.folder, title: "A street that is drawn" };
    const evaluated = { result, settings, dataset, detector, maskings, benchmark };
    const page = join(report, "index.html");
    await writeReport(page, {
      title: `Demo: a street that is drawn, seed ${seed}`,
      ...{ dataset, result, settings, metrics: metrics(evaluated), facts: facts(evaluated), signal },
      records: async ({ name }) =>
        Promise.all(Array.from({ length: maskings }, async (_, i) => (await records.read(name, i)) as VideoRecord)),
    });
    done = true;
    console.log(`to look at: ${page}`);
    console.log("next: npx sdmae score VIDEO --checkpoint FILE --out scores.csv");
  } finally {
    progress.stop();
    // A folder that holds something is left.
    if (made && !done) await rmdir(report).catch(() => undefined);
    await records.close();
    detector.close();
  }
}

/** What the largest motion gradient of a frame's patches, smoothed as the scores are, would tell: a detector must do better. */
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
