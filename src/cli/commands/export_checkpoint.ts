import { basename, resolve } from "node:path";
import { Command } from "commander";
import { originalOrder } from "../../checkpoint/extras.js";
import { isStudentTensor } from "../../checkpoint/merge.js";
import { type AdamWState, exportPth } from "../../checkpoint/pth_write.js";
import { isTrainingCheckpoint, openTrainingCheckpoint } from "../../checkpoint/training_checkpoint.js";
import { InputError } from "../../errors.js";
import { paperConfig } from "../../model/config.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { readCheckpoint, readCheckpointFile } from "../../node/files/checkpoint_file.js";
import { parseTraining } from "../../train/run_checkpoint.js";
import { headsOption } from "../options/model.js";
import { examples } from "../terminal/examples.js";

/** The optimiser's state of a training checkpoint; undefined for other checkpoints. */
async function readAdamW(path: string): Promise<AdamWState | undefined> {
  const file = await readCheckpointFile(path);
  if (!isTrainingCheckpoint(file)) return undefined;
  const { optimizer, training } = openTrainingCheckpoint(file);
  const { config, progress } = parseTraining(training, path);
  const { step, stageStep } = progress;
  // In stage 1 all steps are the teacher's; in stage 2 the last `stageStep` are the student's.
  const teacherStep = step === stageStep ? step : step - stageStep;
  return {
    ...optimizer,
    ...config.optimizer,
    step: (name) => (isStudentTensor(name) ? stageStep : teacherStep),
  };
}

/**
 * `export-checkpoint MODEL OUT.pth [--student FILE]`: writes a checkpoint for PyTorch, in the
 * original's format. It throws InputError for bad input, and leaves no half-written file.
 * @param print receives the lines of the summary
 */
export function exportCheckpointCommand(print: (line: string) => void = console.log): Command {
  return new Command("export-checkpoint")
    .summary("write a checkpoint as a .pth file for PyTorch")
    .description("Writes a checkpoint as a .pth file in the format of the authors' code, for torch.load in PyTorch. ")
    .argument("<model>", "the checkpoint, .safetensors or .pth")
    .argument("<out>", "the .pth file to write")
    .option("--student <file>", "take the student's tensors from this checkpoint")
    .addOption(headsOption())
    .addHelpText("after", examples("node tools/export-checkpoint.js model.safetensors model.pth"))
    .action(async (model: string, output: string, options: { student?: string; heads?: number }) => {
      const inputs = options.student === undefined ? [model] : [model, options.student];
      if (!basename(output).endsWith(".pth")) {
        throw new InputError(`${output}: the file to write must be named *.pth`);
      }
      if (inputs.some((path) => resolve(path) === resolve(output))) {
        throw new InputError(`${output}: the file is both read and written; choose another file to write`);
      }
      const checkpoint = await readCheckpoint(inputs, options.heads);
      // AdamW's moments belong to the weights that they were saved with, not to two merged models.
      const adamW = options.student === undefined ? await readAdamW(model) : undefined;
      const bytes = exportPth(checkpoint, adamW);
      await writeFileAtomic(output, bytes);
      const { config, settings, weights, overlaid } = checkpoint;
      const complete = originalOrder(config).length;
      const student = overlaid === 0 ? "" : `; ${overlaid} from the second file`;
      const optimizer = adamW
        ? `AdamW, learning rate ${adamW.learningRate}, weight decay ${adamW.weightDecay}, ${adamW.step("")} steps`
        : options.student === undefined
          ? "none in the file"
          : "left out, because two models are merged";
      print(`read           ${checkpoint.source}`);
      print(
        `tensors        ${complete}: ${weights.size} of the network, ${complete - weights.size} counters and constants${student}`,
      );
      print(`optimizer      ${optimizer}`);
      print(
        `epoch          ${settings.epoch === undefined ? "not known, so None" : `${settings.epoch} (counted from 0)`}`,
      );
      if (config.heads !== paperConfig.heads) {
        print(
          `heads          ${config.heads}; a .pth file does not say so, and the authors' code takes ${paperConfig.heads}`,
        );
      }
      print(`written        ${output}, ${(bytes.length / 1e6).toFixed(2)} MB`);
    });
}
