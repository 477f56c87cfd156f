import { parseSafetensors, type Safetensors } from "../checkpoint/safetensors.js";
import type { StoredTensor } from "../checkpoint/tensor.js";
import { InputError } from "../errors.js";

/** How far a result is from what it should be. */
export interface Comparison {
  name: string;
  elements: number;
  /** ‖a − b‖ / ‖b‖ unless `unit` says otherwise. */
  error: number;
  /** What `error` counts, where it is no relative error. */
  unit?: string;
  /** The most that `error` may be, where it is not the run's tolerance. */
  tolerance?: number;
}

/** ‖got − want‖ / ‖want‖ in float64; ‖got‖ itself where want is all zero. */
export function compare(name: string, got: Float32Array, want: ArrayLike<number>): Comparison {
  if (got.length !== want.length) {
    throw new InputError(`${name} has ${want.length} values in the file; the engine computes ${got.length}`);
  }
  let difference = 0;
  let reference = 0;
  for (let i = 0; i < got.length; i++) {
    difference += (got[i] - want[i]) ** 2;
    reference += want[i] ** 2;
  }
  return { name, elements: got.length, error: Math.sqrt(difference) / (reference > 0 ? Math.sqrt(reference) : 1) };
}

/** A fixture file: tensors that the original produced, sizes and settings in its metadata. */
export class FixtureCase {
  private readonly file: Safetensors;

  /** @throws InputError where the file is no safetensors file */
  constructor(
    readonly name: string,
    bytes: Uint8Array,
  ) {
    this.file = parseSafetensors(bytes, name);
  }

  names(): string[] {
    return [...this.file.tensors.keys()].sort();
  }

  has(name: string): boolean {
    return this.file.tensors.has(name);
  }

  tensor(name: string): StoredTensor {
    const tensor = this.file.tensors.get(name);
    if (!tensor) throw new InputError(`${this.name} has no tensor ${name}`);
    return tensor;
  }

  /** A tensor's values as float32. @throws InputError where there is none of that name */
  floats(name: string): Float32Array<ArrayBuffer> {
    return Float32Array.from(this.tensor(name).data, Number);
  }

  expectShape(name: string, shape: readonly number[]): void {
    const found = this.tensor(name).shape;
    if (found.join() !== shape.join())
      throw new InputError(`${this.name}: ${name} has the shape [${found}], not [${shape}]`);
  }

  text(key: string, fallback: string): string {
    return this.file.metadata[key] ?? fallback;
  }

  number(key: string): number {
    const value = Number(this.file.metadata[key] ?? Number.NaN);
    if (!Number.isFinite(value)) throw new InputError(`${this.name}: its metadata has no number "${key}"`);
    return value;
  }

  integer(key: string): number {
    const value = this.number(key);
    if (!Number.isInteger(value) || value < 1) throw new InputError(`${this.name}: "${key}" is ${value}, not a size`);
    return value;
  }
}
