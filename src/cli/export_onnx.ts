import { readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { Command } from "commander";
import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.js";
import { exportOnnx, type OnnxOptions } from "../checkpoint/onnx.js";
import { shown } from "../checkpoint/text.js";
import { InputError } from "../errors.js";
import type { Target } from "../gpu/gpu.js";
import { Graph, type Tensor } from "../graph/graph.js";
import { headErrors } from "../model/heads.js";
import { tokenGrid } from "../model/masking.js";
import { Network } from "../model/network.js";
import { writeFileAtomic } from "../node/atomic.js";
import { reasonOf } from "../node/messages.js";
import { sampleWords } from "../ops/common.js";
import { frameScoresOp, type Norm } from "../ops/errors.js";
import type { Size } from "../ops/resize.js";

/** What the network in the file computes. */
export interface NetworkExport extends OnnxOptions {
  size: Size;
  batch: number;
  maskRatio: number;
  /** How the errors are measured; default L2. */
  norm?: Norm;
}

/** No adapter at all: nothing runs, and kernels get what every WebGPU device has. */
const plainTarget: Target = {
  adapter: { vendor: "", architecture: "", device: "", description: "none", kind: "software" },
  features: new Set(),
  limits: {} as GPUSupportedLimits,
};

/**
 * A checkpoint's network as an .onnx file with the outputs `errors` [B, L, 2] and `scores` [B, 2] (teacher–student, target–teacher),
 * and inputs as {@link exportOnnx} says.
 * @throws InputError where size and mask ratio give no token grid
 */
export function exportNetwork({ config, weights }: Checkpoint, what: NetworkExport): Uint8Array {
  const { size, batch, maskRatio } = what;
  const grid = tokenGrid(size, config.patch, maskRatio);
  const graph = new Graph(plainTarget);
  const frames = graph.input("frames", [3 * batch, size.height, size.width], "u32");
  const samples = graph.input("samples", [batch, sampleWords], "u32");
  const idsKeep = graph.input("idsKeep", [batch, grid.keep], "u32");
  const idsRestore = graph.input("idsRestore", [batch, grid.tokens], "u32");
  const network = new Network(graph, config, weights);
  const features = network.build({ frames, samples, idsKeep, idsRestore }, grid);
  const errors = headErrors(graph, network, features, { targets: frames, samples }, what.norm ?? "L2");
  const scores = graph.apply(frameScoresOp, [errors], { keep: grid.keep })[0] as Tensor;
  return exportOnnx(
    graph,
    new Map([
      ["errors", errors],
      ["scores", scores],
    ]),
    what,
  );
}

/**
 * `export-onnx CHECKPOINT [STUDENT] OUT.onnx`: the network for other runtimes.
 * Running it throws InputError for bad input, and leaves no half-written file.
 * @param print takes the summary's line
 */
export function exportOnnxCommand(print: (line: string) => void = console.log): Command {
  return new Command("export-onnx")
    .description("Writes a checkpoint's network as an .onnx file (opset 20), for comparisons with other runtimes.")
    .usage("[options] CHECKPOINT [STUDENT] OUT.onnx")
    .argument("<files...>", "the checkpoint, that of the student if it has a file of its own, and the file to write")
    .option("--size <HxW>", "input size in pixels (default: the checkpoint's, else 320x640)")
    .option("--batch <n>", "samples a run", "1")
    .option("--mask-ratio <r>", "share of tokens that are removed (default: the checkpoint's, else 0.5)")
    .option("--norm <L1|L2>", "how errors are measured", "L2")
    .option("--heads <n>", "attention heads, which a .pth does not tell (default: the original's 4)")
    .option("--predictions", "also output the predictions of teacher and student")
    .option("--fused", "attention as ONNX Runtime's own fused operator: only ONNX Runtime reads the file")
    .action(
      async (
        paths: string[],
        options: {
          size?: string;
          batch: string;
          maskRatio?: string;
          norm: string;
          heads?: string;
          predictions?: boolean;
          fused?: boolean;
        },
      ) => {
        const output = paths.at(-1) as string;
        const inputs = paths.slice(0, -1);
        if (inputs.length < 1 || inputs.length > 2) {
          throw new InputError(
            `export-onnx takes CHECKPOINT [STUDENT] OUT.onnx, got ${paths.length} file ${paths.length === 1 ? "name" : "names"}`,
          );
        }
        if (!basename(output).endsWith(".onnx")) {
          throw new InputError(`${output}: the file to write comes last and must be named *.onnx`);
        }
        if (inputs.some((path) => resolve(path) === resolve(output))) {
          throw new InputError(`${output}: is both read and written; name another file to write`);
        }
        const { norm } = options;
        if (norm !== "L1" && norm !== "L2") throw new InputError(`--norm ${shown(norm)}: L1 or L2 is needed`);
        const heads = options.heads === undefined ? undefined : wholeNumber("--heads", options.heads);
        const batch = wholeNumber("--batch", options.batch);
        const wantedSize = options.size === undefined ? undefined : sizeOf(options.size);
        const wantedRatio = options.maskRatio === undefined ? undefined : ratioOf(options.maskRatio);
        const files = await Promise.all(inputs.map(async (name) => ({ name, bytes: await bytesOf(name) })));
        const checkpoint = openCheckpoint(files, { heads });
        const [height, width] = checkpoint.settings.inputSize ?? [320, 640];
        const size = wantedSize ?? { height, width };
        const maskRatio = wantedRatio ?? checkpoint.settings.maskRatio ?? 0.5;
        const { predictions, fused: fusedAttention } = options;
        const bytes = exportNetwork(checkpoint, { size, batch, maskRatio, norm, predictions, fusedAttention });
        await writeFileAtomic(output, bytes);
        print(
          `written ${output}, ${(bytes.length / 1e6).toFixed(2)} MB: ${checkpoint.source} at ${size.height}x${size.width}, batch ${batch}, mask ratio ${maskRatio}`,
        );
      },
    );
}

async function bytesOf(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
  }
}

function wholeNumber(option: string, text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InputError(`${option} ${shown(text)}: a whole number from 1 is needed`);
  return Number(text);
}

function ratioOf(text: string): number {
  if (!/^(\d+\.?\d*|\.\d+)$/.test(text)) {
    throw new InputError(`--mask-ratio ${shown(text)}: a number from 0 to 1 (exclusive) is needed`);
  }
  return Number(text);
}

function sizeOf(text: string): Size {
  const match = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(text);
  if (!match) throw new InputError(`--size ${shown(text)}: HEIGHTxWIDTH in pixels is needed, as in 320x640`);
  return { height: Number(match[1]), width: Number(match[2]) };
}
