// The command `export-onnx`, and the network as ONNX for benchmarks that run it elsewhere.

import { basename, resolve } from "node:path";
import { Command, Option } from "commander";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { exportOnnx, type OnnxOptions } from "../../checkpoint/onnx.js";
import { counted } from "../../counted.js";
import { buildScoreGraph } from "../../detector/score_graph.js";
import { type ScoreSettings, scoreSettings } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import type { Target } from "../../gpu/gpu.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { readCheckpoint } from "../../node/files/checkpoint_file.js";
import { headsOption, type ModelOptions, modelOptions, scoreOptions } from "../options/model.js";
import { wholeNumber } from "../options/parse.js";
import { examples } from "../terminal/examples.js";

/** Nothing runs, so there is no adapter: the graph uses only what every WebGPU device has. */
const noAdapter: Target = {
  adapter: { vendor: "", architecture: "", device: "", description: "none", kind: "software" },
  features: new Set(),
  limits: {} as GPUSupportedLimits,
};

/**
 * The network that a detector would run, as an .onnx file (see {@link exportOnnx}). Its outputs are
 * `scores` [B, 2] and `errors` [B, L, 2]: teacher–student, target–teacher. Needs no adapter.
 */
export function exportNetwork(
  { config, weights }: Checkpoint,
  settings: ScoreSettings,
  batch: number,
  options: OnnxOptions = {},
): Uint8Array {
  const { graph } = buildScoreGraph(noAdapter, {
    config,
    weights,
    settings,
    source: settings.size,
    batch,
    slots: 3 * batch,
    anomalyMap: false,
  });
  return exportOnnx(graph, ["scores", "errors"], options);
}

interface ExportOptions extends Omit<ModelOptions, "masking" | "score"> {
  batch: number;
  heads?: number;
  predictions?: boolean;
  fused?: boolean;
}

/**
 * `export-onnx CHECKPOINT [STUDENT] OUT.onnx`: writes the network for other runtimes. It throws
 * InputError for bad input, and leaves no half-written file.
 * @param print receives the line of the summary
 */
export function exportOnnxCommand(print: (line: string) => void = console.log): Command {
  const command = new Command("export-onnx")
    .summary("write a checkpoint's network as ONNX")
    .description("Writes the network of a checkpoint as an ONNX file (opset 20), to compare with other runtimes. ")
    .usage("[options] CHECKPOINT [STUDENT] OUT.onnx")
    .argument("<files...>", "the checkpoint, the student's checkpoint if it is a separate file, and the file to write")
    .addOption(new Option("--batch <n>", "samples per run").default(1).argParser(wholeNumber(1, 4096)))
    .option("--predictions", "also output the predictions of teacher and student")
    .option("--fused", "use ONNX Runtime's fused attention; other runtimes cannot read the file then")
    .addOption(headsOption());
  // Masks are inputs of the network, and its readers combine the two errors into a score.
  for (const option of modelOptions()) {
    if (!["masking", "score", "dtype"].includes(option.attributeName())) command.addOption(option);
  }
  return command
    .addHelpText("after", examples("node tools/export-onnx.js model.safetensors model.onnx --size 320x640"))
    .action(async (paths: string[], options: ExportOptions) => {
      const output = paths.at(-1) as string;
      const inputs = paths.slice(0, -1);
      if (inputs.length < 1 || inputs.length > 2) {
        throw new InputError(
          `export-onnx takes CHECKPOINT [STUDENT] OUT.onnx, got ${counted(paths.length, "file name")}`,
        );
      }
      // Otherwise, if OUT is forgotten, a checkpoint would be overwritten.
      if (!basename(output).endsWith(".onnx")) {
        throw new InputError(`${output}: the file to write comes last and must be named *.onnx`);
      }
      if (inputs.some((path) => resolve(path) === resolve(output))) {
        throw new InputError(`${output}: the file is both read and written; choose another file to write`);
      }
      const checkpoint = await readCheckpoint(inputs, options.heads);
      const settings = scoreSettings(checkpoint, scoreOptions(options), undefined, (line) =>
        process.stderr.write(`${line}\n`),
      );
      const { predictions, fused: fusedAttention, batch } = options;
      const bytes = exportNetwork(checkpoint, settings, batch, { predictions, fusedAttention });
      await writeFileAtomic(output, bytes);
      const { size, maskRatio, norm, maskedOnly } = settings;
      print(
        `written ${output}, ${(bytes.length / 1e6).toFixed(2)} MB: ${checkpoint.source} at ${size.height}x${size.width}, batch ${batch}, ` +
          `mask ratio ${maskRatio}, ${norm} errors${maskedOnly ? " of removed tokens" : ""}`,
      );
    });
}
