// Checks on a device whether float16 computes what float32 does.
import type { Gpu, Target } from "../gpu/gpu.js";
import { type ActivationType, elementCount, Graph, type Tensor } from "../graph/graph.js";
import { floatsOf, Program } from "../graph/program.js";
import type { SdMaeConfig } from "../model/config.js";
import { headErrors } from "../model/heads.js";
import { freshWeights } from "../model/init.js";
import { tokenGrid } from "../model/masking.js";
import { Network } from "../model/network.js";
import { sampleWords } from "../ops/common.js";
import { packSamples } from "../ops/samples.js";
import { uniformGenerator } from "../random.js";
import { CallBench, distance, tunableCalls } from "./call_bench.js";

/** Key of the tuning table's entry for float16, which is "right" or "wrong". */
export const halfKey = "float16";

/**
 * Whether float16 must be checked on a device before it is used: on NVIDIA. There it fails some of
 * Dawn's conformance tests, so that Dawn offers it only if asked (src/node/adapters/dawn.ts).
 */
export function isHalfSuspect({ adapter, features, forcedKind }: Target): boolean {
  return (
    features.has("shader-f16") && adapter.kind === "gpu" && adapter.vendor === "nvidia" && forcedKind === undefined
  );
}

/** The answer for float16 on a device; undefined if it was not checked. */
export function halfVerdict({ tuning }: Target): "right" | "wrong" | undefined {
  const known = tuning?.get(halfKey);
  return known === "right" || known === "wrong" ? known : undefined;
}

/** Whether float16 was found to be wrong on a device. */
export function isHalfWrong(target: Target): boolean {
  return isHalfSuspect(target) && halfVerdict(target) === "wrong";
}

/**
 * A small network with every kernel of a model, large enough for tiles. Compiling takes most of the
 * time. So encoder and decoder have the same width and no token is removed, which lets them share
 * kernels.
 */
const config: Readonly<SdMaeConfig> = {
  ...{ patch: 8, inChannels: 9, outChannels: 4, heads: 2, mlpRatio: 2 },
  ...{ encoderWidth: 64, encoderDepth: 1, decoderWidth: 64, decoderDepth: 2, studentDepth: 1 },
};
const size = { height: 64, width: 64 };
/** How far float16's results may be from float32's, as ‖a−b‖/‖b‖. */
const tolerance = 1e-2;

/** The result of the check. */
export interface HalfCheck {
  /** What is wrong; undefined if nothing is. */
  fault?: string;
  /** Whether float32 is right on the device. If not, float16 cannot be judged. */
  computes: boolean;
}

/**
 * Runs a small network in float32 and in float16, and compares predictions and errors.
 * @throws GpuError if the device fails
 */
export async function checkHalf(gpu: Gpu): Promise<HalfCheck> {
  const [full, half] = await Promise.all([run(gpu, "f32"), run(gpu, "f16")]);
  // Two wrong results may agree. So one float32 kernel is compared with the CPU.
  const [call] = tunableCalls(gpu, full.graph.nodes);
  if (call) {
    const bench = new CallBench(gpu, call);
    const fault = await bench.check(bench.plainest);
    await bench.close();
    if (fault !== undefined) return { computes: false };
  }
  for (const [name, want] of Object.entries(full.results)) {
    const got = half.results[name];
    const away = distance(got, want);
    if (!(away <= tolerance)) return { computes: true, fault: `${away.toPrecision(2)} away from float32` };
  }
  return { computes: true };
}

interface Run {
  graph: Graph;
  results: Record<string, Float32Array>;
}

async function run(gpu: Gpu, dtype: ActivationType): Promise<Run> {
  const graph = new Graph(gpu);
  const grid = tokenGrid(size, config.patch, 0);
  const frames = graph.input("frames", [3, size.height, size.width], "u32");
  const samples = graph.input("samples", [1, sampleWords], "u32");
  const idsKeep = graph.input("idsKeep", [1, grid.keep], "u32");
  const idsRestore = graph.input("idsRestore", [1, grid.tokens], "u32");
  const network = new Network(graph, config, freshWeights(config, 1), dtype);
  const outputs = network.build({ frames, samples, idsKeep, idsRestore }, grid);
  const wanted: Record<string, Tensor> = {
    prediction: network.linear("decoder_pred", outputs.teacher),
    errors: headErrors(graph, network, outputs, { targets: frames, samples }, "L2"),
  };
  for (const [name, tensor] of Object.entries(wanted)) graph.output(name, tensor);
  const program = await Program.compile(gpu, graph, 1);
  try {
    const random = uniformGenerator(9);
    const pixels = Uint32Array.from({ length: elementCount(frames.shape) }, () => random() * 2 ** 24);
    program.write(frames, pixels);
    program.write(samples, packSamples([{ previous: 0, current: 1, next: 2, before: 0, after: 2, target: 1 }]));
    const backwards = Uint32Array.from({ length: grid.tokens }, (_, i) => grid.tokens - 1 - i);
    program.write(idsRestore, backwards);
    program.write(idsKeep, backwards);
    const got = await program.run();
    const results = Object.entries(wanted).map(([name, tensor]) => [name, floatsOf(got[name], tensor)] as const);
    return { graph, results: Object.fromEntries(results) };
  } finally {
    program.close();
  }
}
