import { fstatSync, ftruncateSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { scoreSettings } from "../detector/settings.js";
import type { AdapterDescription } from "../gpu/gpu.js";
import { writeFileAtomic } from "../node/atomic.js";
import { openNodeGpu } from "../node/gpu.js";
import type { Size } from "../ops/resize.js";
import { benchCheckpoint } from "./fps.js";
import { type ListedKernel, listKernels, scoreNodes } from "./kernel_list.js";
import { type KernelStats, parseDriverOutput } from "./kernel_stats.js";

/** What is compiled. */
export interface KernelSelection {
  size: Size;
  patch?: number;
  batch: number;
  dtype?: "f32" | "f16";
  variants?: boolean;
  training?: boolean;
  filter?: string;
  adapter?: string;
  /** A folder for each kernel's WGSL and what the driver printed of it. */
  listings?: string;
}

/** A kernel that was compiled. */
export interface CompiledKernel extends Omit<ListedKernel, "wgsl" | "entryPoint"> {
  /** Absent where the driver prints none. */
  stats?: KernelStats;
  /** Why it did not compile. */
  error?: string;
}

/** What the worker says, a line each. */
export type WorkerMessage =
  | { adapter: AdapterDescription; dtype: string; patch: number; total: number }
  | { begins: string }
  | { kernel: CompiledKernel };

/** The file descriptor that the worker's messages go to: drivers print on both of the usual ones. */
export const messageChannel = 3;

/**
 * Compiles kernels one at a time. The driver prints what it made of them on this process's standard streams, which have to be one file that is
 * appended to: it is read after each kernel, then emptied.
 */
export async function compileKernels(selection: KernelSelection): Promise<void> {
  const say = (message: WorkerMessage) => writeSync(messageChannel, `${JSON.stringify(message)}\n`);
  const checkpoint = await benchCheckpoint({ patch: selection.patch });
  const gpu = await openNodeGpu({ adapter: selection.adapter });
  try {
    // What was measured on this machine says nothing of a driver without its GPU.
    gpu.tuning = new Map();
    const settings = scoreSettings(checkpoint, { size: selection.size, dtype: selection.dtype }, gpu);
    const { config, weights } = checkpoint;
    const nodes = scoreNodes(gpu, { config, weights, settings, batch: selection.batch });
    const kernels = listKernels(gpu, nodes, selection.variants ?? false).filter(isWanted(selection.filter));
    say({ adapter: gpu.adapter, dtype: settings.dtype, patch: config.patch, total: kernels.length });
    for (const [i, { wgsl, entryPoint, ...kernel }] of kernels.entries()) {
      say({ begins: `${kernel.node} (${kernel.label})` });
      takePrinted();
      let error: string | undefined;
      await gpu.pipeline(kernel.label, wgsl, entryPoint).catch((reason: Error) => {
        error = reason.message;
      });
      const printed = takePrinted();
      if (selection.listings !== undefined) {
        const name = `${String(i).padStart(3, "0")} ${kernel.label} ${kernel.variant ?? ""}`.replace(/[^\w.]+/g, "-");
        await writeFileAtomic(join(selection.listings, `${name}.wgsl`), wgsl);
        await writeFileAtomic(join(selection.listings, `${name}.txt`), printed);
      }
      const stats = parseDriverOutput(printed);
      say({ kernel: { ...kernel, ...(stats && { stats }), ...(error !== undefined && { error }) } });
    }
  } finally {
    gpu.close();
  }
}

/** Whether a kernel's label, node, shape or variant holds a text. */
function isWanted(filter: string | undefined): (kernel: ListedKernel) => boolean {
  const wanted = filter?.toLowerCase();
  return ({ label, node, shape, variant = "" }) =>
    wanted === undefined || [label, node, shape, variant].some((text) => text.toLowerCase().includes(wanted));
}

/** What was printed on the standard streams since the last call. */
function takePrinted(): string {
  if (!fstatSync(2).isFile()) return "";
  const printed = readFileSync("/proc/self/fd/2", "utf8");
  ftruncateSync(2, 0);
  return printed;
}
