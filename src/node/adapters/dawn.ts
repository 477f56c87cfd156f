// Dawn, the WebGPU of npm's webgpu package: creates it, asks it for adapters, opens devices.
import { InputError, NoAdapterError } from "../../errors.js";
import { Gpu, type VariantKind, variantKinds } from "../../gpu/gpu.js";
import { reasonOf } from "../files/messages.js";
import { keepTuning, knownTuning } from "./tuning.js";
import { hasVulkanDriver } from "./vulkan.js";

/** An adapter, and the Dawn that it belongs to. */
export interface FoundAdapter {
  /** What `create()` of npm's webgpu returned. */
  dawn: GPU;
  adapter: GPUAdapter;
}

/**
 * The Dawns with an open device. If Dawn is collected while one of its devices lives, the process
 * crashes. Node does not exit while a Dawn is held, so closing its device drops it.
 */
const alive = new Set<GPU>();

/**
 * Dawn's switches. Unsafe APIs are those that are not standardised yet (subgroup matrices). On
 * NVIDIA under Vulkan, Dawn offers float16 only if asked, because it fails some conformance tests
 * there. Timestamps are not rounded. Without `robust` no index is clamped; Dawn's other checks
 * stay.
 */
function dawnFlags(robust: boolean): string[] {
  const features = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia", ...(robust ? [] : ["disable_robustness"])];
  return [`enable-dawn-features=${features.join(",")}`, "disable-dawn-features=timestamp_quantization"];
}

async function createDawn(robust: boolean, flags: readonly string[]): Promise<GPU> {
  const { create, globals } = await import("webgpu").catch((error: unknown) => {
    throw new NoAdapterError(
      `Dawn (npm's webgpu) cannot be loaded on ${process.platform}-${process.arch}: ${reasonOf(error)}`,
    );
  });
  for (const [name, value] of Object.entries(globals)) {
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  return create([...dawnFlags(robust), ...flags]);
}

/**
 * Asks Dawn for an adapter among the system's drivers; undefined if there is none.
 * @param robust whether Dawn clamps every index
 * @param flags more of Dawn's flags, such as "adapter=NAME" or "backend=null"
 * @throws NoAdapterError if Dawn cannot be loaded
 */
export async function findAdapter(robust: boolean, flags: readonly string[] = []): Promise<FoundAdapter | undefined> {
  if (!flags.includes("backend=null") && !hasVulkanDriver()) return undefined;
  const dawn = await createDawn(robust, flags);
  try {
    const adapter = await dawn.requestAdapter({ powerPreference: "high-performance" });
    return adapter ? { dawn, adapter } : undefined;
  } catch {
    // Dawn throws if no adapter has the name that was asked for, or if no backend works.
    return undefined;
  }
}

/**
 * The names of all adapters that the system's drivers offer. Dawn lists them if it finds no such
 * name.
 */
export async function systemAdapterNames(): Promise<string[]> {
  if (!hasVulkanDriver()) return [];
  try {
    const dawn = await createDawn(true, ["adapter=no adapter has this name"]);
    await dawn.requestAdapter();
  } catch (error) {
    return [...String(error).matchAll(/name: '([^']+)'/g)].map((match) => match[1]);
  }
  return [];
}

/**
 * Opens a device, with what is known of its fastest kernels.
 * @throws GpuError if the adapter gives no device, InputError for a wrong SDMAE_KERNELS
 */
export async function openDevice({ dawn, adapter }: FoundAdapter): Promise<Gpu> {
  alive.add(dawn);
  try {
    const gpu = await Gpu.open(adapter, () => alive.delete(dawn));
    if (gpu.adapter.kind !== "gpu") gpu.nap = nap;
    gpu.tuning = await knownTuning(gpu.adapter);
    gpu.keepTuning = (choices) => keepTuning(gpu.adapter, choices, "quick");
    gpu.forcedKind = forcedKind();
    return gpu;
  } catch (error) {
    alive.delete(dawn);
    throw error;
  }
}

const never = new Int32Array(new SharedArrayBuffer(4));
const napMs = 2;

let napping: Promise<void> | undefined;

/**
 * Sleeps, then lets Dawn poll once: both take turns among the event loop's immediate callbacks. All
 * who wait share a nap.
 */
export function nap(): Promise<void> {
  napping ??= new Promise((resolve) => {
    Atomics.wait(never, 0, 0, napMs);
    setImmediate(() => {
      napping = undefined;
      resolve();
    });
  });
  return napping;
}

/** The kind of kernels that SDMAE_KERNELS forces. */
function forcedKind(): VariantKind | undefined {
  const wanted = process.env.SDMAE_KERNELS;
  if (!wanted) return undefined;
  const kind = variantKinds.find((name) => name === wanted);
  if (!kind) throw new InputError(`SDMAE_KERNELS is "${wanted}", not one of ${variantKinds.join(", ")}`);
  return kind;
}
