import type { MatrixUnit, Target } from "../gpu/gpu.js";
import type { ActivationType, Kernel } from "../graph/graph.js";

/**
 * The one place where kernel variants are chosen. For a call there are candidates by name, of which the first one is taken, unless the
 * target's tuning table names another (src/tuner). `subgroup` variants are for the software adapters, whose subgroups are 4 or 8 wide and whose
 * storage loads are dear; `tiled` ones for GPUs; `matrix` ones for their matrix units, which a table has to have chosen, since only
 * the tuner's check against another variant says that they work where it ran (docs/performance.md).
 */
export type Candidates<V> = ReadonlyMap<string, V>;

/** The candidate of the kind that is forced, else the one that the target's tuning table names, else the first, if there is one. */
export function choose<V>(target: Target, key: string, candidates: Candidates<V>): V | undefined {
  const { forcedKind } = target;
  if (forcedKind) {
    const forced = [...candidates].find(([name]) => name.split(" ")[0] === forcedKind);
    if (forced) return forced[1];
  }
  const named = target.tuning?.get(key);
  const [first] = candidates.values();
  return (named === undefined ? undefined : candidates.get(named)) ?? first;
}

/** The WGSL of a variant, its constants beside the sizes, and how many workgroups it takes. */
export interface Specialized {
  source: string;
  constants: Record<string, number>;
  workgroups: Kernel["workgroups"];
}

/** Invocations of a subgroup where the subgroup variants are the faster ones, else undefined. */
export function subgroupLanes({ adapter, features, forcedKind }: Target): number | undefined {
  // Their weights lie otherwise, so that no other kind can be taken beside them.
  if (forcedKind !== undefined && forcedKind !== "subgroup") return undefined;
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

/** Columns that a weight layout groups: undefined where no subgroup kernel serves, since `n` columns do not divide into strips. */
export function linearStrips(target: Target, n: number): { lanes: number; strips: number } | undefined {
  const lanes = subgroupLanes(target);
  if (lanes === undefined) return undefined;
  if (n % (lanes * 8) === 0) return { lanes, strips: 2 };
  return n % (lanes * 4) === 0 ? { lanes, strips: 1 } : undefined;
}

/** The most rows of a subgroup's tile, the best first. */
const mostRows = { 4: [32, 24, 16, 12], 8: [24, 16, 32, 8] } as const;

/** The tiles of a matmul of `m` rows and `n` columns on a software adapter; none where the subgroup kernels do not serve. */
function subgroupTiles(target: Target, m: number, n: number): Candidates<SubgroupTile> {
  const strips = linearStrips(target, n);
  if (!strips) return new Map();
  const most = mostRows[strips.lanes as 4 | 8];
  return new Map(most.map((rows) => [`subgroup ${rows}`, { ...strips, rows: evenRows(m, rows) }]));
}

/** What a workgroup's invocations make together on a GPU: rows are lanesM apart, vec4s of columns lanesN. */
export interface Tile {
  kind: "tiled";
  rows: number;
  columns: number;
  lanesM: number;
  lanesN: number;
}

/** The tiles for `m` rows and `n` columns whose `bytes` of workgroup memory, and invocations, a device has. */
function gpuTiles(target: Target, m: number, n: number, bytes: (tile: Tile) => number): Candidates<Tile> {
  if (subgroupLanes(target) !== undefined) return new Map();
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = target.limits;
  const tiles = [
    [4, 2, 16, 16],
    [8, 2, 16, 16],
    [4, 1, 16, 16],
    [8, 1, 16, 16],
    [8, 1, 8, 8],
    [4, 1, 8, 8],
  ].map(([rows, columns, lanesM, lanesN]) => ({ kind: "tiled", rows, columns, lanesM, lanesN }) as Tile);
  const fitting = tiles.filter(
    (tile) =>
      bytes(tile) <= maxComputeWorkgroupStorageSize &&
      tile.lanesM * tile.lanesN <= maxComputeInvocationsPerWorkgroup &&
      m >= tile.lanesM * tile.rows &&
      n >= tile.lanesN * 4,
  );
  const name = ({ rows, columns, lanesM, lanesN }: Tile) =>
    `tiled ${lanesM * rows}x${lanesN * columns * 4} by ${lanesM * lanesN}`;
  return new Map(fitting.map((tile) => [name(tile), tile]));
}

/** How patch embedding, or the heads with their errors, can be computed. */
export type TileVariant = { kind: "plain" } | ({ kind: "subgroup" } & SubgroupTile) | Tile;

/** The candidates of patch embedding: `keep` rows a sample of `width` columns, {@link stepPixels} at a time. */
export function patchEmbedVariants(target: Target, keep: number, width: number): Candidates<TileVariant> {
  const values = 3 * stepPixels;
  const bytes = ({ lanesM, lanesN, rows, columns }: Tile) =>
    4 * lanesM * rows * (values + 5) + 16 * values * lanesN * columns;
  return tileVariants(target, keep, width, bytes);
}

/** Pixels of an inner step of patch_embed_tiled.wgsl: any patch has a multiple of them. */
export const stepPixels = 8;

/** The candidates of heads and errors: `tokens` rows a sample of `values` columns, from features of `width`. */
export function headErrorsVariants(
  target: Target,
  tokens: number,
  values: number,
  width: number,
): Candidates<TileVariant> {
  if (subgroupLanes(target) === undefined && width % 16 !== 0) return new Map([["plain", { kind: "plain" }]]);
  const bytes = ({ lanesM, lanesN, rows, columns }: Tile) =>
    4 * lanesM * rows * 20 + 16 * 16 * lanesN * columns + 8 * lanesM * rows * lanesN;
  return tileVariants(target, tokens, values, bytes);
}

function tileVariants(target: Target, m: number, n: number, bytes: (tile: Tile) => number): Candidates<TileVariant> {
  const tiles = subgroupTiles(target, m, n);
  // A weight in the subgroup kernels' layout serves no other.
  if (tiles.size > 0) return new Map([...tiles].map(([name, tile]) => [name, { kind: "subgroup", ...tile }]));
  return new Map<string, TileVariant>([...gpuTiles(target, m, n, bytes), ["plain", { kind: "plain" }]]);
}

/** A subgroup whose number of invocations a kernel may rely on. */
export interface KnownSubgroup {
  lanes: number;
  /** Whether the kernel has to ask for that size (`@subgroup_size`), since the adapter has others as well. */
  requested: boolean;
}

/** The subgroup of kernels that have to know its size; undefined where it can be neither known nor asked for. */
export function knownSubgroup({ adapter, features }: Pick<Target, "adapter" | "features">): KnownSubgroup | undefined {
  if (!features.has("subgroups")) return undefined;
  const { subgroupSize, subgroupMinSize, subgroupMaxSize } = adapter;
  if (subgroupSize !== undefined) return { lanes: subgroupSize, requested: false };
  if (!features.has("subgroup-size-control") || !subgroupMinSize || !subgroupMaxSize) return undefined;
  return { lanes: Math.max(subgroupMinSize, Math.min(32, subgroupMaxSize)), requested: true };
}

/** A matrix unit, with the subgroup that works it. */
export type SizedUnit = MatrixUnit & KnownSubgroup;

/** y = x W of a linear layer: what its variants depend on. */
export interface LinearShape {
  dtype: ActivationType;
  batch: number;
  m: number;
  k: number;
  n: number;
}

/** How a linear layer can be computed. */
export type LinearVariant =
  | { kind: "plain" }
  | ({ kind: "subgroup" } & SubgroupTile)
  | (Tile & { step: number })
  | { kind: "matrix"; tilesM: number; tilesN: number; unit: SizedUnit }
  /** Float32 on a unit of float16. */
  | { kind: "split"; tilesM: number; tilesN: number; unit: SizedUnit };

/** Name of a linear layer in a tuning table. */
export function linearKey({ dtype, batch, m, k, n }: LinearShape): string {
  return `linear ${dtype} ${batch}x${m}x${k}x${n}`;
}

/** The candidates of a linear layer. */
export function linearVariants(target: Target, shape: LinearShape): Candidates<LinearVariant> {
  const { dtype, m, k, n } = shape;
  const tiles = subgroupTiles(target, m, n);
  // A weight in the subgroup kernels' layout serves no other.
  if (tiles.size > 0) return new Map([...tiles].map(([name, tile]) => [name, { kind: "subgroup", ...tile }]));
  const candidates = new Map<string, LinearVariant>();
  const step = 16;
  const bytesOf = ({ lanesM, lanesN, rows, columns }: Tile) =>
    (dtype === "f16" ? 2 : 4) * (lanesM * rows * (step + 4) + step * lanesN * columns * 4) + 2 * lanesM * rows * step;
  if (k % step === 0)
    for (const [name, tile] of gpuTiles(target, m, n, bytesOf)) candidates.set(name, { ...tile, step });
  candidates.set("plain", { kind: "plain" });
  const unit = matrixUnit(target);
  if (unit && k % unit.k === 0) {
    for (const [tilesM, tilesN] of [
      [4, 4],
      [2, 4],
      [4, 2],
      [2, 2],
      [1, 2],
      [2, 1],
    ] as const) {
      if (m < tilesM * unit.m || n % (2 * tilesN * unit.n) !== 0) continue;
      const kind = dtype === "f16" ? "matrix" : "split";
      const bytes =
        8 * unit.k * (tilesM * unit.m + tilesN * unit.n) + 16 * unit.m * unit.n + 4 * tilesM * unit.m * unit.k;
      if (kind === "split" && bytes > target.limits.maxComputeWorkgroupStorageSize) continue;
      candidates.set(`${kind} ${tilesM}x${tilesN}`, { kind, tilesM, tilesN, unit });
    }
  }
  return candidates;
}

/** softmax(q kᵀ) v: what its variants depend on. */
export interface AttentionShape {
  dtype: ActivationType;
  samples: number;
  tokens: number;
  heads: number;
  headWidth: number;
}

/** How attention can be computed. */
export type AttentionVariant =
  | { kind: "plain" }
  | { kind: "subgroup"; lanes: number; queries: number; keys: number }
  | { kind: "tiled"; lanes: number; columns: number; lanesM: number; rows: number }
  | ({ kind: "matrix" } & MatrixAttention)
  /** Float32 on a unit of float16. */
  | ({ kind: "split" } & MatrixAttention);

/** A tile of attention on matrix units. */
export interface MatrixAttention {
  unit: SizedUnit;
  /** Columns of a matrix of values. */
  valueN: number;
  /** Keys of a step, which the subgroups of a workgroup share. */
  keys: number;
  subgroups: number;
}

/** Name of an attention in a tuning table. */
export function attentionKey({ dtype, samples, tokens, heads, headWidth }: AttentionShape): string {
  return `attention ${dtype} ${samples}x${tokens}x${heads}x${headWidth}`;
}

/** The candidates of attention. */
export function attentionVariants(target: Target, shape: AttentionShape): Candidates<AttentionVariant> {
  const { dtype, tokens, headWidth } = shape;
  const candidates = new Map<string, AttentionVariant>();
  const lanes = subgroupLanes(target);
  if (lanes !== undefined) {
    if (headWidth % (4 * lanes) === 0) {
      for (const [most, keys] of lanes === 8
        ? ([
            [24, 2],
            [16, 2],
            [32, 2],
            [8, 2],
          ] as const)
        : ([
            [24, 4],
            [16, 4],
            [12, 4],
            [8, 4],
          ] as const)) {
        candidates.set(`subgroup ${most} by ${keys}`, {
          kind: "subgroup",
          lanes,
          queries: evenRows(tokens, most),
          keys,
        });
      }
    }
  } else {
    for (const tile of tiledAttention(target, shape)) {
      candidates.set(`tiled ${tile.lanesM * tile.rows}x${4 * tile.lanes}`, { kind: "tiled", ...tile });
    }
  }
  candidates.set("plain", { kind: "plain" });
  const kind = dtype === "f16" ? "matrix" : "split";
  for (const tile of matrixAttention(target, shape)) {
    candidates.set(`${kind} ${tile.keys} by ${tile.subgroups}`, { kind, ...tile });
  }
  return candidates;
}

/** The tiles of attention_tiled.wgsl, whose neighbours agree by shuffles: they need to know that they are in one subgroup. */
function tiledAttention({ adapter, features, limits }: Target, { dtype, headWidth }: AttentionShape) {
  const width = features.has("subgroups") ? (adapter.subgroupSize ?? adapter.subgroupMinSize ?? 1) : 1;
  const tiles: { lanes: number; columns: number; lanesM: number; rows: number }[] = [];
  for (const lanes of [16, 8]) {
    const columns = headWidth / (4 * lanes);
    if (lanes > width || !Number.isInteger(columns)) continue;
    for (const [lanesM, rows] of [
      [8, 4],
      [4, 8],
      [8, 2],
      [4, 4],
    ] as const) {
      const stored = (lanesM * rows + 4 * lanes) * (headWidth + 4) * (dtype === "f16" ? 2 : 4);
      const bytes = stored + lanesM * rows * (lanes + 1) * 16;
      if (bytes <= limits.maxComputeWorkgroupStorageSize) tiles.push({ lanes, columns, lanesM, rows });
    }
  }
  return tiles;
}

/**
 * Keys of a step and subgroups of a workgroup, the best first. More keys cost fewer instructions per score, more
 * subgroups spread the copying of a tile over more lanes, and both take workgroup memory.
 */
const matrixAttentionTiles = {
  f16: [
    [64, 4],
    [32, 4],
    [32, 8],
    [32, 2],
  ],
  // A tile of two float16 values each is twice as large, and splitting it is most of the copying.
  f32: [
    [64, 4],
    [32, 8],
    [32, 4],
    [32, 2],
  ],
} as const;

/** More workgroup memory than this would leave a multiprocessor with one workgroup. */
const mostAttentionBytes = 49152;

/** The tiles of attention_matrix.wgsl and attention_split.wgsl. */
function matrixAttention(target: Target, { dtype, headWidth }: AttentionShape): MatrixAttention[] {
  const units = matrixUnits(target);
  if (typeof units === "string") return [];
  const [unit] = units as [SizedUnit, ...SizedUnit[]];
  // Values lie row by row. NVIDIA's compiler loads such matrices in one instruction if they are 8 wide, else in eight.
  const narrow = units.find(({ m, n, k }) => m === unit.m && n === 8 && k === unit.k);
  const valueN = (narrow ?? unit).n;
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = target.limits;
  const sharers = unit.lanes / unit.m;
  // Powers of two all of them.
  const divides = (part: number, whole: number) => Number.isInteger(whole / part);
  const serves = ([keys, subgroups]: readonly [number, number]) => {
    const rowsAtOnce = (subgroups * unit.lanes) / (headWidth / 8);
    const share = keys / sharers;
    const rowOfScores = keys / 4 + Math.max(sharers, valueN / 4);
    const staged = (dtype === "f16" ? 2 : 4) * keys * (headWidth / 8 + 1) + 1;
    const bytes = 16 * (staged + subgroups * unit.m * rowOfScores + 1);
    return (
      [unit.k, valueN, 8].every((side) => divides(side, headWidth)) &&
      Number.isInteger(sharers) &&
      [unit.n, unit.k, 8].every((side) => divides(side, share)) &&
      Number.isInteger(rowsAtOnce) &&
      (rowsAtOnce >= keys || divides(rowsAtOnce, keys)) &&
      rowOfScores >= headWidth / 8 &&
      bytes <= Math.min(maxComputeWorkgroupStorageSize, mostAttentionBytes) &&
      subgroups * unit.lanes <= maxComputeInvocationsPerWorkgroup &&
      // With matrices, Dawn wants whole subgroups of the largest size.
      divides(target.adapter.subgroupMaxSize ?? unit.lanes, subgroups * unit.lanes)
    );
  };
  return matrixAttentionTiles[dtype].filter(serves).map(([keys, subgroups]) => ({ unit, valueN, keys, subgroups }));
}

/** A matrix unit that multiplies float16 and sums in float32, where the device has one and a subgroup a known size. */
export function matrixUnit(target: Target): SizedUnit | undefined {
  const usable = matrixUnits(target);
  return typeof usable === "string" ? undefined : usable[0];
}

/** The adapter's units that the kernels can use, or why there are none. */
export function matrixUnits(target: Pick<Target, "adapter" | "features">): readonly SizedUnit[] | string {
  const { adapter, features } = target;
  if (!features.has("chromium-experimental-subgroup-matrix")) return "WebGPU offers none here";
  if (!features.has("shader-f16")) return "they need float16, which the adapter does not offer";
  const subgroup = knownSubgroup(target);
  if (!subgroup) return "the size of a subgroup is unknown";
  const all = adapter.matrixUnits ?? [];
  const halves = all.filter(({ input, result }) => input === "f16" && result === "f32");
  if (halves.length === 0) return "none multiplies float16 with sums in float32";
  const fitting = halves.filter(({ m, n, k }) => [m, n, k].every((side) => side === 8 || side === 16));
  if (fitting.length === 0) return `the sides are not 8 or 16: ${halves.map(unitName).join(", ")}`;
  return fitting.map((unit) => ({ ...unit, ...subgroup }));
}

/** A unit's sides as [rows]x[columns]x[inner]. */
export function unitName({ m, n, k }: MatrixUnit): string {
  return `${m}x${n}x${k}`;
}
