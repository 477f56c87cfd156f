// Compiles kernels in a process whose output the driver prints into; process.ts starts it.
import { fstatSync, ftruncateSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { AdapterDescription, VariantKind } from "../../gpu/gpu.js";
import { nap } from "../../node/adapters/dawn.js";
import { openNodeGpu, robustByEnvironment } from "../../node/adapters/gpu.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { halfKey } from "../../tuner/half_check.js";
import { parseDriverOutput } from "./driver_output.js";
import { type KernelModel, type ListedKernel, listKernels, modelNodes } from "./list.js";
import type { KernelStats } from "./stats.js";

/** What to compile. */
export interface KernelRequest {
  models: readonly KernelModel[];
  /** The kind of variants to take, see {@link Target.forcedKind}. */
  kind?: VariantKind;
  /** Only kernels with this text in their label, node, shape or variant. */
  filter?: string;
  adapter?: string;
  /** Whether indices are clamped to their buffers. */
  robust?: boolean;
  /** Part of the list, for several processes: every `of`-th kernel, from this index on. */
  part?: { index: number; of: number };
  /** Whether candidates that are not used are left out. */
  chosenOnly?: boolean;
  /** A folder for each kernel's WGSL and the driver's output. */
  listings?: string;
}

/** A kernel that was compiled. */
export interface CompiledKernel extends Omit<ListedKernel, "wgsl" | "entryPoint"> {
  /** Absent if the driver prints none. */
  stats?: KernelStats;
  /** Why it does not compile. */
  error?: string;
}

/** A message of the worker: one line of JSON. */
export type WorkerMessage =
  | { adapter: AdapterDescription; dtype: string; robust: boolean; kind?: VariantKind; total: number }
  | { begins: string }
  | { kernel: CompiledKernel };

/** The file descriptor of the worker's messages: drivers print on both standard streams. */
export const messageChannel = 3;

/**
 * Compiles kernels one at a time, each text once. Drivers print on the standard streams of this
 * process, which must be one file opened for appending: it is read and emptied after each kernel.
 */
export async function compileKernels(request: KernelRequest): Promise<void> {
  const { models, kind, filter, adapter, listings, part = { index: 0, of: 1 } } = request;
  const say = (message: WorkerMessage) => writeSync(messageChannel, `${JSON.stringify(message)}\n`);
  const robust = request.robust ?? robustByEnvironment();
  const gpu = await openNodeGpu({ adapter, robust });
  try {
    // Choices measured on this machine do not apply to a driver without its GPU. Nothing runs, so
    // float16 needs no check.
    gpu.tuning = new Map([[halfKey, "right"]]);
    // Only the driver's compiler works, on the CPU.
    gpu.nap = nap;
    if (kind) gpu.forcedKind = kind;
    const graphs = models.map((model) => modelNodes(gpu, model));
    const listed = listKernels(gpu, graphs).filter(isWanted(filter));
    const wanted = listed.filter(({ isChosen }) => isChosen || !request.chosenOnly);
    const kernels = wanted.filter((_, i) => i % part.of === part.index);
    const types = new Set(graphs.map(({ dtype }) => dtype));
    say({ adapter: gpu.adapter, dtype: [...types].join(", "), robust, kind: gpu.forcedKind, total: kernels.length });
    for (const [i, { wgsl, entryPoint, ...kernel }] of kernels.entries()) {
      say({ begins: `${kernel.node} (${kernel.label})` });
      takePrinted();
      let error: string | undefined;
      await gpu.pipeline(kernel.label, wgsl, entryPoint).catch((reason: Error) => {
        error = reason.message;
      });
      const printed = takePrinted();
      if (listings !== undefined) {
        const words = [String(i).padStart(3, "0"), kernel.label, kernel.variant ?? ""];
        const path = join(
          listings,
          words
            .join(" ")
            .trim()
            .replace(/[^\w.]+/g, "-"),
        );
        await writeFileAtomic(`${path}.wgsl`, wgsl);
        await writeFileAtomic(`${path}.txt`, printed);
      }
      const stats = parseDriverOutput(printed);
      say({ kernel: { ...kernel, ...(stats && { stats }), ...(error !== undefined && { error }) } });
    }
  } finally {
    gpu.close();
  }
}

/** Whether a kernel has the text in its label, node, shape or variant. */
export function isWanted(
  filter: string | undefined,
): (kernel: Pick<ListedKernel, "label" | "node" | "shape" | "variant">) => boolean {
  const wanted = filter?.toLowerCase();
  return ({ label, node, shape, variant = "" }) =>
    wanted === undefined || [label, node, shape, variant].some((text) => text.toLowerCase().includes(wanted));
}

/** The output of the standard streams since the last call. */
function takePrinted(): string {
  if (!fstatSync(2).isFile()) return "";
  const printed = readFileSync("/proc/self/fd/2", "utf8");
  ftruncateSync(2, 0);
  return printed;
}
