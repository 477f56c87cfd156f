import { InputError } from "../errors.js";
import type { Gpu } from "../gpu/gpu.js";
import { Graph } from "../graph/graph.js";
import { Program } from "../graph/program.js";
import { sampleWords } from "../ops/common.js";
import { frameRing, rawSlotWords, type Size } from "../ops/resize.js";
import type { Comparison, FixtureCase } from "./fixture_case.js";

/** Grey levels that a resized pixel may be off. */
const tolerance = 1;

/**
 * Resizes a preprocessing case's images on the GPU and compares them pixel by pixel: `<name>.resized_HxW` is made from
 * `<name>.image` [H, W, 3] or, gray, from the frames `<name>.frames_prev_cur_next_m1_p1` [5, H, W], which also give
 * `<name>.motion_gradient` [H, W] by the last two.
 */
export async function checkPreprocess(gpu: Gpu, fixture: FixtureCase): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const name of fixture.names()) {
    const [prefix = "", what = ""] = name.split(".");
    const match = /^resized_(\d+)x(\d+)$/.exec(what);
    const isGradient = what === "motion_gradient";
    if (!match && !isGradient) continue;
    const sourceName = [`${prefix}.image`, `${prefix}.frames_prev_cur_next_m1_p1`].find((n) => fixture.has(n));
    if (!sourceName) throw new InputError(`${fixture.name}: ${name} has no image or frames to be made from`);
    const images = fixture.tensor(sourceName);
    const isColour = sourceName.endsWith(".image");
    const [count, height, width] = (isColour ? [1, ...images.shape] : images.shape) as [number, number, number];
    const source = { height, width };
    const size = match ? { height: Number(match[1]), width: Number(match[2]) } : source;
    const frames = Array.from({ length: count }, (_, i) =>
      isColour
        ? Uint8Array.from(images.data, Number)
        : Uint8Array.from({ length: height * width * 3 }, (_, j) =>
            Number(images.data[i * height * width + Math.floor(j / 3)]),
          ),
    );
    const { resized, gradient } = await resizeOnGpu(gpu, frames, source, size);
    const got = isGradient ? gradient : resized;
    const want = Uint8Array.from(fixture.tensor(name).data, Number);
    const channels = isColour ? 3 : 1;
    if (want.length !== (isGradient ? 1 : count) * size.height * size.width * channels) {
      throw new InputError(
        `${fixture.name}: ${name} has the shape [${fixture.tensor(name).shape}], which does not fit ${sourceName}`,
      );
    }
    let worst = 0;
    want.forEach((value, i) => {
      const pixel = got[Math.floor(i / channels)];
      // A gray image's three channels must all be its value.
      for (let c = 0; c < (isColour ? 1 : 3); c++) {
        const byte = (pixel >> (8 * (isColour ? i % 3 : c))) & 255;
        worst = Math.max(worst, Math.abs(byte - value));
      }
    });
    comparisons.push({ name, elements: want.length, error: worst, unit: "grey levels at most", tolerance });
  }
  return comparisons;
}

/** Packed pixels of all frames resized, and of the motion gradient between the last two. */
async function resizeOnGpu(gpu: Gpu, frames: readonly Uint8Array[], source: Size, size: Size) {
  const graph = new Graph(gpu);
  const ring = frameRing(graph, source, size, frames.length, frames.length);
  const samples = graph.input("samples", [1, sampleWords], "u32");
  graph.output("resized", ring.resized);
  graph.output("gradient", ring.motionGradient(samples));
  const program = await Program.compile(gpu, graph);
  try {
    const slotBytes = 4 * rawSlotWords(source);
    const bytes = new Uint8Array(slotBytes * frames.length);
    frames.forEach((frame, i) => {
      bytes.set(frame, i * slotBytes);
    });
    program.write(ring.raw, bytes);
    program.write(ring.slots, Uint32Array.from(frames.keys()));
    const last = frames.length - 1;
    program.write(samples, Uint32Array.of(0, 0, 0, Math.max(0, last - 1), last, 0, 0, 0));
    const { resized, gradient } = await program.run();
    return { resized: resized as Uint32Array, gradient: gradient as Uint32Array };
  } finally {
    program.close();
  }
}
