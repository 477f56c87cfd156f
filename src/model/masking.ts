import { InputError } from "../errors.js";
import type { Size } from "../ops/resize.js";

/** How removed tokens are chosen: at random, or those that move most (the original's `grad_masking_v1`). */
export type MaskingMethod = "random" | "gradient";

/** The token grid of an input size, and what masking leaves of it. */
export interface TokenGrid {
  rows: number;
  columns: number;
  /** L = rows · columns. */
  tokens: number;
  /** Kept tokens, laid out as rows × keptColumns for the encoder's convolutions. */
  keep: number;
  keptColumns: number;
}

/**
 * The token grid (METHOD §2). Sizes as in Python: keep = int(L·(1−r)), columns int(w·(1−r)).
 * @throws InputError where the patch does not divide the size, or the kept tokens make no grid
 */
export function tokenGrid({ height, width }: Size, patch: number, maskRatio: number): TokenGrid {
  if (!(height > 0 && width > 0 && height % patch === 0 && width % patch === 0)) {
    const near = (n: number) => Math.max(patch, Math.round(n / patch) * patch);
    throw new InputError(
      `size ${height}x${width} does not divide into patches of ${patch} pixels; ${near(height)}x${near(width)} does`,
    );
  }
  if (!(maskRatio >= 0 && maskRatio < 1)) {
    throw new InputError(`mask ratio ${maskRatio} is not between 0 (nothing masked) and 1 (exclusive)`);
  }
  const [rows, columns] = [height / patch, width / patch];
  const tokens = rows * columns;
  const keep = Math.trunc(tokens * (1 - maskRatio));
  const keptColumns = Math.trunc(columns * (1 - maskRatio));
  if (keep === 0 || rows * keptColumns !== keep) {
    throw new InputError(
      `mask ratio ${maskRatio} leaves no grid: ${keep} of ${tokens} tokens are kept, which is not ${rows} rows of ` +
        `${keptColumns} (${columns} columns × ${Number((1 - maskRatio).toFixed(6))}, rounded down)`,
    );
  }
  return { rows, columns, tokens, keep, keptColumns };
}
