import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { Command, Option } from "commander";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { activationType } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import { checkAnomalyMap } from "../../fixture/anomaly_map.js";
import { type Comparison, FixtureCase } from "../../fixture/case.js";
import { checkInference } from "../../fixture/inference.js";
import { checkMetrics, isText, metricTolerance } from "../../fixture/metrics.js";
import { checkPreprocess } from "../../fixture/preprocess.js";
import { checkTraining, gradientTolerance } from "../../fixture/training.js";
import type { Gpu } from "../../gpu/gpu.js";
import type { ActivationType } from "../../graph/graph.js";
import { openNodeGpu } from "../../node/adapters/gpu.js";
import { readCheckpoint } from "../../node/files/checkpoint_file.js";
import { reasonOf } from "../../node/files/messages.js";
import { CheckFailed } from "../check_failed.js";
import { adapterOption, deviceOf, robustOption } from "../options/device.js";
import { headsOption } from "../options/model.js";
import { numberIn } from "../options/parse.js";
import { examples } from "../terminal/examples.js";
import { Progress } from "../terminal/progress.js";

/** Greatest relative error ‖a−b‖/‖b‖ of a tensor, by the engine's storage type. */
const tensorTolerance = { f32: 1e-4, f16: 1e-2 };

interface CheckOptions {
  tolerance?: number;
  heads?: number;
  dtype: ActivationType;
  adapter?: string;
  robust?: boolean;
}

/**
 * `check-fixture [CHECKPOINT…] CASE`: compares the engine with tensors or metrics of the original.
 */
export function checkFixtureCommand(): Command {
  return new Command("check-fixture")
    .summary("compare the engine with tensors or metrics of the authors' code")
    .description(
      "Runs the engine on the inputs of a fixture, and compares every activation, output or metric with the fixture's.",
    )
    .usage("[options] [CHECKPOINT [STUDENT]] CASE")
    .argument(
      "<files...>",
      "for an inference: checkpoint, student's checkpoint if any, case.safetensors; " +
        "for training, preprocessing or map clean-up: case.safetensors alone; for metrics: a JSON file alone",
    )
    .addOption(
      new Option(
        "--tolerance <t>",
        `greatest relative error ‖a−b‖/‖b‖ of a tensor (default: ${tensorTolerance.f32}, f16: ${tensorTolerance.f16}, gradients: ${gradientTolerance}) ` +
          `or difference of a metric (default: ${metricTolerance})`,
      ).argParser(numberIn(0, 1)),
    )
    .addOption(
      new Option("--dtype <type>", "inference: type that activations and weights are stored as")
        .choices(["f32", "f16"])
        .default("f32"),
    )
    .addOption(headsOption())
    .addOption(adapterOption())
    .addOption(robustOption())
    .addHelpText(
      "after",
      examples("node tools/check-fixture.js model.pth case.safetensors", "node tools/check-fixture.js frame-auc.json"),
    )
    .action(async (files: string[], options: CheckOptions) => {
      const path = files.at(-1) as string;
      const checkpoints = files.slice(0, -1);
      const bytes = await readFile(path).catch((error: unknown) => {
        throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
      });
      if (isText(bytes)) {
        if (checkpoints.length > 0) throw new InputError(`${path} is a metrics case: it takes no checkpoint`);
        report(basename(path), checkMetrics(path, bytes), options.tolerance ?? metricTolerance);
        return;
      }
      const fixture = new FixtureCase(path, bytes);
      const checkpoint = checkpoints.length > 0 ? await readCheckpoint(checkpoints, options.heads) : undefined;
      const check = checkOf(fixture, options.dtype, checkpoint);
      const gpu = await openNodeGpu({
        ...deviceOf(options),
        onNotice: (line) => process.stderr.write(`${line}\n`),
      });
      const progress = new Progress("runs of the case", undefined, false, true);
      try {
        const comparisons = await check(gpu, () => progress.advance());
        progress.stop();
        report(basename(path), comparisons, options.tolerance ?? tensorTolerance[options.dtype]);
      } finally {
        progress.stop();
        gpu.close();
      }
    });
}

/** Chooses the check of a safetensors case by its tensors. @throws InputError if none fits */
function checkOf(
  fixture: FixtureCase,
  dtype: ActivationType,
  checkpoint?: Checkpoint,
): (gpu: Gpu, onRun: () => void) => Promise<Comparison[]> {
  const isTraining = fixture.has("out.loss") && fixture.names().some((name) => name.startsWith("before."));
  if (isTraining) {
    if (checkpoint)
      throw new InputError(`${fixture.name} is a training case, which holds its weights: it takes no checkpoint`);
    if (dtype !== "f32") throw onlyInference(fixture, dtype);
    return (gpu, onRun) => checkTraining(gpu, fixture, onRun);
  }
  if (fixture.has("in.frames_u8")) {
    if (!checkpoint) throw new InputError(`${fixture.name} is an inference case: give its checkpoint before it`);
    return (gpu) => checkInference(gpu, checkpoint, fixture, activationType(dtype, gpu));
  }
  if (dtype !== "f32") throw onlyInference(fixture, dtype);
  if (fixture.names().some((name) => name.includes(".resized_"))) return (gpu) => checkPreprocess(gpu, fixture);
  if (fixture.has("in.teacher") && fixture.has("in.student")) return (gpu) => checkAnomalyMap(gpu, fixture);
  throw new InputError(
    `${fixture.name} is not a case: it has no tensors of an inference (in.frames_u8), of training (out.loss, before.*), ` +
      "of preprocessing (*.resized_HxW) or of the map clean-up (in.teacher, in.student)",
  );
}

function onlyInference({ name }: FixtureCase, dtype: ActivationType): InputError {
  return new InputError(`${name} is not an inference case: only those take --dtype ${dtype}`);
}

function report(name: string, comparisons: readonly Comparison[], tolerance: number): void {
  const width = Math.max(...comparisons.map((c) => c.name.length));
  const failed = comparisons.filter((c) => !(c.error <= (c.tolerance ?? tolerance)));
  for (const c of comparisons) {
    const verdict = failed.includes(c) ? "FAILED" : "ok";
    const error = c.unit ? `${c.error} ${c.unit}` : c.error.toExponential(2);
    const limit = c.tolerance === undefined || c.unit ? "" : ` (tolerance ${c.tolerance})`;
    console.log(
      `${verdict.padEnd(6)}  ${c.name.padEnd(width)}  ${String(c.elements).padStart(9)} values  ${error}${limit}`,
    );
  }
  console.log(
    `${name}: ${comparisons.length - failed.length} of ${comparisons.length} within tolerance (${tolerance})`,
  );
  if (failed.length > 0)
    throw new CheckFailed(`${name}: ${failed.length} of ${comparisons.length} comparisons exceed the tolerance`);
}
