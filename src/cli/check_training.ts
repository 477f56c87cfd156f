import { inferConfig, isExtra } from "../checkpoint/infer.js";
import { InputError } from "../errors.js";
import type { Gpu } from "../gpu/gpu.js";
import type { Graph, Tensor } from "../graph/graph.js";
import { elementCount } from "../graph/graph.js";
import { Program } from "../graph/program.js";
import type { SdMaeConfig } from "../model/config.js";
import { type TokenGrid, tokenGrid } from "../model/masking.js";
import { sampleWords } from "../ops/common.js";
import { frameRing, type Size } from "../ops/resize.js";
import { type AdamWSettings, adamWHyper, paperAdamW } from "../train/adamw.js";
import {
  buildTrainingGraph,
  optimizerPhase,
  type TrainingBatch,
  type TrainingGraph,
  type TrainingGraphOptions,
} from "../train/training_graph.js";
import { type Comparison, compare, type FixtureCase } from "./fixture_case.js";
import { masksOf, packPlanes, packTargets, withoutCls, writeFrames } from "./fixture_inputs.js";

/** The most that a gradient's relative error may be; weights, statistics and losses keep the run's tolerance. */
export const gradientTolerance = 1e-3;
/**
 * Keys' biases have no gradient in exact arithmetic (softmax does not see a constant): what there is of one is rounding, this small. AdamW divides
 * by its size, so that the biases themselves move by rounding too, by up to this part.
 */
const noGradient = { gradient: 1e-6, after: 1e-3 };

/** A case made ready to run. */
interface TrainingCase {
  fixture: FixtureCase;
  config: SdMaeConfig;
  grid: TokenGrid;
  size: Size;
  batch: number;
  optimizer: AdamWSettings;
  weights: Map<string, { shape: readonly number[]; data: Float32Array }>;
}

/**
 * Trains on a case's batch as the file says, and compares the loss of each step, every gradient of the first one, and every weight and
 * running statistic after the last. The file does not say which of stage 1's losses it is of: the first loss tells.
 */
export async function checkTraining(gpu: Gpu, fixture: FixtureCase, onRun = () => {}): Promise<Comparison[]> {
  const training = readCase(fixture);
  const stage = fixture.integer("stage");
  if (stage !== 1 && stage !== 2) throw new InputError(`${fixture.name}: stage ${stage} is neither 1 nor 2`);
  const base = { config: training.config, grid: training.grid, stage, dropout: fixture.number("dropout") } as const;
  if (base.dropout !== 0) {
    throw new InputError(`${fixture.name}: dropout ${base.dropout} is random, and cannot be compared; 0 can`);
  }
  const choices: TrainingGraphOptions[] = (["gradient-weighted", "masked"] as const).flatMap((loss) =>
    [false, true].map((normalizeTarget) => ({ ...base, loss, normalizeTarget })),
  );
  const [wanted] = fixture.tensor("out.loss").data as Float32Array;
  let best: { options: TrainingGraphOptions; off: number } | undefined;
  for (const options of stage === 2 ? choices.slice(0, 1) : choices) {
    const { losses } = await train(gpu, training, options, 1);
    onRun();
    const off = Math.abs(losses[0] - wanted);
    if (!best || off < best.off) best = { options, off };
  }
  const { options } = best as { options: TrainingGraphOptions };
  const { losses, gradients, prediction, after } = await train(gpu, training, options, fixture.integer("steps"));

  const kind = stage === 2 ? "stage 2" : `${options.loss}${options.normalizeTarget ? ", normalised targets" : ""}`;
  const comparisons = [
    compare(`out.loss (${kind})`, Float32Array.from(losses), fixture.tensor("out.loss").data as Float32Array),
  ];
  if (fixture.has("out.pred")) {
    comparisons.push(compare("out.pred", prediction, fixture.floats("out.pred")));
  }
  for (const name of fixture.names()) {
    const [what, key] = [name.slice(0, name.indexOf(".")), name.slice(name.indexOf(".") + 1)];
    if ((what !== "grad" && what !== "after") || isExtra(key)) continue;
    const got = (what === "grad" ? gradients : after).get(key);
    if (!got) throw new InputError(`${fixture.name}: the engine has no tensor for ${name}`);
    const want = fixture.floats(name);
    if (what === "after") {
      const isNoise = key.endsWith("proj_k.bias");
      comparisons.push({ ...compare(name, got.data, want), ...(isNoise && { tolerance: noGradient.after }) });
    } else if (key.endsWith("proj_k.bias")) {
      const largest = got.data.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      comparisons.push({
        name,
        elements: want.length,
        error: largest,
        unit: "at most, 0 in exact arithmetic",
        tolerance: noGradient.gradient,
      });
    } else {
      comparisons.push({ ...compare(name, got.data, want), tolerance: gradientTolerance });
    }
  }
  return comparisons;
}

function readCase(fixture: FixtureCase): TrainingCase {
  const weights = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const name of fixture.names()) {
    if (!name.startsWith("before.") || isExtra(name)) continue;
    const tensor = fixture.tensor(name);
    if (!isExtra(name.slice(7))) weights.set(name.slice(7), { shape: tensor.shape, data: fixture.floats(name) });
  }
  const config = inferConfig(weights, fixture.name);
  const size = { height: fixture.integer("height"), width: fixture.integer("width") };
  const grid = tokenGrid(size, config.patch, fixture.number("mask_ratio"));
  const batch = fixture.tensor("in.frames_u8").shape[0];
  fixture.expectShape("in.frames_u8", [batch, 3, 3, size.height, size.width]);
  const betas = fixture.text("betas", "").split(",").map(Number);
  if (betas.length !== 2 || betas.some((beta) => !(beta >= 0 && beta < 1))) {
    throw new InputError(`${fixture.name}: its betas are "${fixture.text("betas", "")}", not two numbers below 1`);
  }
  const weightDecay = Number.parseFloat(fixture.text("weight_decay", ""));
  if (!(weightDecay >= 0)) throw new InputError(`${fixture.name}: its metadata has no number "weight_decay"`);
  const optimizer = {
    ...paperAdamW,
    learningRate: fixture.number("lr"),
    betas: betas as [number, number],
    weightDecay,
  };
  return { fixture, config, grid, size, batch, optimizer, weights };
}

type Tensors = Map<string, { data: Float32Array }>;

/** Runs steps from the case's weights. */
async function train(gpu: Gpu, training: TrainingCase, options: TrainingGraphOptions, steps: number) {
  const { grid, batch, optimizer } = training;
  let inputs: CaseInputs | undefined;
  const built = buildTrainingGraph(gpu, options, (graph) => {
    inputs = caseInputs(graph, training);
    return inputs.batch;
  });
  built.graph.output("predictions", built.predictions);
  const program = await Program.compile(gpu, built.graph);
  try {
    const { trained, running } = built.layout.flatten(training.weights);
    program.write(built.trained, trained);
    program.write(built.running, running);
    program.write(built.lossScale, Float32Array.of(1));
    writeInputs(program, inputs as CaseInputs, training);
    const losses: number[] = [];
    let gradients: Tensors = new Map();
    let prediction = new Float32Array();
    for (let step = 1; step <= steps; step++) {
      const results = await program.run();
      losses.push((results.loss as Float32Array)[0]);
      if (step === 1) {
        prediction = withoutCls(results.predictions as Float32Array, batch, grid.tokens);
        gradients = await named(program, built, built.gradients);
      }
      program.write(built.hyper.decays, adamWHyper(optimizer, step, true));
      program.write(built.hyper.plain, adamWHyper(optimizer, step, false));
      program.submit(optimizerPhase);
    }
    const after = built.layout.unflatten(
      (await program.read(built.trained)) as Float32Array,
      (await program.read(built.running)) as Float32Array,
    );
    return { losses, gradients, prediction, after };
  } finally {
    program.close();
  }
}

/** The tensors of a flat state by name. */
async function named(program: Program, { layout }: TrainingGraph, state: Tensor): Promise<Tensors> {
  const flat = (await program.read(state)) as Float32Array;
  return new Map(
    layout
      .tensors()
      .map(({ name, shape, offset }) => [name, { data: flat.slice(offset, offset + elementCount(shape)) }]),
  );
}

interface CaseInputs {
  batch: TrainingBatch;
  raw: Tensor;
  slots: Tensor;
}

/** Frames as in production, three slots a sample; targets, gradient and masks as the file has them. */
function caseInputs(graph: Graph, { batch, size, grid }: TrainingCase): CaseInputs {
  const ring = frameRing(graph, size, size, 3 * batch, 3 * batch);
  const image = [batch, size.height, size.width];
  return {
    raw: ring.raw,
    slots: ring.slots,
    batch: {
      frames: ring.resized,
      samples: graph.input("samples", [batch, sampleWords], "u32"),
      targets: graph.input("targets", image, "u32"),
      gradient: graph.input("gradient", image, "u32"),
      idsKeep: graph.input("idsKeep", [batch, grid.keep], "u32"),
      idsRestore: graph.input("idsRestore", [batch, grid.tokens], "u32"),
    },
  };
}

function writeInputs(program: Program, { batch: tensors, raw, slots }: CaseInputs, training: TrainingCase): void {
  const { fixture, batch, size, grid } = training;
  writeFrames(program, raw, fixture.tensor("in.frames_u8"), batch, size);
  program.write(
    slots,
    Uint32Array.from({ length: 3 * batch }, (_, i) => i),
  );
  const rows = Array.from({ length: batch }, (_, b) => [3 * b, 3 * b + 1, 3 * b + 2, 0, 0, b, b, 0]);
  program.write(tensors.samples, Uint32Array.from(rows.flat()));
  program.write(tensors.targets, packTargets(fixture, batch, size));
  program.write(
    tensors.gradient,
    packPlanes(fixture.tensor("in.gradient"), 3, (value) => value),
  );
  const masks = masksOf(fixture, batch, grid.tokens, grid.keep);
  program.write(tensors.idsRestore, masks.idsRestore);
  program.write(tensors.idsKeep, masks.idsKeep);
}
