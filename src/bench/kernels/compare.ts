// Records of compiled kernels, and how two of them differ.
import { readFile } from "node:fs/promises";
import { table } from "../../cli/terminal/table.js";
import { InputError } from "../../errors.js";
import { reasonOf } from "../../node/files/messages.js";
import type { Size } from "../../ops/resize.js";
import type { CompiledKernel } from "./worker.js";

/** The content of a file of bench/kernels.js --json. */
export interface KernelRecord {
  format: "sdmae kernels";
  date: string;
  versions: Record<string, string>;
  /** The laboratory's name of the GPU; absent for the machine's own GPU. */
  gpu?: string;
  adapter: { description: string };
  size: Size;
  patch: number;
  batch: number;
  dtype: string;
  /** Whether indices were clamped to their buffers; absent if not. */
  robust?: boolean;
  /** The kind of variants that was forced. */
  kind?: string;
  /** The --filter, if not all kernels were compiled. */
  filter?: string;
  kernels: MeasuredKernel[];
}

/** A kernel, with the figures that follow from its statistics. */
export interface MeasuredKernel extends CompiledKernel {
  /** Resident warps of an SM, with workgroup memory and whole workgroups taken into account. */
  resident?: number;
  /** Instructions of the loop per op. */
  perOp?: number;
  /** Attention only: instructions of a lane per score. */
  perScore?: number;
}

/** How a kernel differs from the same kernel of the older record. */
export interface KernelChange {
  kernel: MeasuredKernel;
  older: MeasuredKernel;
  /** What is worse now, in words. */
  worse: string[];
}

/** How two records differ. */
export interface KernelComparison {
  changed: KernelChange[];
  /** Kernels that only the new, or only the older record has. */
  added: MeasuredKernel[];
  gone: MeasuredKernel[];
}

/**
 * Reads a record.
 * @throws InputError if the file is not one
 */
export async function readKernelRecord(path: string): Promise<KernelRecord> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
  }
  if (!isRecord(value)) throw new InputError(`${path}: not a file of bench/kernels.js --json`);
  return value;
}

function isRecord(value: unknown): value is KernelRecord {
  const record = value as Partial<KernelRecord> | null;
  if (typeof record !== "object" || record?.format !== "sdmae kernels") return false;
  const { adapter, size, kernels } = record;
  if (typeof adapter?.description !== "string" || typeof size?.height !== "number" || typeof size.width !== "number")
    return false;
  return Array.isArray(kernels) && kernels.every(isKernel);
}

function isKernel(value: unknown): boolean {
  const kernel = value as Partial<MeasuredKernel> | null;
  if (typeof kernel !== "object" || kernel === null) return false;
  const { label, node, place, shape, stats, perOp, perScore } = kernel;
  if (![label, node, shape].every((text) => typeof text === "string") || typeof place !== "number") return false;
  if (![perOp, perScore].every((number) => number === undefined || typeof number === "number")) return false;
  if (stats === undefined) return true;
  if (typeof stats !== "object" || stats === null) return false;
  const { instructions, registers, spills, occupancy } = stats;
  if (occupancy !== undefined && typeof occupancy?.value !== "number") return false;
  return [instructions, registers, spills].every((number) => typeof number === "number");
}

/** Why two records cannot be compared; undefined if they can. */
export function incomparable(now: KernelRecord, older: KernelRecord): string | undefined {
  const facts = ({ gpu, size, patch, batch, dtype, robust }: KernelRecord) => ({
    GPU: gpu ?? "this machine's",
    size: `${size.height}x${size.width}`,
    patch: String(patch),
    batch: String(batch),
    "storage type": dtype,
    indices: robust ? "clamped" : "free",
  });
  const [own, other] = [Object.entries(facts(now)), Object.values(facts(older))];
  const differing = own.flatMap(([name, value], i) =>
    value === other[i] ? [] : `${name} ${other[i]} instead of ${value}`,
  );
  return differing.length > 0 ? `it has ${differing.join(", ")}` : undefined;
}

/**
 * Compares kernel by kernel. If a call takes another variant now, the two variants are compared.
 */
export function compareKernels(now: readonly MeasuredKernel[], older: readonly MeasuredKernel[]): KernelComparison {
  const left = new Set(older);
  const take = (fits: (other: MeasuredKernel) => boolean) => {
    const found = [...left].find(fits);
    if (found) left.delete(found);
    return found;
  };
  const pairs = new Map<MeasuredKernel, MeasuredKernel>();
  const match = (fits: (kernel: MeasuredKernel, other: MeasuredKernel) => boolean) => {
    for (const kernel of now) {
      if (pairs.has(kernel)) continue;
      const other = take((one) => fits(kernel, one));
      if (other) pairs.set(kernel, other);
    }
  };
  const isSamePlace = (a: MeasuredKernel, b: MeasuredKernel) => a.node === b.node && a.place === b.place;
  match((a, b) => isSamePlace(a, b) && a.label === b.label && a.variant === b.variant && a.shape === b.shape);
  match((a, b) => isSamePlace(a, b) && a.isChosen && b.isChosen);
  const changed: KernelChange[] = [];
  const added: MeasuredKernel[] = [];
  for (const kernel of now) {
    const other = pairs.get(kernel);
    if (!other) added.push(kernel);
    else if (figures(kernel) !== figures(other)) changed.push({ kernel, older: other, worse: worseOf(kernel, other) });
  }
  return { changed, added, gone: [...left] };
}

function figures({ label, variant, stats, error, perOp, perScore }: MeasuredKernel): string {
  const { instructions, registers, occupancy, spills } = stats ?? {};
  return JSON.stringify([label, variant, error, instructions, registers, occupancy?.value, spills, perOp, perScore]);
}

/**
 * What is worse: it does not compile, more instructions per op or score, less occupancy, spills.
 */
function worseOf(now: MeasuredKernel, older: MeasuredKernel): string[] {
  const worse: string[] = [];
  if (now.error !== undefined && older.error === undefined) worse.push("does not compile");
  if (!now.stats || !older.stats) return worse;
  if (now.stats.spills > older.stats.spills) worse.push("more spills");
  // Another kind of kernel has other ops, and uses its registers in another way.
  if (now.label !== older.label || now.stats.loop?.op !== older.stats.loop?.op) return worse;
  const more = (a: number | undefined, b: number | undefined) => a !== undefined && b !== undefined && a > 1.001 * b;
  if (more(now.perOp, older.perOp)) worse.push("more instructions per op");
  if (more(now.perScore, older.perScore)) worse.push("more instructions per score");
  const [own, other] = [now.stats.occupancy, older.stats.occupancy];
  if (own && other && own.unit === other.unit && own.value < other.value) worse.push("lower occupancy");
  return worse;
}

/** A table of changed kernels, then lines for new and missing ones. */
export function comparisonLines({ changed, added, gone }: KernelComparison): string[] {
  const arrow = (older: unknown, now: unknown) =>
    older === now ? String(now ?? "-") : `${older ?? "-"} → ${now ?? "-"}`;
  const rows = changed.map(({ kernel, older, worse }) => {
    const [now, then] = [kernel.stats, older.stats];
    return [
      ...[arrow(older.label, kernel.label), kernel.shape, arrow(older.variant ?? "", kernel.variant ?? "")],
      ...[arrow(then?.instructions, now?.instructions), arrow(then?.registers, now?.registers)],
      ...[arrow(then?.occupancy?.value, now?.occupancy?.value), arrow(then?.spills, now?.spills)],
      ...[arrow(older.perOp?.toFixed(2), kernel.perOp?.toFixed(2))],
      ...[arrow(older.perScore?.toFixed(1), kernel.perScore?.toFixed(1)), worse.join(", ")],
    ];
  });
  const head = ["changed", "shape", "variant", "instr", "regs", "occupancy", "spills", "per op", "score", "worse"];
  const named = ({ label, shape, variant }: MeasuredKernel) => [label, shape, variant].filter(Boolean).join(", ");
  const worse = changed.filter((change) => change.worse.length > 0).length;
  return [
    ...(rows.length > 0 ? table(head, rows) : []),
    ...added.map((kernel) => `new      ${named(kernel)}`),
    ...gone.map((kernel) => `gone     ${named(kernel)}`),
    `compared ${changed.length} changed, ${worse} of them worse; ${added.length} new, ${gone.length} gone`,
  ];
}
