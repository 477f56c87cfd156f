import { InputError } from "../errors.js";
import type { SdMaeConfig } from "../model/config.js";

/** Whether a tensor belongs to the student; the original tells by its name in the same way. */
export function isStudentTensor(tensorName: string): boolean {
  return tensorName.includes("student");
}

/**
 * The original's merge for inference: the teacher checkpoint, with every tensor whose name contains "student" taken from
 * the student checkpoint.
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
 * @throws InputError that names the first size in which two networks differ
 */
export function requireSameConfig(a: SdMaeConfig, aName: string, b: SdMaeConfig, bName: string): void {
  for (const key of Object.keys(a) as (keyof SdMaeConfig)[]) {
    if (a[key] !== b[key]) {
      throw new InputError(`${bName}: its network differs from ${aName}'s: ${key} is ${b[key]} instead of ${a[key]}`);
    }
  }
}
