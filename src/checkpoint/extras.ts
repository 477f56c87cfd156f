// Tensors that the original saves beside the network: counters and constants (docs/method.md §4).

import { blockNames, projections, type SdMaeConfig, tensorShapes } from "../model/config.js";
import { elementCount, type StoredTensor } from "./tensor.js";

/** Shapes of the original's constant erosion and dilation weights. All are zeros. */
export const morphologyShapes: ReadonlyMap<string, readonly number[]> = new Map([
  ["erosion.weight", [1, 1, 2, 2]],
  ["dilation.weight", [1, 1, 3, 3]],
  ["erosion_3.weight", [3, 3, 2, 2]],
  ["dilation_3.weight", [3, 3, 3, 3]],
]);

/**
 * The extra tensors for a network that was trained here. With them a checkpoint is complete: 260
 * tensors at the paper's size.
 * @param batches batches that BatchNorm has seen in training
 * @param studentBatches the same for the student's block, which runs in stage 2 only
 */
export function originalExtras(
  config: SdMaeConfig,
  batches: number,
  studentBatches = batches,
): Map<string, StoredTensor> {
  const extras = new Map<string, StoredTensor>();
  const { encoder, decoder, student } = blockNames(config);
  for (const block of [...encoder, ...decoder, ...student]) {
    const count = BigInt(student.includes(block) ? studentBatches : batches);
    for (const p of projections) {
      const name = `${block}.attn.conv_proj_${p}.bn.num_batches_tracked`;
      extras.set(name, { dtype: "I64", shape: [], data: BigInt64Array.of(count) });
    }
  }
  for (const [name, shape] of morphologyShapes) {
    extras.set(name, { dtype: "F32", shape, data: new Float32Array(elementCount(shape)) });
  }
  return extras;
}

/**
 * Whether the network has a student that was trained. After stage 1 alone, the student still has
 * its initial weights: then its BatchNorm has counted no batches, but the encoder's has. A
 * checkpoint without counters counts as trained.
 */
export function hasTrainedStudent(config: SdMaeConfig, extras: ReadonlyMap<string, StoredTensor>): boolean {
  const { encoder, student } = blockNames(config);
  const seen = (block: string | undefined) => {
    const count = extras.get(`${block}.attn.conv_proj_q.bn.num_batches_tracked`);
    return count && elementCount(count.shape) === 1 ? Number(count.data[0]) : undefined;
  };
  return student.length > 0 && !(seen(student[0]) === 0 && (seen(encoder[0]) ?? 0) > 0);
}

/** The tensor names of a complete checkpoint, in the order of the original's `state_dict()`. */
export function originalOrder(config: SdMaeConfig): string[] {
  const names: string[] = [];
  for (const name of tensorShapes(config).keys()) {
    names.push(name);
    if (name.endsWith(".running_var")) names.push(name.replace(/running_var$/, "num_batches_tracked"));
  }
  return [...names, ...morphologyShapes.keys()];
}
