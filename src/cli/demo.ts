import { Command } from "commander";
import { fromIterable } from "../data/frame.js";
import { createScene, type SceneVideo } from "../data/scene/scene.js";
import { paperConfig } from "../model/config.js";
import { freshWeights } from "../model/init.js";
import { Detector } from "../node/detector.js";
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
    .addOption(adapterOption())
    .action(async ({ frames, adapter }: { frames: number; adapter?: string }) => {
      const checkpoint = {
        config: paperConfig,
        weights: new Map(freshWeights(paperConfig, 1)),
        extras: new Map(),
        settings: {},
        source: "fresh weights",
        overlaid: 0,
      };
      const notice = (line: string) => process.stderr.write(`${line}\n`);
      const detector = await Detector.open(checkpoint, { size, adapter, onNotice: notice });
      try {
        console.log(
          `a synthetic street, ${frames} frames, in which a bicycle comes; the paper's network with fresh, untrained weights, at 160x320`,
        );
        const scene = createScene({ ...size, fps });
        const video = scene.video({ index: 0, frames, anomalies: ["bicycle"] });
        const source = fromIterable(images(video), { ...size, fps, frameCount: frames, name: "synthetic clip" });
        const progress = new Progress("frames", frames, false, true);
        const scores: number[] = [];
        for await (const result of detector.stream(source)) {
          scores.push(result.score);
          progress.advance();
        }
        progress.stop();
        for (const [i, score] of scores.entries()) {
          const sight = video.truth(i).label === 1 ? "  bicycle in sight" : "";
          console.log(`frame ${String(i).padStart(3)}  score ${score.toFixed(6)}${sight}`);
        }
        console.log(`${progress.rate.toPrecision(3)} frames/s on ${detector.gpu.adapter.description}`);
        console.log("next: npx sdmae score VIDEO --checkpoint FILE --out scores.csv");
      } finally {
        detector.close();
      }
    });
}

function* images(video: SceneVideo): Generator<Uint8Array> {
  for (let frame = 0; frame < video.frameCount; frame++) yield video.render(frame).image;
}
