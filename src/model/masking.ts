// Which tokens masking keeps, and whether they fill a grid.

import { InputError } from "../errors.js";
import type { Size } from "../ops/resize.js";

/** Which tokens are removed: random ones, or those that move most (`grad_masking_v1`). */
export type MaskingMethod = "random" | "gradient";

/** The token grid of an input size, and the part that masking keeps. */
export interface TokenGrid {
  rows: number;
  columns: number;
  /** L = rows · columns. */
  tokens: number;
  /** Number of kept tokens. The encoder's convolutions see them as rows × keptColumns. */
  keep: number;
  keptColumns: number;
}

/**
 * The token grid of an input size (docs/method.md §2). Rounded as in Python:
 * keep = int(L·(1−r)), keptColumns = int(w·(1−r)).
 * @param maskRatio share of tokens to remove, from 0 to below 1
 * @throws InputError if the patch does not divide the size, or the kept tokens do not fill a grid
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
  if (!leavesGrid(rows, columns, maskRatio)) {
    const why = `mask ratio ${maskRatio} leaves no grid at ${height}x${width} (it keeps ${keep} of ${tokens} tokens, not ${rows} rows of ${keptColumns})`;
    const ratio = nearestRatio(rows, columns, maskRatio);
    const sizes = nearestSizes(rows, columns, patch, maskRatio).join(" or ");
    const message = (ratioOption: string, sizeOption: string) =>
      `${why}: use ${ratioOption} ${ratio}${sizes && `, or ${sizeOption} ${sizes}`}`;
    throw new InputError(message("maskRatio", "size"), message("--mask-ratio", "--size"));
  }
  return { rows, columns, tokens, keep, keptColumns };
}

/**
 * The mask ratio nearest to `maskRatio` that leaves a grid: itself if it does.
 * @param onNotice receives a line if it is another ratio
 * @throws InputError if the patch does not divide the size
 */
export function gridMaskRatio(size: Size, patch: number, maskRatio: number, onNotice?: (line: string) => void): number {
  const { rows, columns } = tokenGrid(size, patch, 0);
  if (leavesGrid(rows, columns, maskRatio)) return maskRatio;
  const nearest = nearestRatio(rows, columns, maskRatio);
  const { height, width } = size;
  onNotice?.(`mask ratio ${maskRatio} leaves no grid at ${height}x${width}: using the nearest that does, ${nearest}`);
  return nearest;
}

/** The next narrower and the next wider size at which a mask ratio leaves a grid. */
function nearestSizes(rows: number, columns: number, patch: number, maskRatio: number): string[] {
  const widths = (step: number) => Array.from({ length: 64 }, (_, i) => columns + step * (i + 1));
  return [widths(-1), widths(1)].flatMap((counts) => {
    const found = counts.find((count) => count > 0 && leavesGrid(rows, count, maskRatio));
    return found === undefined ? [] : [`${rows * patch}x${found * patch}`];
  });
}

function leavesGrid(rows: number, columns: number, maskRatio: number): boolean {
  const { keep, keptColumns } = kept(rows, columns, maskRatio);
  return keep > 0 && keep === rows * keptColumns;
}

/** Numbers of tokens and columns that masking keeps. */
function kept(rows: number, columns: number, maskRatio: number): { keep: number; keptColumns: number } {
  return { keep: Math.trunc(rows * columns * (1 - maskRatio)), keptColumns: Math.trunc(columns * (1 - maskRatio)) };
}

/** The shortest decimal near `maskRatio` that keeps whole columns, at least one. */
function nearestRatio(rows: number, columns: number, maskRatio: number): number {
  const want = Math.max(1, Math.round(columns * (1 - maskRatio)));
  for (let digits = 1; digits <= 6; digits++) {
    const units = Math.floor((1 - want / columns) * 10 ** digits);
    // Also try one unit less: in floating point, the first ratio may lose a column.
    for (const ratio of [units, units - 1].map((count) => Math.max(0, count) / 10 ** digits)) {
      const { keep, keptColumns } = kept(rows, columns, ratio);
      if (keptColumns === want && keep === rows * want) return ratio;
    }
  }
  return 0;
}
