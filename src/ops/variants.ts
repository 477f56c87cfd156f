// The one place where kernel variants are chosen. A call has candidates by name. The first is
// taken, unless the target's tuning table names another (src/tuner).
// - `subgroup`, `shared`: software adapters, whose subgroups are 4, 8 or 16 wide and whose storage
//   loads are slow;
// - `tiled`: GPUs;
// - `matrix`, `split`: a GPU's matrix units. Only a table turns them on: the tuner's check against
//   another variant shows that they work on that adapter (docs/performance.md).
// What each kernel gained is at the top of its family's plain file in shaders/.
import type { MatrixUnit, Target } from "../gpu/gpu.js";
import type { ActivationType, Kernel } from "../graph/graph.js";

/** The variants that a call may take, by name, the default first. */
export type Candidates<V> = ReadonlyMap<string, V>;

/**
 * The candidate that {@link chosenName} names.
 * @throws Error if there are no candidates
 */
export function choose<V>(target: Target, key: string, candidates: Candidates<V>): V {
  const name = chosenName(target, key, [...candidates.keys()]);
  const chosen = name === undefined ? undefined : candidates.get(name);
  if (chosen === undefined) throw new Error(`${key} has no kernel variants`);
  return chosen;
}

/**
 * The first name of the forced kind, else the name in the target's tuning table, else the first.
 */
export function chosenName(target: Target, key: string, names: readonly string[]): string | undefined {
  const { forcedKind, tuning } = target;
  const forced = forcedKind && names.find((name) => name.split(" ")[0] === forcedKind);
  if (forced) return forced;
  const named = tuning?.get(key);
  return named !== undefined && names.includes(named) ? named : names[0];
}

/** The WGSL of a variant, its constants besides the sizes, and its workgroups. */
export interface Specialized {
  source: string;
  constants: Record<string, number | boolean>;
  flags?: Record<string, boolean>;
  workgroups: Kernel["workgroups"];
}

/** Invocations of a subgroup if the subgroup variants are faster, else undefined. */
export function subgroupLanes({ adapter, features, forcedKind }: Target): number | undefined {
  // Their weights have another layout, so other kinds cannot be mixed with them.
  if (forcedKind !== undefined && forcedKind !== "subgroup") return undefined;
  if (adapter.kind !== "swiftshader" && adapter.kind !== "lavapipe") return undefined;
  if (!features.has("subgroups")) return undefined;
  const { subgroupSize } = adapter;
  return subgroupSize === 4 || subgroupSize === 8 || subgroupSize === 16 ? subgroupSize : undefined;
}

/** A tile that one subgroup computes. */
export interface SubgroupTile {
  lanes: number;
  rows: number;
  /** vec4s of columns that a lane holds. */
  strips: number;
  /**
   * Whether results are stored from registers, not from a copy in a loop: see linear_subgroup.wgsl.
   */
  direct: boolean;
}

/** Rows of a tile if `count` rows are divided evenly over tiles of at most `most` rows. */
export function evenRows(count: number, most: number): number {
  return Math.ceil(count / Math.ceil(count / most));
}

/**
 * Of `rows` tokens one below the other, how many an invocation of a depthwise convolution makes.
 */
export function convolutionRun(target: Target, rows: number): number {
  // Weights are loaded once per run. Older lavapipes take long to compile longer runs.
  return evenRows(rows, subgroupLanes(target) === wideLanes ? 10 : 5);
}

/**
 * Columns that a weight layout groups; undefined if no subgroup kernel fits, or `n` columns do not
 * divide into strips.
 */
export function linearStrips(target: Target, n: number): { lanes: number; strips: number } | undefined {
  const lanes = subgroupLanes(target);
  if (lanes === undefined) return undefined;
  if (n % (lanes * 8) === 0) return { lanes, strips: 2 };
  return n % (lanes * 4) === 0 ? { lanes, strips: 1 } : undefined;
}

/** The most rows of a subgroup's tile, the best first. */
const mostRows = { 4: [32, 24, 16, 12], 8: [24, 16, 32, 8], 16: [34, 26, 20, 16] } as const;
/** The same for patch embedding and the heads, which do more at a time. */
const mostRowsOfPixels = { ...mostRows, 16: [26, 34, 20, 16] } as const;
/** Subgroups of 512-bit vectors, which only newer lavapipes use (src/node/adapters/lavapipe.ts). */
export const wideLanes = 16;

/**
 * The tiles of a matmul of `m` rows and `n` columns on a software adapter; none if no subgroup
 * kernel fits.
 */
function subgroupTiles(
  target: Target,
  m: number,
  n: number,
  most: Readonly<Record<4 | 8 | 16, readonly number[]>> = mostRows,
): Candidates<SubgroupTile> {
  const strips = linearStrips(target, n);
  if (!strips) return new Map();
  const direct = strips.lanes === wideLanes;
  return new Map(
    most[strips.lanes as 4 | 8 | 16].map((rows) => [
      `subgroup ${rows}`,
      { ...strips, rows: evenRows(m, rows), direct },
    ]),
  );
}

/**
 * What a workgroup makes on a GPU: an invocation's rows are lanesM apart, its vec4s of columns
 * lanesN.
 */
export interface Tile {
  kind: "tiled";
  rows: number;
  columns: number;
  lanesM: number;
  lanesN: number;
}

/**
 * The tiles for `m` rows and `n` columns whose `bytes` of workgroup memory and invocations fit the
 * device.
 */
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
  ].map(([rows, columns, lanesM, lanesN]): Tile => ({ kind: "tiled", rows, columns, lanesM, lanesN }));
  const fitting = tiles.filter(
    (tile) =>
      bytes(tile) <= maxComputeWorkgroupStorageSize &&
      tile.lanesM * tile.lanesN <= maxComputeInvocationsPerWorkgroup &&
      m >= tile.lanesM * tile.rows &&
      n >= tile.lanesN * 4 &&
      tileRegisters(tile) <= laneRegisters(target.adapter) / 2,
  );
  const name = ({ rows, columns, lanesM, lanesN }: Tile) =>
    `tiled ${lanesM * rows}x${lanesN * columns * 4} by ${lanesM * lanesN}`;
  return new Map(fitting.map((tile) => [name(tile), tile]));
}

/**
 * Registers of a lane for a tile's values: sums, operands, and loads of the next 16 of the inner
 * width.
 */
function tileRegisters({ rows, columns, lanesM, lanesN }: Tile): number {
  const loads = (count: number) => 4 * Math.ceil(count / (lanesM * lanesN));
  return 4 * rows * columns + rows + 4 * columns + loads(4 * lanesM * rows) + loads(16 * lanesN * columns);
}

/**
 * Registers of 32 bits that a lane can have. Kernels take tiles whose values fit half of them:
 * addresses and loads ahead need the rest, and lanes with many registers leave room for few others.
 */
function laneRegisters({ vendor, device, description }: Target["adapter"]): number {
  const text = `${vendor} ${device} ${description}`.toLowerCase();
  if (text.includes("apple")) return 128;
  if (/qualcomm|adreno|turnip/.test(text)) return 192;
  return 255;
}

/** How patch embedding, or the heads with their errors, can be computed. */
export type TileVariant =
  | { kind: "plain" }
  | ({ kind: "subgroup" } & SubgroupTile)
  | Tile
  | ({ kind: "matrix" } & MatrixTile)
  /** Float32 on a unit of float16. */
  | ({ kind: "split" } & MatrixTile);

/** Patch embedding: what its variants depend on. */
export interface PatchEmbedShape {
  dtype: ActivationType;
  batch: number;
  /** Kept tokens of a sample. */
  keep: number;
  patch: number;
  width: number;
}

/** Name of a patch embedding in a tuning table. */
export function patchEmbedKey({ dtype, batch, keep, patch, width }: PatchEmbedShape): string {
  return `patchEmbed ${dtype} ${batch}x${keep}x${9 * patch ** 2}x${width}`;
}

/**
 * Pixels of an inner step of patch_embed_tiled.wgsl and patch_embed_matrix.wgsl: they divide every
 * patch.
 */
export const stepPixels = 8;
export const matrixStepPixels = 16;

/** The candidates of patch embedding. */
export function patchEmbedVariants(target: Target, shape: PatchEmbedShape): Candidates<TileVariant> {
  const { dtype, keep, patch, width } = shape;
  const values = 3 * stepPixels;
  const bytes = ({ lanesM, lanesN, rows, columns }: Tile) =>
    4 * lanesM * rows * (values + 5) + 16 * values * lanesN * columns;
  const candidates = tileVariants(target, keep, width, bytes);
  if (!candidates.has("plain")) return candidates;
  const kind = dtype === "f16" ? "matrix" : "split";
  const inner = 3 * matrixStepPixels;
  const tiles = matrixTiles(target, kind, kind === "matrix" ? inner : splitStep, (tile) => {
    const { unit, tilesN, subgroupsN } = tile;
    const { tileM, tileN, workgroup } = matrixTileSizes(tile);
    const weights = kind === "matrix" ? 2 * inner * (tileN + 8) : splitBytes * tileN;
    const sums = 4 * subgroupsN * unit.m * (tilesN * unit.n + 4);
    // An invocation of patch_embed_matrix.wgsl takes every second, fourth or eighth row of the
    // weight.
    const rowsBy = (8 * workgroup) / tileN;
    return {
      bytes: Math.max(2 * tileM * (inner + 8) + weights, sums) + 12 * tileM + patch ** 2,
      whole: [
        width / tileN,
        (2 * tileM) / workgroup,
        ...(kind === "matrix" ? [8 / rowsBy, rowsBy / 2] : [(4 * tileN) / workgroup]),
      ],
    };
  });
  return new Map([...candidates, ...tiles]);
}

/** Heads with their errors: what their variants depend on. */
export interface HeadErrorsShape {
  dtype: ActivationType;
  batch: number;
  /** Of a sample. */
  tokens: number;
  /** Of the features. */
  width: number;
  patch: number;
}

/** Name of heads with their errors in a tuning table. */
export function headErrorsKey({ dtype, batch, tokens, width, patch }: HeadErrorsShape): string {
  return `headErrors ${dtype} ${batch}x${tokens}x${width}x${4 * patch ** 2}`;
}

/** The candidates of heads and errors. */
export function headErrorsVariants(target: Target, shape: HeadErrorsShape): Candidates<TileVariant> {
  const { dtype, tokens, width, patch } = shape;
  if (subgroupLanes(target) === undefined && width % 16 !== 0) return new Map([["plain", { kind: "plain" }]]);
  const values = 4 * patch ** 2;
  const bytes = ({ lanesM, lanesN, rows, columns }: Tile) =>
    4 * lanesM * rows * 20 + 16 * 16 * lanesN * columns + 8 * lanesM * rows * lanesN;
  const candidates = tileVariants(target, tokens, values, bytes);
  if (!candidates.has("plain")) return candidates;
  const kind = dtype === "f16" ? "matrix" : "split";
  const step = kind === "split" ? splitStep : width % 32 === 0 ? 32 : 16;
  const tiles = matrixTiles(target, kind, step, (tile) => {
    const { unit, tilesN, subgroupsN } = tile;
    const { tileM, tileN, workgroup } = matrixTileSizes(tile);
    const sharers = unit.lanes / unit.m;
    const staged = kind === "split" ? splitBytes * (tileM + tileN) : 2 * (tileM * (step + 8) + step * (tileN + 8));
    const sums = 4 * subgroupsN * unit.m * (tilesN * unit.n + 4);
    return {
      bytes: staged + sums + 4 * tileM * (2 * subgroupsN * sharers + 1),
      whole: [
        values / tileN,
        // Lanes take whole rows of four pixels.
        (tilesN * unit.n) / 16 / sharers,
        ...(kind === "split"
          ? [(2 * tileM) / workgroup, (4 * tileN) / workgroup]
          : [(tileM * step) / 8 / workgroup, workgroup / (tileN / 8), workgroup / (step / 8)]),
      ],
    };
  });
  return new Map([...candidates, ...tiles]);
}

/**
 * The step of the inner width if float32 is split, and the bytes of a row's step in workgroup
 * memory.
 */
const splitStep = 16;
const splitBytes = 80;

/**
 * Tiles of the kernels on matrix units, the best first: subgroups side by side, which share their
 * rows.
 * @param check the workgroup memory of a tile, and numbers that must be whole and not 0
 */
function matrixTiles(
  target: Target,
  kind: "matrix" | "split",
  step: number,
  check: (tile: MatrixTile) => { bytes: number; whole: readonly number[] },
): Candidates<TileVariant> {
  const unit = matrixUnit(target);
  if (!unit) return new Map();
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = target.limits;
  const largest = target.adapter.subgroupMaxSize ?? unit.lanes;
  const tiles = new Map<string, TileVariant>();
  for (const [tilesM, tilesN, subgroupsN] of [
    [4, 2, 4],
    [4, 2, 2],
    [2, 2, 2],
    [2, 4, 2],
    [2, 2, 1],
  ] as const) {
    // Sides of 16 make matrices of 16x16; smaller sides take more of them.
    const [sideM, sideN] = [16 / unit.m, 16 / unit.n];
    const tile = { unit, tilesM: tilesM * sideM, tilesN: tilesN * sideN, subgroupsM: 1, subgroupsN, step };
    const { tileM, tileN, workgroup } = matrixTileSizes(tile);
    const { bytes, whole } = check(tile);
    if (![...whole, workgroup / largest, step / unit.k].every((n) => n > 0 && Number.isInteger(n))) continue;
    if (bytes > maxComputeWorkgroupStorageSize || workgroup > maxComputeInvocationsPerWorkgroup) continue;
    tiles.set(`${kind} ${tileM}x${tileN} by ${workgroup}`, { kind, ...tile });
  }
  return tiles;
}

function tileVariants(target: Target, m: number, n: number, bytes: (tile: Tile) => number): Candidates<TileVariant> {
  const tiles = subgroupTiles(target, m, n, mostRowsOfPixels);
  // No other kernel reads a weight in the layout of the subgroup kernels.
  if (tiles.size > 0) return new Map([...tiles].map(([name, tile]) => [name, { kind: "subgroup", ...tile }]));
  return new Map<string, TileVariant>([...gpuTiles(target, m, n, bytes), ["plain", { kind: "plain" }]]);
}

/** A subgroup whose size a kernel may rely on. */
export interface KnownSubgroup {
  lanes: number;
  /**
   * Whether the kernel must request that size (`@subgroup_size`), since the adapter has others too.
   */
  requested: boolean;
}

/**
 * The subgroup of kernels that must know its size; undefined if it can be neither known nor
 * requested.
 */
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
  | ({ kind: "matrix" } & MatrixTile)
  /** Float32 on a unit of float16. */
  | ({ kind: "split" } & MatrixTile);

/** What a workgroup makes on matrix units. */
export interface MatrixTile {
  unit: SizedUnit;
  /** Matrices of sums per subgroup. */
  tilesM: number;
  tilesN: number;
  subgroupsM: number;
  subgroupsN: number;
  /** Of the inner width, at a time. */
  step: number;
}

/** The rows, columns and invocations of a workgroup on matrix units. */
export function matrixTileSizes({ unit, tilesM, tilesN, subgroupsM, subgroupsN }: MatrixTile) {
  return {
    tileM: subgroupsM * tilesM * unit.m,
    tileN: subgroupsN * tilesN * unit.n,
    workgroup: subgroupsM * subgroupsN * unit.lanes,
  };
}

/** Name of a linear layer in a tuning table. */
export function linearKey({ dtype, batch, m, k, n }: LinearShape): string {
  return `linear ${dtype} ${batch}x${m}x${k}x${n}`;
}

/** The candidates of a linear layer. */
export function linearVariants(target: Target, shape: LinearShape): Candidates<LinearVariant> {
  const { dtype, m, k, n } = shape;
  const tiles = subgroupTiles(target, m, n);
  // No other kernel reads a weight in the layout of the subgroup kernels.
  if (tiles.size > 0) return new Map([...tiles].map(([name, tile]) => [name, { kind: "subgroup", ...tile }]));
  const candidates = new Map<string, LinearVariant>();
  const step = 16;
  const bytesOf = ({ lanesM, lanesN, rows, columns }: Tile) =>
    (dtype === "f16" ? 2 : 4) * (lanesM * rows * (step + 4) + step * (lanesN * columns + 1) * 4) +
    2 * lanesM * rows * step;
  if (k % step === 0)
    for (const [name, tile] of gpuTiles(target, m, n, bytesOf)) candidates.set(name, { ...tile, step });
  candidates.set("plain", { kind: "plain" });
  const kind = dtype === "f16" ? "matrix" : "split";
  for (const [name, tile] of matrixLinear(target, shape)) candidates.set(`${kind} ${name}`, { kind, ...tile });
  return candidates;
}

/** The tiles of linear_matrix.wgsl and linear_split.wgsl, the best first. */
function matrixLinear(target: Target, { dtype, m, k, n }: LinearShape): Candidates<MatrixTile> {
  const unit = matrixUnit(target);
  if (!unit) return new Map();
  // Float32 takes two float16 values of workgroup memory for each of its own.
  const parts = dtype === "f16" ? 1 : 2;
  const largest = target.adapter.subgroupMaxSize ?? unit.lanes;
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = target.limits;
  // Sides of 16 make matrices of 16x16; smaller sides take more of them.
  const [sideM, sideN] = [16 / unit.m, 16 / unit.n];
  const shapes = [
    ...(parts === 1 ? [[4, 2, 2, 2] as const, [4, 2, 2, 4] as const] : [[4, 2, 2, 4] as const, [4, 2, 2, 2] as const]),
    [2, 2, 2, 4],
    [2, 4, 2, 2],
    [2, 2, 2, 2],
    [2, 2, 1, 2],
    [1, 1, 2, 2],
  ] as const;
  const tiles = new Map<string, MatrixTile>();
  for (const [tilesM, tilesN, subgroupsM, subgroupsN] of shapes) {
    const step = dtype === "f16" && k % 32 === 0 ? 32 : 16;
    const tile = { unit, tilesM: tilesM * sideM, tilesN: tilesN * sideN, subgroupsM, subgroupsN, step };
    const { tileM, tileN, workgroup } = matrixTileSizes(tile);
    const bytes = Math.max(
      parts * (tileM + tileN) * (2 * step + 16),
      subgroupsM * subgroupsN * unit.m * 4 * (tile.tilesN * unit.n + 4),
    );
    const whole = [
      k / step,
      n / 8,
      (tileM * step) / 8 / workgroup,
      (tileN * step) / 8 / workgroup,
      workgroup / largest,
    ];
    if (!whole.every(Number.isInteger) || m < tileM || n < tileN) continue;
    if (bytes > maxComputeWorkgroupStorageSize || workgroup > maxComputeInvocationsPerWorkgroup) continue;
    tiles.set(`${tileM}x${tileN} by ${workgroup}`, tile);
  }
  return tiles;
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
  | ({ kind: "shared" } & SharedAttention)
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

/** The tiles of attention_shared.wgsl. */
export interface SharedAttention {
  workgroup: number;
  /** Queries of an invocation. */
  queries: number;
  /** Keys per iteration. */
  keys: number;
  /** Keys in workgroup memory at a time: every device has 16 KB. */
  block: number;
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
  const shared = lanes === undefined ? [] : sharedAttention(lanes, shape);
  const addShared = () => {
    for (const tile of shared) {
      const { workgroup, queries, keys } = tile;
      candidates.set(`shared ${workgroup}x${queries} by ${keys}`, { kind: "shared", ...tile });
    }
  };
  if (lanes === wideLanes) {
    addShared();
  } else if (lanes !== undefined) {
    if (headWidth % (4 * lanes) === 0) {
      for (const [most, keys] of lanes === 8
        ? ([
            [24, 2],
            [16, 2],
            [32, 2],
            [8, 2],
          ] as const)
        : ([
            [16, 4],
            [24, 4],
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
      const { lanes, lanesM, rows } = tile;
      candidates.set(`tiled ${lanesM * rows}x${4 * lanes} by ${lanesM * lanes}`, { kind: "tiled", ...tile });
    }
  }
  candidates.set("plain", { kind: "plain" });
  // Older lavapipes load a subgroup's common value lane by lane: there it is not the default.
  if (lanes === 8) addShared();
  const kind = dtype === "f16" ? "matrix" : "split";
  for (const tile of matrixAttention(target, shape)) {
    candidates.set(`${kind} ${tile.keys} by ${tile.subgroups}`, { kind, ...tile });
  }
  return candidates;
}

/** The tiles of attention_shared.wgsl for subgroups of `lanes` invocations, the best first. */
function sharedAttention(lanes: number, shape: AttentionShape): SharedAttention[] {
  const rowBytes = 2 * 4 * shape.headWidth;
  const tile = (queries: number, most?: number) => sharedTile(lanes, shape, { queries, keys: 4, rowBytes, most });
  const tiles = shape.headWidth <= 64 ? [tile(2), tile(1), tile(2, 64)] : [tile(1), tile(1, 64)];
  return tiles.filter(({ block, keys }) => block >= keys);
}

/**
 * A tile of attention_shared.wgsl or its like: whole subgroups, as few as hold the rows.
 * @param rowBytes workgroup memory per key, or per other row that the invocations walk over
 * @param most invocations of a workgroup; every device allows 256
 */
export function sharedTile(
  lanes: number,
  { tokens }: Pick<AttentionShape, "tokens">,
  { queries, keys, rowBytes, most = 256 }: { queries: number; keys: number; rowBytes: number; most?: number },
): SharedAttention {
  const subgroups = Math.ceil(evenRows(tokens, most * queries) / (queries * lanes));
  const block = 2 ** Math.floor(Math.log2(16384 / rowBytes));
  return { workgroup: subgroups * lanes, queries, keys, block };
}

/**
 * The tiles of attention_tiled.wgsl. Its neighbours shuffle, so they must be known to be in one
 * subgroup.
 */
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
      // Sums, scores, maximum and sum of exponentials of each row; four keys and a query.
      const registers = rows * (4 * columns + 4 + 2) + 20;
      const fits = bytes <= limits.maxComputeWorkgroupStorageSize && registers <= laneRegisters(adapter) / 2;
      if (fits) tiles.push({ lanes, columns, lanesM, rows });
    }
  }
  return tiles;
}

/**
 * Keys of a step and subgroups of a workgroup, the best first: tiles of which an RTX 3090 keeps 16
 * subgroups on a multiprocessor. More keys cost fewer instructions per score, more subgroups fewer
 * registers; both take memory.
 */
function matrixAttentionTiles({ dtype, headWidth }: AttentionShape): [keys: number, subgroups: number][] {
  const fewRegisters: [number, number] = [32, 8];
  const rest: [number, number][] = [
    [32, 4],
    [64, 4],
  ];
  const large = dtype === "f32" && headWidth > 32;
  return [...(large ? [fewRegisters, ...rest] : [...rest, fewRegisters]), [32, 2]];
}

/** With more workgroup memory, a multiprocessor holds only one workgroup. */
const mostAttentionBytes = 49152;

/** The tiles of attention_matrix.wgsl and attention_split.wgsl. */
function matrixAttention(target: Target, shape: AttentionShape): MatrixAttention[] {
  const { dtype, headWidth } = shape;
  const units = matrixUnits(target);
  if (typeof units === "string") return [];
  const [unit] = units;
  // Values lie row by row. NVIDIA's compiler loads such matrices in one instruction if they are 8
  // wide, else in eight.
  const narrow = units.find(({ m, n, k }) => m === unit.m && n === 8 && k === unit.k);
  const valueN = (narrow ?? unit).n;
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = target.limits;
  const sharers = unit.lanes / unit.m;
  // All are powers of two.
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
  return matrixAttentionTiles(shape)
    .filter(serves)
    .map(([keys, subgroups]) => ({ unit, valueN, keys, subgroups }));
}

/**
 * A matrix unit that multiplies float16 and sums in float32; undefined without one or a known
 * subgroup.
 */
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
  // Mesa splits its 8x8 matrices by the width of its vectors; wider ones end the process (Mesa
  // 26.1).
  if (adapter.kind === "lavapipe" && subgroup.lanes !== 8) {
    return `lavapipe has them with subgroups of 8 only, not of ${subgroup.lanes} (LP_NATIVE_VECTOR_WIDTH=256 sets that)`;
  }
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
