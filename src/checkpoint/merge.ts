// The original's merge of a teacher's and a student's checkpoint (docs/method.md §4).

import { InputError } from "../errors.js";
import type { SdMaeConfig } from "../model/config.js";

/** Whether a tensor belongs to the student. The original also decides by the name. */
export function isStudentTensor(tensorName: string): boolean {
  return tensorName.includes("student");
}

/**
 * The teacher checkpoint's tensors, but those of the student from the student checkpoint.
 * @returns the tensors, and how many came from the student checkpoint
 */
export function mergeStudent<Tensor>(
  teacher: ReadonlyMap<string, Tensor>,
  student: ReadonlyMap<string, Tensor>,
): { tensors: Map<string, Tensor>; overlaid: number } {
  const tensors = new Map(teacher);
  let overlaid = 0;
  for (const [tensorName, tensor] of student) {
    if (!isStudentTensor(tensorName)) continue;
    tensors.set(tensorName, tensor);
    overlaid++;
  }
  return { tensors, overlaid };
}

/**
 * Checks that two files hold networks of the same sizes.
 * @throws InputError that names the first size that differs
 */
export function requireSameConfig(a: SdMaeConfig, aName: string, b: SdMaeConfig, bName: string): void {
  for (const key of Object.keys(a) as (keyof SdMaeConfig)[]) {
    if (a[key] !== b[key]) {
      throw new InputError(`${bName}: its network differs from ${aName}'s: ${key} is ${b[key]} instead of ${a[key]}`);
    }
  }
}
