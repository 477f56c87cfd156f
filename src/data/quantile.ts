import { InputError } from "../errors.js";

/**
 * The q-quantile, linear between the two nearest values, as by default in numpy.
 * @param q 0…1
 * @throws InputError if there is no value, a value is NaN, or q is outside 0…1
 */
export function quantile(values: Float32Array | Float64Array, q: number): number {
  if (values.length === 0) throw new InputError("a quantile needs at least one value");
  if (!(q >= 0 && q <= 1)) throw new InputError(`the quantile ${q} is not between 0 and 1`);
  const sorted = values.slice().sort();
  // NaN sorts last.
  if (Number.isNaN(sorted.at(-1))) throw new InputError("a quantile needs values that are numbers, but one is NaN");
  const at = q * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  const above = sorted[Math.ceil(at)];
  return above === below ? below : below + (at % 1) * (above - below);
}
