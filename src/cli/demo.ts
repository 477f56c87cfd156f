import { Command } from "commander";
import { fromIterable } from "../data/frame.js";
import { paperConfig } from "../model/config.js";
import { freshWeights } from "../model/init.js";
import { Detector } from "../node/detector.js";
import { adapterOption, wholeNumber } from "./options.js";
import { Progress } from "./progress.js";

const height = 120;
const width = 240;
const fps = 25;

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
      const size = { height: 160, width: 320 };
      const detector = await Detector.open(checkpoint, { size, adapter, onNotice: notice });
      try {
        console.log(
          `a synthetic clip of ${frames} frames; the paper's network with fresh, untrained weights, at 160x320`,
        );
        const source = fromIterable(clip(frames), { height, width, fps, frameCount: frames, name: "synthetic clip" });
        const progress = new Progress("frames", frames, false);
        const scores: number[] = [];
        for await (const result of detector.stream(source)) {
          scores.push(result.score);
          progress.advance();
        }
        progress.stop();
        for (const [i, score] of scores.entries())
          console.log(`frame ${String(i).padStart(3)}  score ${score.toFixed(6)}`);
        console.log(
          `${progress.rate.toPrecision(3)} frames/s on ${detector.gpu.adapter.description || detector.gpu.adapter.device}`,
        );
        console.log("next: npx sdmae score VIDEO --checkpoint FILE --out scores.csv");
      } finally {
        detector.close();
      }
    });
}

/** Two people-sized boxes that walk over a plain ground, one of them fast. */
function* clip(frames: number): Generator<Uint8Array> {
  for (let t = 0; t < frames; t++) {
    const image = new Uint8Array(height * width * 3);
    for (let i = 0; i < image.length; i++) image[i] = 90 + ((i * 7) % 13);
    box(image, 20 + 1.2 * t, 60, 10, 30, [40, 60, 150]);
    box(image, 200 - 5 * t, 80, 10, 30, [160, 90, 40]);
    yield image;
  }
}

function box(image: Uint8Array, x: number, y: number, w: number, h: number, bgr: readonly number[]): void {
  for (let row = y; row < y + h; row++) {
    for (let column = Math.max(0, Math.round(x)); column < Math.min(width, Math.round(x) + w); column++) {
      image.set(bgr, (row * width + column) * 3);
    }
  }
}
