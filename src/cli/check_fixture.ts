import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { Command, Option } from "commander";
import { InputError } from "../errors.js";
import { readCheckpoint } from "../node/checkpoint_file.js";
import { openNodeGpu } from "../node/gpu.js";
import { reasonOf } from "../node/messages.js";
import { checkInference } from "./check_inference.js";
import { checkPreprocess } from "./check_preprocess.js";
import { type Comparison, FixtureCase } from "./fixture_case.js";
import { adapterOption, numberIn, wholeNumber } from "./options.js";

/** Thrown where a comparison is past its tolerance, so that the exit code is 1. */
export class CheckFailed extends Error {
  override readonly name = "CheckFailed";
}

/** `check-fixture [CHECKPOINT…] CASE.safetensors`: the engine against tensors that the original produced. */
export function checkFixtureCommand(): Command {
  return new Command("check-fixture")
    .description("Runs the engine on a fixture's inputs and compares every activation and output with the file's.")
    .usage("[options] [CHECKPOINT [STUDENT]] CASE.safetensors")
    .argument(
      "<files...>",
      "the model's checkpoint (and its student's), then the case; no checkpoint for a preprocessing case",
    )
    .addOption(new Option("--tolerance <t>", "the most that ‖a−b‖/‖b‖ may be").default(1e-4).argParser(numberIn(0, 1)))
    .addOption(
      new Option("--heads <n>", "attention heads, where the checkpoint does not tell").argParser(wholeNumber(1, 64)),
    )
    .addOption(adapterOption())
    .action(async (files: string[], options: { tolerance: number; heads?: number; adapter?: string }) => {
      const path = files.at(-1) as string;
      const checkpoints = files.slice(0, -1);
      const bytes = await readFile(path).catch((error: unknown) => {
        throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
      });
      const fixture = new FixtureCase(path, bytes);
      const checkpoint = checkpoints.length > 0 ? await readCheckpoint(checkpoints, options.heads) : undefined;
      const gpu = await openNodeGpu({
        adapter: options.adapter,
        onNotice: (line) => process.stderr.write(`${line}\n`),
      });
      try {
        let comparisons: Comparison[];
        if (fixture.text("mode", "eval") !== "eval")
          throw new InputError(`${path} is a training case, which cannot be checked yet`);
        if (fixture.has("in.frames_u8")) {
          if (!checkpoint) throw new InputError(`${path} is an inference case: name its checkpoint before it`);
          comparisons = await checkInference(gpu, checkpoint, fixture);
        } else if (fixture.names().some((name) => name.includes(".resized_"))) {
          comparisons = await checkPreprocess(gpu, fixture);
        } else {
          throw new InputError(
            `${path} is neither an inference case (in.frames_u8) nor a preprocessing one (*.resized_HxW)`,
          );
        }
        report(basename(path), comparisons, options.tolerance);
      } finally {
        gpu.close();
      }
    });
}

function report(name: string, comparisons: readonly Comparison[], tolerance: number): void {
  const width = Math.max(...comparisons.map((c) => c.name.length));
  const failed = comparisons.filter((c) => !(c.error <= (c.tolerance ?? tolerance)));
  for (const c of comparisons) {
    const verdict = failed.includes(c) ? "FAILED" : "ok";
    const error = c.unit ? `${c.error} ${c.unit}` : c.error.toExponential(2);
    console.log(`${verdict.padEnd(6)}  ${c.name.padEnd(width)}  ${String(c.elements).padStart(9)} values  ${error}`);
  }
  console.log(
    `${name}: ${comparisons.length - failed.length} of ${comparisons.length} within tolerance (${tolerance})`,
  );
  if (failed.length > 0)
    throw new CheckFailed(`${failed.length} of ${comparisons.length} comparisons are past the tolerance`);
}
