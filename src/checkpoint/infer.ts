// Reads a network's sizes from a checkpoint's tensors, and checks that all tensors fit them.

import { InputError } from "../errors.js";
import { paperConfig, type SdMaeConfig, tensorShapes } from "../model/config.js";
import { morphologyShapes } from "./extras.js";
import { isStudentTensor } from "./merge.js";
import type { StoredTensor } from "./tensor.js";
import { shown, shownShape } from "./text.js";

type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** Whether the original saves this tensor although the network does not need it (extras.ts). */
export function isExtra(tensorName: string): boolean {
  return tensorName.endsWith(".num_batches_tracked") || morphologyShapes.has(tensorName);
}

/** How many different numbers follow `prefix` in the names: the number of blocks in a stack. */
function countBlocks(tensors: Shapes, prefix: string): number {
  const numbers = new Set<string>();
  for (const tensorName of tensors.keys()) {
    if (!tensorName.startsWith(prefix)) continue;
    const number = /^\d+(?=\.)/.exec(tensorName.slice(prefix.length))?.[0];
    if (number !== undefined) numbers.add(number);
  }
  return numbers.size;
}

/**
 * Reads a network's sizes from the shapes of its tensors. Looks only at the shapes that it needs;
 * {@link checkTensors} checks the rest.
 * @param name the file's name, for messages
 * @param heads attention heads, which no shape gives; default: the original's 4
 * @throws InputError if the tensors are not an SD-MAE network's, or `heads` does not divide both
 *   widths
 */
export function inferConfig(tensors: Shapes, name: string, heads: number = paperConfig.heads): SdMaeConfig {
  const shapeOf = (tensorName: string, dimensions: number): readonly number[] => {
    const shape = tensors.get(tensorName)?.shape;
    if (!shape) {
      const first = tensors.keys().next();
      const has = first.done ? "it has none" : `it has ${tensors.size} tensors, the first is ${shown(first.value)}`;
      throw new InputError(`${name}: not an SD-MAE checkpoint: no tensor ${shown(tensorName)} (${has})`);
    }
    if (shape.length !== dimensions || shape.includes(0)) {
      const parts =
        shape.join() === "0" ? "; if DeepSpeed saved it in parts (ZeRO-3), merge them by zero_to_fp32.py" : "";
      throw new InputError(
        `${name}: not an SD-MAE checkpoint: tensor ${shown(tensorName)} has shape ${shownShape(shape)}, expected ${dimensions} dimensions, none of them 0${parts}`,
      );
    }
    return shape;
  };

  const [encoderWidth, inChannels, patch, patchWidth] = shapeOf("patch_embed.proj.weight", 4);
  if (patch !== patchWidth) {
    throw new InputError(`${name}: patches are ${patch} by ${patchWidth} pixels; only square ones are supported`);
  }
  const [decoderWidth] = shapeOf("decoder_embed.weight", 2);
  const [predictionWidth] = shapeOf("decoder_pred.weight", 2);
  const [hidden] = shapeOf("blocks.0.mlp.net.0.weight", 4);
  const outChannels = predictionWidth / (patch * patch);
  if (!Number.isInteger(outChannels)) {
    throw new InputError(
      `${name}: tensor "decoder_pred.weight" has ${predictionWidth} rows, which is not a multiple of the patch's ${patch * patch} pixels`,
    );
  }

  if (!Number.isInteger(heads) || heads < 1) {
    throw new InputError(`${name}: ${heads} attention heads are impossible; give a whole number from 1`);
  }
  for (const width of [encoderWidth, decoderWidth]) {
    if (width % heads !== 0) {
      throw new InputError(
        `${name}: ${heads} attention heads do not divide the width ${width}; give the number that it was trained with`,
      );
    }
  }

  return {
    patch,
    inChannels,
    outChannels,
    encoderWidth,
    encoderDepth: countBlocks(tensors, "blocks."),
    decoderWidth,
    decoderDepth: countBlocks(tensors, "decoder_blocks."),
    studentDepth: [...tensors.keys()].some(isStudentTensor) ? 1 : 0,
    heads,
    mlpRatio: hidden / encoderWidth,
  };
}

/**
 * Checks that `tensors` are exactly those of a network of these sizes: none is missing, none is
 * unknown (except extras), all have the right shape and a floating-point type.
 * @param name the file's name, for messages
 * @throws InputError that names the first tensor that does not fit, and says how many more do not
 */
export function checkTensors(tensors: ReadonlyMap<string, StoredTensor>, config: SdMaeConfig, name: string): void {
  const problems: string[] = [];
  const expected = tensorShapes(config);
  for (const [tensorName, shape] of expected) {
    const tensor = tensors.get(tensorName);
    const expectation = `expected ${shownShape(shape)}`;
    if (!tensor) {
      problems.push(`tensor ${shown(tensorName)} is missing, ${expectation}`);
    } else if (tensor.shape.length !== shape.length || tensor.shape.some((size, axis) => size !== shape[axis])) {
      problems.push(`tensor ${shown(tensorName)} has shape ${shownShape(tensor.shape)}, ${expectation}`);
    } else if (!(tensor.data instanceof Float32Array || tensor.data instanceof Float64Array)) {
      problems.push(`tensor ${shown(tensorName)} is of type ${tensor.dtype}, expected a floating-point type`);
    }
  }
  for (const tensorName of tensors.keys()) {
    if (!expected.has(tensorName) && !isExtra(tensorName)) {
      problems.push(`tensor ${shown(tensorName)} is not part of an SD-MAE network`);
    }
  }
  if (problems.length === 0) return;
  const more = problems.length - 1;
  const rest = more === 0 ? "" : ` (and ${more} more ${more === 1 ? "tensor does" : "tensors do"} not fit)`;
  throw new InputError(`${name}: ${problems[0]}${rest}`);
}
