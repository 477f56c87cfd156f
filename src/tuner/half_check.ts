import type { Gpu, Target } from "../gpu/gpu.js";
import { type ActivationType, elementCount, Graph, type Tensor } from "../graph/graph.js";
import { floatsOf, Program } from "../graph/program.js";
import type { SdMaeConfig } from "../model/config.js";
import { headErrors } from "../model/heads.js";
import { freshWeights } from "../model/init.js";
import { tokenGrid } from "../model/masking.js";
import { Network } from "../model/network.js";
import { sampleWords } from "../ops/common.js";
import { uniformGenerator } from "../random.js";
import { CallBench, distance, tunableCalls } from "./call_bench.js";

/** The entry of a tuning table that says whether float16 is "right" or "wrong" on the adapter. */
export const halfKey = "float16";

/**
 * Whether float16 has to be checked on a device before it is used. On NVIDIA it fails some of
 * Dawn's conformance tests, so Dawn offers it only if asked (src/node/adapters/gpu.ts).
 */
export function isHalfSuspect({ adapter, features, forcedKind }: Target): boolean {
  return (
    features.has("shader-f16") && adapter.kind === "gpu" && adapter.vendor === "nvidia" && forcedKind === undefined
  );
}

/** What is known of float16 on a device; undefined if it was not checked. */
export function halfVerdict({ tuning }: Target): "right" | "wrong" | undefined {
  const known = tuning?.get(halfKey);
  return known === "right" || known === "wrong" ? known : undefined;
}

/** Whether float16 was found to be wrong on a device. */
export function isHalfWrong(target: Target): boolean {
  return isHalfSuspect(target) && halfVerdict(target) === "wrong";
}

/**
 * Small, but with every kernel of a model, and large enough for tiles. Most of the time goes into
 * compiling: so encoder and decoder have the same width and no token is removed, and they share
 * their kernels.
 */
const config: Readonly<SdMaeConfig> = {
  ...{ patch: 8, inChannels: 9, outChannels: 4, heads: 2, mlpRatio: 2 },
  ...{ encoderWidth: 64, encoderDepth: 1, decoderWidth: 64, decoderDepth: 2, studentDepth: 1 },
};
const size = { height: 64, width: 64 };
/** How far float16's results may be from float32's: ‖a−b‖/‖b‖. */
const tolerance = 1e-2;

/** What was found. */
export interface HalfCheck {
  /** What is wrong; undefined if nothing is. */
  fault?: string;
  /** Whether float32 is right here. If not, nothing is known of float16. */
  computes: boolean;
}

/**
 * Runs a small network in float32 and in float16 and compares predictions and errors.
 * @throws GpuError where the device fails
 */
export async function checkHalf(gpu: Gpu): Promise<HalfCheck> {
  const [full, half] = (await Promise.all((["f32", "f16"] as const).map((dtype) => run(gpu, dtype)))) as [Run, Run];
  // Two wrong results may agree. So one kernel of float32 is held against the CPU.
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
    program.write(samples, Uint32Array.of(0, 1, 2, 0, 2, 1, 0, 0));
    const backwards = Uint32Array.from({ length: grid.tokens }, (_, i) => grid.tokens - 1 - i);
    program.write(idsRestore, backwards);
    program.write(idsKeep, backwards);
    const got = await program.run();
    const results = Object.entries(wanted).map(
      ([name, tensor]) => [name, floatsOf(got[name] as Float32Array, tensor)] as const,
    );
    return { graph, results: Object.fromEntries(results) };
  } finally {
    program.close();
  }
}
