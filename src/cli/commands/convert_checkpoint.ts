import { basename, resolve } from "node:path";
import { Command } from "commander";
import { type Checkpoint, saveCheckpoint } from "../../checkpoint/checkpoint.js";
import { shown } from "../../checkpoint/text.js";
import { counted } from "../../counted.js";
import { InputError } from "../../errors.js";
import { paperConfig } from "../../model/config.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { readCheckpoint } from "../../node/files/checkpoint_file.js";
import { examples } from "../terminal/examples.js";

/** Number of trained values: all but BatchNorm's running statistics. */
function countParameters(checkpoint: Checkpoint): number {
  let count = 0;
  for (const [name, { data }] of checkpoint.weights) if (!/\.running_(mean|var)$/.test(name)) count += data.length;
  return count;
}

/** The lines that the command prints about a checkpoint. */
function describe(checkpoint: Checkpoint): string[] {
  const { config, settings, weights, extras, overlaid, leftOut } = checkpoint;
  const parameters = countParameters(checkpoint);
  const told: string[] = [];
  if (settings.dataset !== undefined) told.push(`data set ${shown(settings.dataset)}`);
  if (settings.inputSize) told.push(`input ${settings.inputSize.join(" x ")}`);
  if (settings.maskRatio !== undefined) told.push(`mask ratio ${settings.maskRatio}`);
  if (settings.maskingMethod !== undefined) told.push(`masking ${shown(settings.maskingMethod)}`);
  if (settings.score) told.push(`score ${settings.score.map(shown).join(", ")}`);
  if (settings.normPixLoss !== undefined) told.push(`normPixLoss ${settings.normPixLoss}`);
  if (settings.onlyMaskedTokens !== undefined) told.push(`onlyMaskedTokens ${settings.onlyMaskedTokens}`);
  if (settings.epoch !== undefined) told.push(`epoch ${settings.epoch} (counted from 0)`);
  const student = config.studentDepth === 0 ? "no student" : `student ${counted(config.studentDepth, "block")}`;
  return [
    `read           ${checkpoint.source}`,
    `configuration  patch ${config.patch}, channels ${config.inChannels} in and ${config.outChannels} out, ${counted(config.heads, "head")}, MLP ratio ${config.mlpRatio}`,
    `               encoder width ${config.encoderWidth}, ${counted(config.encoderDepth, "block")}; decoder width ${config.decoderWidth}, ${counted(config.decoderDepth, "block")}; ${student}`,
    `tensors        ${weights.size} of the network, all with the expected names and shapes; ${extras.size} counters and constants`,
    ...(leftOut === undefined ? [] : [`left out       ${counted(leftOut, "tensor")} outside of the network`]),
    `student        ${overlaid === 0 ? "from the same file" : `${counted(overlaid, "tensor")} from the second file`}`,
    `parameters     ${(parameters / 1e6).toFixed(parameters < 1e5 ? 4 : 2)} M`,
    `settings       ${told.length > 0 ? told.join(", ") : "none in the file"}`,
  ];
}

/**
 * `convert-checkpoint IN.pth [STUDENT.pth] OUT.safetensors`: converts the original's checkpoints to
 * one safetensors file. It throws InputError for bad input, and leaves no half-written file.
 * @param print receives the lines of the summary
 */
export function convertCheckpointCommand(print: (line: string) => void = console.log): Command {
  return new Command("convert-checkpoint")
    .summary("convert the authors' checkpoints to one safetensors file")
    .description(
      "Converts a checkpoint of the authors' PyTorch code to safetensors, and merges the student's checkpoint into it.",
    )
    .usage("[options] IN.pth [STUDENT.pth] OUT.safetensors")
    .argument("<files...>", "the checkpoint, the student's checkpoint if there is one, and the file to write")
    .option("--half", "store weights as float16: half the size, for use but not for further training")
    .option("--heads <n>", `attention heads, which a .pth file does not say (default: ${paperConfig.heads})`)
    .addHelpText(
      "after",
      examples("node tools/convert-checkpoint.js checkpoint-best.pth checkpoint-best-student.pth model.safetensors"),
    )
    .action(async (paths: string[], options: { heads?: string; half?: boolean }) => {
      const output = paths.at(-1)!;
      const inputs = paths.slice(0, -1);
      if (inputs.length < 1 || inputs.length > 2) {
        throw new InputError(
          `convert-checkpoint takes IN.pth [STUDENT.pth] OUT.safetensors, got ${counted(paths.length, "file name")}`,
        );
      }
      // Otherwise, if OUT is forgotten, the student's checkpoint would be overwritten.
      if (!basename(output).endsWith(".safetensors")) {
        throw new InputError(`${output}: the file to write comes last and must be named *.safetensors`);
      }
      if (inputs.some((path) => resolve(path) === resolve(output))) {
        throw new InputError(`${output}: the file is both read and written; choose another file to write`);
      }
      if (options.heads !== undefined && !/^[1-9]\d{0,5}$/.test(options.heads)) {
        throw new InputError(`--heads ${shown(options.heads)}: give a whole number from 1`);
      }
      const heads = options.heads === undefined ? undefined : Number(options.heads);
      const checkpoint = await readCheckpoint(inputs, heads);
      const bytes = saveCheckpoint(checkpoint, { half: options.half });
      await writeFileAtomic(output, bytes);
      for (const line of describe(checkpoint)) print(line);
      print(
        `written        ${output}, ${(bytes.length / 1e6).toFixed(2)} MB${options.half ? ", weights as float16" : ""}`,
      );
    });
}
