import { Command } from "commander";
import { mat4, vec3 } from "gl-matrix";
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
        console.log(`${progress.rate.toPrecision(3)} frames/s on ${detector.gpu.adapter.description}`);
        console.log("next: npx sdmae score VIDEO --checkpoint FILE --out scores.csv");
      } finally {
        detector.close();
      }
    });
}

/** A camera five metres up that looks down a street, as a matrix from metres (x right, y up, z towards it) to the image plane. */
function camera(): mat4 {
  const projection = mat4.perspective(mat4.create(), 0.7, width / height, 0.1, 100);
  const view = mat4.lookAt(mat4.create(), [0, 5, 12], [0, 1, 0], [0, 1, 0]);
  return mat4.multiply(projection, projection, view);
}

/** Three people that walk along a street and one that runs across it, upright boxes in perspective over a textured ground. */
function* clip(frames: number): Generator<Uint8Array> {
  const view = camera();
  const walkers = [
    { x: -3, z: -8, vx: 0, vz: 1.4, bgr: [40, 60, 150] },
    { x: 2, z: 4, vx: 0, vz: -1.2, bgr: [150, 90, 60] },
    { x: 3.5, z: -6, vx: 0, vz: 1.3, bgr: [60, 120, 70] },
    { x: 7, z: -3, vx: -6, vz: 0, bgr: [30, 160, 200] },
  ];
  for (let t = 0; t < frames; t++) {
    const image = new Uint8Array(height * width * 3);
    for (let i = 0; i < image.length; i++) image[i] = 90 + ((i * 7) % 13);
    const people = walkers.map((w) => ({ ...w, x: w.x + (w.vx * t) / fps, z: w.z + (w.vz * t) / fps }));
    // The farthest first, so that nearer ones hide it.
    for (const { x, z, bgr } of people.sort((a, b) => a.z - b.z)) {
      const [left, bottom] = toPixel(view, [x - 0.3, 0, z]);
      const [right, top] = toPixel(view, [x + 0.3, 1.75, z]);
      box(image, left, top, right, bottom, bgr);
    }
    yield image;
  }
}

function toPixel(view: mat4, point: vec3): [x: number, y: number] {
  const [x, y] = vec3.transformMat4(vec3.create(), point, view);
  return [Math.round(((x + 1) / 2) * width), Math.round(((1 - y) / 2) * height)];
}

function box(
  image: Uint8Array,
  left: number,
  top: number,
  right: number,
  bottom: number,
  bgr: readonly number[],
): void {
  for (let row = Math.max(0, top); row < Math.min(height, bottom); row++) {
    for (let column = Math.max(0, left); column < Math.min(width, right); column++) {
      image.set(bgr, (row * width + column) * 3);
    }
  }
}
