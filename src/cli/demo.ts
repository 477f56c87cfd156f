import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { sceneDataset } from "../data/scene/dataset.js";
import { benchmarks } from "../eval/benchmarks.js";
import { type EvaluationSettings, paperEvaluation, type VideoResult } from "../eval/evaluation.js";
import type { VideoRecord } from "../eval/record.js";
import { paperConfig } from "../model/config.js";
import { freshWeights } from "../model/init.js";
import { Detector } from "../node/detector.js";
import { evaluate } from "../node/evaluate.js";
import { RecordStore } from "../node/record_store.js";
import { writeReport } from "../report/write.js";
import { facts, metrics } from "./eval_summary.js";
import { adapterOption, wholeNumber } from "./options.js";
import { Progress } from "./progress.js";

/** The network's input; the clip is drawn at this size. */
const size = { height: 160, width: 320 };
const fps = 10;

/** `demo`: the main job on a synthetic clip, with nothing but what is bundled. */
export function demoCommand(): Command {
  return new Command("demo")
    .description(
      "Scores a small synthetic clip. The weights are fresh, not trained: it shows the engine at work, not detection.",
    )
    .option("--frames <n>", "length of the clip", wholeNumber(1, 10_000), 24)
    .option("--report <dir>", "where to write a page to look at", "sdmae-demo")
    .addOption(adapterOption())
    .action(async ({ frames, report, adapter }: { frames: number; report: string; adapter?: string }) => {
      const checkpoint = {
        config: paperConfig,
        weights: new Map(freshWeights(paperConfig, 1)),
        extras: new Map(),
        settings: {},
        source: "fresh weights",
        overlaid: 0,
      };
      const say = (line: string) => process.stderr.write(`${line}\n`);
      const dataset = sceneDataset({ ...size, fps, train: 0, test: 1, frames, anomalies: ["bicycle"] });
      const detector = await Detector.open(checkpoint, { size, adapter, tokenMaps: true, onNotice: say });
      let records: RecordStore | undefined;
      try {
        console.log(
          `a synthetic street, ${frames} frames, in which a bicycle comes; the paper's network with fresh, untrained weights, at 160x320`,
        );
        records = await RecordStore.open(undefined, dataset, detector);
        const settings: EvaluationSettings = { ...paperEvaluation, smoothing: { kind: "none" }, map: "moving-error" };
        const progress = new Progress("frames", frames, false, true);
        const onFrames = (count: number) => progress.advance(count);
        const result = await evaluate(dataset, detector, { settings, records, onFrames });
        progress.stop();
        const [video] = result.videos as [VideoResult];
        for (const [i, score] of video.raw.entries()) {
          const sight = video.labels?.[i] === 1 ? "  bicycle in sight" : "";
          console.log(`frame ${String(i).padStart(3)}  score ${score.toFixed(6)}${sight}`);
        }
        console.log(`${progress.rate.toPrecision(3)} frames/s on ${detector.gpu.adapter.description}`);
        const evaluated = {
          ...{ result, settings, dataset, detector, maskings: 1 },
          benchmark: { ...benchmarks.folder, title: "Procedural street" },
        };
        result.notes.unshift("the weights are fresh, not trained: figures and maps mean nothing yet");
        await mkdir(report, { recursive: true });
        const page = join(report, "index.html");
        await writeReport(page, {
          title: "Demo: a procedural street, untrained weights",
          ...{ dataset, result, settings, metrics: metrics(evaluated), facts: facts(evaluated) },
          records: async (of) => [(await records?.read(of.name, 0)) as VideoRecord],
        });
        console.log(`to look at: ${page}`);
        console.log("next: npx sdmae score VIDEO --checkpoint FILE --out scores.csv");
      } finally {
        await records?.close();
        detector.close();
      }
    });
}
