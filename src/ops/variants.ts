import type { Target } from "../gpu/gpu.js";

/**
 * The one place where kernel variants are chosen. `subgroup` variants are for the software adapters, whose subgroups are 4 or 8 wide
 * and whose storage loads are dear (docs/performance.md); everything else runs the plain ones.
 */

/** Invocations of a subgroup where the subgroup variants are the faster ones, else undefined. */
export function subgroupLanes({ adapter, features }: Target): number | undefined {
  if (adapter.kind !== "swiftshader" && adapter.kind !== "lavapipe") return undefined;
  if (!features.has("subgroups")) return undefined;
  return adapter.subgroupSize === 4 || adapter.subgroupSize === 8 ? adapter.subgroupSize : undefined;
}

/** A tile that one subgroup computes. */
export interface SubgroupTile {
  lanes: number;
  rows: number;
  /** vec4s of columns that a lane holds. */
  strips: number;
}

/** Shares `count` rows out evenly over tiles of at most `most` rows. */
export function evenRows(count: number, most: number): number {
  return Math.ceil(count / Math.ceil(count / most));
}

/** Columns that a weight layout groups: undefined where the plain kernel serves, since `n` columns do not divide into strips. */
export function linearStrips(target: Target, n: number): { lanes: number; strips: number } | undefined {
  const lanes = subgroupLanes(target);
  if (lanes === undefined) return undefined;
  if (n % (lanes * 8) === 0) return { lanes, strips: 2 };
  return n % (lanes * 4) === 0 ? { lanes, strips: 1 } : undefined;
}

/** The tile of a matmul of `m` rows and `n` columns, or undefined for the plain kernel. */
export function linearTile(target: Target, m: number, n: number): SubgroupTile | undefined {
  const strips = linearStrips(target, n);
  return strips && { ...strips, rows: evenRows(m, strips.lanes === 8 ? 24 : 16) };
}

/** Queries and key blocks of attention over `tokens` with heads of `headWidth`, or undefined for the plain kernel. */
export function attentionTile(target: Target, tokens: number, headWidth: number) {
  const lanes = subgroupLanes(target);
  if (lanes === undefined || headWidth % (4 * lanes) !== 0) return undefined;
  return { lanes, queries: evenRows(tokens, lanes === 8 ? 16 : 8), keys: lanes === 8 ? 2 : 4 };
}
