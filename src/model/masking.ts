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
  const { keep, keptColumns } = kept(rows, columns, maskRatio);
  const tokens = rows * columns;
  if (keep === 0 || rows * keptColumns !== keep) {
    throw new InputError(
      `mask ratio ${maskRatio} leaves no grid at ${height}x${width}: ${keep} of ${tokens} tokens are kept, which is not ${rows} rows of ` +
        `${keptColumns} (${columns} columns × ${Number((1 - maskRatio).toFixed(6))}, rounded down); mask ratio ${nearestRatio(rows, columns, maskRatio)} leaves one`,
    );
  }
  return { rows, columns, tokens, keep, keptColumns };
}

/** Tokens and columns that masking leaves. */
function kept(rows: number, columns: number, maskRatio: number): { keep: number; keptColumns: number } {
  return { keep: Math.trunc(rows * columns * (1 - maskRatio)), keptColumns: Math.trunc(columns * (1 - maskRatio)) };
}

/** The mask ratio of few digits near another that leaves whole columns, one at least. */
function nearestRatio(rows: number, columns: number, maskRatio: number): number {
  const want = Math.max(1, Math.round(columns * (1 - maskRatio)));
  for (let digits = 1; digits <= 6; digits++) {
    const units = Math.floor((1 - want / columns) * 10 ** digits);
    // One less, where rounding takes a column from the ratio that would be it.
    for (const ratio of [units, units - 1].map((count) => Math.max(0, count) / 10 ** digits)) {
      const { keep, keptColumns } = kept(rows, columns, ratio);
      if (keptColumns === want && keep === rows * want) return ratio;
    }
  }
  return 0;
}
