import { InputError, NoAdapterError } from "../../errors.js";
import { type AdapterDescription, describeAdapter, Gpu, type VariantKind, variantKinds } from "../../gpu/gpu.js";
import { reasonOf } from "../files/messages.js";
import { lavapipeEnvironment } from "./lavapipe.js";
import {
  findSwiftShaderArchive,
  hasVulkanDriver,
  hasVulkanLoader,
  loadLibrary,
  unpackSwiftShader,
} from "./swiftshader.js";
import { keepTuning, knownTuning } from "./tuning.js";

/** How to choose an adapter in Node. */
export interface NodeGpuOptions {
  /**
   * `auto` (the real GPU, else a software adapter), `gpu`, `lavapipe`, `swiftshader`, `null` (Dawn's, which validates and runs
   * nothing), or a part of an adapter's name. Default: the environment variable SDMAE_ADAPTER, else `auto`.
   */
  adapter?: string;
  /** Receives one line where something slower than a GPU was chosen by itself. */
  onNotice?: (line: string) => void;
  /**
   * Whether Dawn clamps every index to its buffer or array, as browsers do. Our kernels stay within
   * bounds (docs/architecture.md, "Indices"), and clamps are half of a GPU's instructions. Default:
   * the environment variable SDMAE_ROBUST (1 or 0), else false.
   */
  robust?: boolean;
  /** The archive that holds SwiftShader; found by itself where npm installed it. */
  swiftShaderArchive?: string | null;
}

/** An adapter as listed by {@link listAdapters}. */
export interface ListedAdapter extends AdapterDescription {
  /** What `--adapter` takes to get it. */
  name: string;
  features: string[];
}

type Dawn = GPU & { readonly __dawn?: never };

/**
 * What `create()` returned, held for as long as any of its devices lives: once it is collected the process crashes. Node does not
 * exit while one is held, so closing a device drops it.
 */
const alive = new Set<Dawn>();

/**
 * Dawn switches. Unsafe APIs are those that are not standardised yet (subgroup matrices). Dawn
 * offers no float16 on NVIDIA under Vulkan unless asked, since it fails some conformance tests
 * there. Timestamps are wanted as exact as they come. Without `robust` no index is clamped; all
 * other checks of Dawn stay.
 */
function dawnFlags(robust: boolean): string[] {
  const features = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia", ...(robust ? [] : ["disable_robustness"])];
  return [`enable-dawn-features=${features.join(",")}`, "disable-dawn-features=timestamp_quantization"];
}

/** Whether SDMAE_ROBUST asks for clamps. */
export function robustByEnvironment(): boolean {
  const wanted = process.env.SDMAE_ROBUST || "0";
  if (wanted !== "0" && wanted !== "1") throw new InputError(`SDMAE_ROBUST is "${wanted}", not 0 or 1`);
  return wanted === "1";
}

/** The kind of kernels that SDMAE_KERNELS forces. */
function forcedKind(): VariantKind | undefined {
  const wanted = process.env.SDMAE_KERNELS;
  if (!wanted) return undefined;
  const kind = variantKinds.find((name) => name === wanted);
  if (!kind) throw new InputError(`SDMAE_KERNELS is "${wanted}", not one of ${variantKinds.join(", ")}`);
  return kind;
}

async function createDawn(robust: boolean, extra: readonly string[] = []): Promise<Dawn> {
  const { create, globals } = await import("webgpu").catch((error: unknown) => {
    throw new NoAdapterError(
      `Dawn (npm's webgpu) cannot be loaded on ${process.platform}-${process.arch}: ${reasonOf(error)}`,
    );
  });
  for (const [name, value] of Object.entries(globals)) {
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  return create([...dawnFlags(robust), ...extra]);
}

/** Runs `use` with Vulkan restricted to one driver. */
async function withDriver<T>(icd: string, use: () => Promise<T>): Promise<T> {
  // VK_DRIVER_FILES goes before VK_ICD_FILENAMES where both are set; old loaders know the latter only.
  const names = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] as const;
  const before = names.map((name) => process.env[name]);
  for (const name of names) process.env[name] = icd;
  try {
    return await use();
  } finally {
    names.forEach((name, i) => {
      const value = before[i];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    });
  }
}

/**
 * Makes sure that Dawn finds a Vulkan loader on Linux, and sets what drivers read when they are loaded; returns SwiftShader's manifest
 * where it is to be had.
 */
async function prepareVulkan(archive: string | null | undefined): Promise<() => Promise<string | undefined>> {
  Object.assign(process.env, lavapipeEnvironment());
  const found = archive === undefined ? findSwiftShaderArchive() : (archive ?? undefined);
  const unpack = async () => (found ? await unpackSwiftShader(found) : undefined);
  if (process.platform === "linux" && !hasVulkanLoader()) {
    const swiftShader = await unpack();
    if (swiftShader) loadLibrary(swiftShader.loader);
  }
  return async () => (await unpack())?.icd;
}

const never = new Int32Array(new SharedArrayBuffer(4));
const napMs = 2;

/** Sleeps, then lets Dawn poll once: both take their turns among the event loop's immediate callbacks. */
function nap(): Promise<void> {
  Atomics.wait(never, 0, 0, napMs);
  return new Promise((resolve) => setImmediate(resolve));
}

async function open(dawn: Dawn, adapter: GPUAdapter): Promise<Gpu> {
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

/** An adapter of Dawn's choice among the system's drivers, or as `extra` says. */
async function request(
  robust: boolean,
  extra: readonly string[] = [],
): Promise<{ dawn: Dawn; adapter: GPUAdapter } | undefined> {
  if (!extra.includes("backend=null") && !hasVulkanDriver()) return undefined;
  const dawn = await createDawn(robust, extra);
  try {
    const adapter = await dawn.requestAdapter({ powerPreference: "high-performance" });
    return adapter ? { dawn, adapter } : undefined;
  } catch {
    // Dawn throws where no adapter has the name that was asked for, or no backend works.
    return undefined;
  }
}

/**
 * Opens a WebGPU device in Node through Dawn. Order: a real GPU; Mesa's lavapipe where the system has it; SwiftShader from npm (Linux x64).
 * @throws NoAdapterError that says what to install
 */
export async function openNodeGpu(options: NodeGpuOptions = {}): Promise<Gpu> {
  const wanted = options.adapter ?? (process.env.SDMAE_ADAPTER || "auto");
  const notice = options.onNotice ?? (() => {});
  const robust = options.robust ?? robustByEnvironment();
  if (wanted === "null") {
    const found = await request(robust, ["backend=null"]);
    if (found) return open(found.dawn, found.adapter);
  }
  const swiftShaderIcd = await prepareVulkan(options.swiftShaderArchive);
  if (wanted === "auto" || wanted === "gpu") {
    const found = await request(robust);
    const kind = found && describeAdapter(found.adapter.info).kind;
    if (found && kind === "gpu") return open(found.dawn, found.adapter);
    if (wanted === "gpu") throw new NoAdapterError(`no GPU found by WebGPU${kind ? ` (only ${kind})` : ""}: ${advice}`);
    if (found) {
      notice(slow(describeAdapter(found.adapter.info).kind));
      return open(found.dawn, found.adapter);
    }
  } else if (wanted !== "swiftshader") {
    const found = await request(robust, [`adapter=${wanted === "lavapipe" ? "llvmpipe" : wanted}`]);
    if (found) return open(found.dawn, found.adapter);
    const names = (await listAdapters(options)).map((a) => a.name).join(", ");
    throw new NoAdapterError(`no adapter named "${wanted}"; there is ${names || "none at all"}`);
  }
  const icd = await swiftShaderIcd();
  if (icd) {
    const gpu = await withDriver(icd, async () => {
      const found = await request(robust);
      return found && open(found.dawn, found.adapter);
    });
    if (gpu) {
      if (wanted === "auto") notice(slow("swiftshader"));
      return gpu;
    }
  }
  throw new NoAdapterError(`no WebGPU adapter found: ${advice}`);
}

/** The line that says that a software adapter was chosen; times as in docs/performance.md. */
function slow(kind: AdapterDescription["kind"]): string {
  const times = {
    lavapipe: "0.04 s a frame at 160x320, 0.2 s at 320x640",
    swiftshader: "0.2 s a frame at 160x320, 1 s at 320x640",
  };
  const expected =
    kind in times ? `some ${times[kind as keyof typeof times]} on two cores` : "a second a frame or more";
  return `no GPU found: running on the CPU by the software adapter ${kind}; expect ${expected}`;
}

const advice =
  "install your GPU's Vulkan driver (Linux), or on Linux x64 the software adapter by `npm install @sparticuz/chromium` or Mesa 25's mesa-vulkan-drivers";

/** Lists what there is to choose from; the first is what `auto` takes. */
export async function listAdapters(options: NodeGpuOptions = {}): Promise<ListedAdapter[]> {
  const swiftShaderIcd = await prepareVulkan(options.swiftShaderArchive);
  const listed: ListedAdapter[] = [];
  const add = (found: { adapter: GPUAdapter } | undefined) => {
    if (!found) return;
    const description = describeAdapter(found.adapter.info);
    const features = [...found.adapter.features].sort();
    const name = description.kind === "gpu" ? description.device || description.description : description.kind;
    if (!listed.some((a) => a.name === name)) listed.push({ ...description, name, features });
  };
  add(await request(true));
  for (const name of await systemAdapterNames()) add(await request(true, [`adapter=${name}`]));
  const icd = await swiftShaderIcd();
  if (icd) add(await withDriver(icd, () => request(true)));
  const rank = (a: ListedAdapter) => ["gpu", "lavapipe", "software", "swiftshader"].indexOf(a.kind);
  return listed.sort((a, b) => rank(a) - rank(b));
}

/** The names of all adapters that the system's drivers offer: Dawn tells them where a name fits none. */
async function systemAdapterNames(): Promise<string[]> {
  if (!hasVulkanDriver()) return [];
  try {
    const dawn = await createDawn(true, ["adapter=no adapter has this name"]);
    await dawn.requestAdapter();
  } catch (error) {
    return [...String(error).matchAll(/name: '([^']+)'/g)].map((match) => match[1]);
  }
  return [];
}
