import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { InputError } from "../errors.js";
import type { Gpu } from "../gpu/gpu.js";
import { type ActivationType, Graph, type Tensor } from "../graph/graph.js";
import { floatsOf, Program, type Results } from "../graph/program.js";
import { anomalyMap, headErrors } from "../model/heads.js";
import { tokenGrid } from "../model/masking.js";
import { Network } from "../model/network.js";
import { sampleWords } from "../ops/common.js";
import { frameScoresOp, type Norm, tokenErrorsOp } from "../ops/errors.js";
import { lossWeightsOp, maskedLossOp, weightedLossOp } from "../ops/losses.js";
import { patchMotionOp, rankTokensOp } from "../ops/masking.js";
import { frameRing } from "../ops/resize.js";
import { type Comparison, compare, type FixtureCase } from "./fixture_case.js";
import { masksOf, packPlanes, packTargets, withoutCls, writeFrames } from "./fixture_inputs.js";

/**
 * Runs the engine on an inference case: frames through the same kernels as in production, on the file's masks. Compares each
 * `act.*` and `out.*`, and the engine's own masks with the file's.
 */
export async function checkInference(
  gpu: Gpu,
  checkpoint: Checkpoint,
  fixture: FixtureCase,
  dtype: ActivationType = "f32",
): Promise<Comparison[]> {
  const { config, weights } = checkpoint;
  const size = { height: fixture.integer("height"), width: fixture.integer("width") };
  const patch = fixture.integer("patch");
  if (patch !== config.patch) {
    throw new InputError(
      `${fixture.name} is of a model with patch ${patch}; ${checkpoint.source} has patch ${config.patch}`,
    );
  }
  const grid = tokenGrid(size, patch, fixture.number("mask_ratio"));
  const norm = fixture.text("score", "L2") as Norm;
  if (norm !== "L1" && norm !== "L2") throw new InputError(`${fixture.name}: score "${norm}" is neither L1 nor L2`);
  const frames = fixture.tensor("in.frames_u8");
  const batch = frames.shape[0];
  fixture.expectShape("in.frames_u8", [batch, 3, 3, size.height, size.width]);

  // Inputs: three frames a sample in slots 3b, 3b+1, 3b+2; the targets and the gradient as images of packed words.
  const graph = new Graph(gpu);
  const ring = frameRing(graph, size, size, 3 * batch, 3 * batch);
  const samples = graph.input("samples", [batch, sampleWords], "u32");
  const targets = graph.input("targets", [batch, size.height, size.width], "u32");
  const gradient = graph.input("gradient", [batch, size.height, size.width], "u32");
  const noise = graph.input("noise", [batch, grid.tokens], "f32");
  const idsRestore = graph.input("idsRestore", [batch, grid.tokens], "u32");
  const idsKeep = graph.input("idsKeep", [batch, grid.keep], "u32");
  const allTokens = graph.input("allTokens", [batch, grid.tokens], "u32");

  const motion = graph.apply(patchMotionOp, [gradient], { patch })[0];
  const byMotion = fixture.text("masking_method", "random_masking") === "grad_masking_v1";
  graph.output("ids_restore", graph.apply(rankTokensOp, [byMotion ? motion : noise], { keep: grid.keep })[0]);

  const deltas = new Map<string, string>();
  const network = new Network(graph, config, weights, dtype, (name, tensor, minus) => {
    const wanted = `act.${name}`;
    if (!fixture.has(wanted) || graph.outputs.has(wanted)) return;
    graph.output(wanted, tensor);
    if (minus) {
      graph.output(`${wanted} minus`, minus);
      deltas.set(wanted, `${wanted} minus`);
    }
  });
  const outputs = network.build({ frames: ring.resized, samples, idsKeep, idsRestore }, grid);
  graph.output("out.latent", outputs.latent as Tensor);
  const teacher = network.linear("decoder_pred", outputs.teacher);
  graph.output("out.teacher", teacher);
  const predictions = [teacher];
  if (outputs.student) {
    const student = network.linear("decoder_student_pred", outputs.student);
    graph.output("out.student", student);
    predictions.push(student);
  }
  if (fixture.has("act.patch_embed")) {
    const all = network.embed({ frames: ring.resized, samples, idsKeep: allTokens }, false);
    graph.output("act.patch_embed", all);
  }
  // Scores as in production (no stored predictions), and from stored predictions; losses are of squared differences.
  const where = { targets, samples };
  const fused = headErrors(graph, network, outputs, where, norm);
  const scoresOf = (errors: Tensor) => graph.apply(frameScoresOp, [errors], { keep: grid.keep })[0];
  graph.output("scores", scoresOf(fused));
  const errorsOf = (by: Norm) =>
    graph.apply(tokenErrorsOp, [targets, samples, ...predictions], {
      patch,
      norm: by,
      normalizeTarget: false,
    })[0];
  graph.output("scores of stored predictions", scoresOf(errorsOf(norm)));
  const squared = errorsOf("L2");
  graph.output("scores L2", scoresOf(squared));
  const lossWeights = graph.apply(lossWeightsOp, [gradient, motion, targets, samples], { patch })[0];
  const keep = grid.keep;
  graph.output(
    "out.loss_reconstruction",
    graph.apply(weightedLossOp, [squared, lossWeights], { error: "target", keep })[0],
  );
  graph.output(
    "out.loss_distillation",
    graph.apply(maskedLossOp, [squared, idsRestore], { error: "student", keep })[0],
  );
  graph.output("anomaly map", anomalyMap(graph, network, outputs, size));

  const program = await Program.compile(gpu, graph);
  let results: Results;
  const masks = masksOf(fixture, batch, grid.tokens, grid.keep);
  try {
    writeFrames(program, ring.raw, frames, batch, size);
    program.write(
      ring.slots,
      Uint32Array.from({ length: 3 * batch }, (_, i) => i),
    );
    const rows = Array.from({ length: batch }, (_, b) => [3 * b, 3 * b + 1, 3 * b + 2, 0, 0, b, b, 0]);
    program.write(samples, Uint32Array.from(rows.flat()));
    program.write(targets, packTargets(fixture, batch, size));
    if (fixture.has("in.gradient"))
      program.write(
        gradient,
        packPlanes(fixture.tensor("in.gradient"), 3, (v) => v),
      );
    if (fixture.has("in.noise")) program.write(noise, fixture.floats("in.noise"));
    program.write(idsRestore, masks.idsRestore);
    program.write(idsKeep, masks.idsKeep);
    program.write(
      allTokens,
      Uint32Array.from({ length: batch * grid.tokens }, (_, i) => i % grid.tokens),
    );
    results = await program.run();
  } finally {
    program.close();
  }

  const value = (name: string): Float32Array => {
    const read = (output: string) => floatsOf(results[output], graph.outputs.get(output) as Tensor);
    if (!graph.outputs.has(name)) throw new InputError(`${fixture.name}: the engine has no output for ${name}`);
    const got = read(name);
    const minus = deltas.get(name);
    const other = minus ? read(minus) : undefined;
    return other ? got.map((v, i) => v - other[i]) : got;
  };
  const comparisons: Comparison[] = [];
  const mismatched = countMismatched(
    fixture,
    results.ids_restore as Uint32Array,
    byMotion ? undefined : masks.idsRestore,
  );
  if (mismatched !== undefined)
    comparisons.push({ name: "in.ids_restore", elements: masks.idsRestore.length, error: mismatched });
  for (const name of fixture.names()) {
    if (!name.startsWith("act.") && !name.startsWith("out.")) continue;
    const want = fixture.floats(name);
    let got: Float32Array;
    if (name === "act.patch_embed") got = tokensFirst(value(name), batch, grid.tokens, config.encoderWidth);
    else if (name === "out.teacher" || name === "out.student") got = withoutCls(value(name), batch, grid.tokens);
    else if (name === "out.score_student_teacher") got = column(value("scores"), 0);
    else if (name === "out.score_teacher") got = column(value("scores"), 1);
    else if (name === "out.score_stage1") got = column(value("scores L2"), 1);
    else got = value(name);
    comparisons.push(compare(name, got, want));
    if (name === "out.score_student_teacher" || name === "out.score_teacher") {
      const which = name === "out.score_teacher" ? 1 : 0;
      comparisons.push(compare(`${name} (stored)`, column(value("scores of stored predictions"), which), want));
    }
    if (name === "out.teacher") {
      const anomaly = mapOf(want, batch, size, patch, config.outChannels);
      comparisons.push(compare("anomaly map", value("anomaly map"), anomaly));
    }
  }
  return comparisons;
}

/**
 * The share of tokens that the engine ranks otherwise than the file. Equal motion may be ranked either way, so for gradient masking it
 * counts ranks whose motion differs; undefined where the file has no ranks.
 */
function countMismatched(fixture: FixtureCase, got: Uint32Array, exact: Uint32Array | undefined): number | undefined {
  if (!fixture.has("in.ids_restore") || (!exact && !fixture.has("in.gradient"))) return undefined;
  const want = exact ?? Uint32Array.from(fixture.tensor("in.ids_restore").data, Number);
  let wrong = 0;
  if (exact) {
    for (const [i, rank] of want.entries()) if (rank !== got[i]) wrong++;
    return wrong / want.length;
  }
  const gradient = fixture.tensor("in.gradient");
  const [batch, channels, height, width] = gradient.shape as [number, number, number, number];
  const patch = fixture.integer("patch");
  const tokens = want.length / batch;
  const columns = width / patch;
  const motion = new Float64Array(want.length);
  for (let i = 0; i < gradient.data.length; i++) {
    const x = i % width;
    const y = Math.floor(i / width) % height;
    const b = Math.floor(i / (width * height * channels));
    const at = b * tokens + Math.floor(y / patch) * columns + Math.floor(x / patch);
    motion[at] = Math.max(motion[at], Number(gradient.data[i]));
  }
  const byRank = (ranks: Uint32Array) => {
    const sorted = new Float64Array(ranks.length);
    for (const [i, rank] of ranks.entries()) sorted[Math.floor(i / tokens) * tokens + rank] = motion[i];
    return sorted;
  };
  const [wantSorted, gotSorted] = [byRank(want), byRank(got)];
  for (const [i, m] of wantSorted.entries()) if (m !== gotSorted[i]) wrong++;
  return wrong / want.length;
}

/** [B, L, D] → [B, D, L], as a convolution's output lies. */
function tokensFirst(values: Float32Array, batch: number, tokens: number, width: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < tokens; t++) {
      for (let d = 0; d < width; d++) out[(b * width + d) * tokens + t] = values[(b * tokens + t) * width + d];
    }
  }
  return out;
}

function column(pairs: Float32Array, which: number): Float32Array {
  return Float32Array.from({ length: pairs.length / 2 }, (_, i) => pairs[2 * i + which]);
}

/** The anomaly map that predictions [B, L, P·P·4] hold, 0…1. */
function mapOf(
  predictions: Float32Array,
  batch: number,
  size: { height: number; width: number },
  patch: number,
  channels: number,
) {
  const { height, width } = size;
  const map = new Float32Array(batch * height * width);
  const columns = width / patch;
  const tokens = (height / patch) * columns;
  for (let i = 0; i < map.length; i++) {
    const [b, y, x] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
    const token = Math.floor(y / patch) * columns + Math.floor(x / patch);
    const at = ((b * tokens + token) * patch * patch + (y % patch) * patch + (x % patch)) * channels + channels - 1;
    map[i] = Math.min(1, Math.max(0, predictions[at] * 0.5 + 0.5));
  }
  return map;
}
