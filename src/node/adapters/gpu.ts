// Chooses a WebGPU adapter in Node: a real GPU, else a software adapter on the CPU.
import { InputError, NoAdapterError } from "../../errors.js";
import { type AdapterDescription, describeAdapter, type Gpu } from "../../gpu/gpu.js";
import { type FoundAdapter, findAdapter, openDevice, systemAdapterNames } from "./dawn.js";
import { prepareVulkan, withDriver } from "./vulkan.js";

/** How to choose an adapter in Node. */
export interface NodeGpuOptions {
  /**
   * `auto` (a real GPU, else a software adapter), `gpu`, `lavapipe`, `swiftshader`, `null` (Dawn's
   * own, which validates and runs nothing), or a part of an adapter's name. Default: the
   * environment variable SDMAE_ADAPTER, else `auto`.
   */
  adapter?: string;
  /** Receives a line if `auto` took a software adapter; each line once per process. */
  onNotice?: (line: string) => void;
  /**
   * Whether Dawn clamps every index to its buffer or array, as browsers do. Our kernels stay within
   * bounds (docs/architecture.md, "Indices"), and clamps are half of a GPU's instructions. Default:
   * the environment variable SDMAE_ROBUST (1 or 0), else false.
   */
  robust?: boolean;
  /** The archive with SwiftShader; null: none. Default: where npm installed it. */
  swiftShaderArchive?: string | null;
}

/** An adapter as listed by {@link listAdapters}. */
export interface ListedAdapter extends AdapterDescription {
  /** What `--adapter` takes to get it. */
  name: string;
  features: string[];
}

/** Whether SDMAE_ROBUST asks for clamps. @throws InputError if it is neither 0 nor 1 */
export function robustByEnvironment(): boolean {
  const wanted = process.env.SDMAE_ROBUST || "0";
  if (wanted !== "0" && wanted !== "1") throw new InputError(`SDMAE_ROBUST is "${wanted}", not 0 or 1`);
  return wanted === "1";
}

/**
 * Opens a WebGPU device in Node through Dawn. `auto` tries in this order: a real GPU; Mesa's
 * lavapipe if the system has it; SwiftShader from npm (Linux x64).
 * @throws NoAdapterError that says what to install, GpuError if the adapter gives no device,
 * InputError for an environment variable with a wrong value
 */
export async function openNodeGpu(options: NodeGpuOptions = {}): Promise<Gpu> {
  const wanted = options.adapter ?? (process.env.SDMAE_ADAPTER || "auto");
  const robust = options.robust ?? robustByEnvironment();
  if (wanted === "null") {
    const found = await findAdapter(robust, ["backend=null"]);
    if (found) return openDevice(found);
  }
  const unpackSwiftShader = await prepareVulkan(options.swiftShaderArchive);
  if (wanted !== "auto" && wanted !== "gpu" && wanted !== "swiftshader") return openNamed(wanted, robust, options);

  if (wanted !== "swiftshader") {
    const found = await findAdapter(robust);
    const kind = found && describeAdapter(found.adapter.info).kind;
    if (found && kind === "gpu") return openDevice(found);
    if (wanted === "gpu") {
      const onCpu = kind ?? ((await unpackSwiftShader()) && "swiftshader");
      throw spelled((option) => noGpu(onCpu, option, process.platform));
    }
    if (found && kind) {
      noticeOnce(slowNotice(kind, process.platform), options.onNotice);
      return openDevice(found);
    }
  }

  const swiftShader = await unpackSwiftShader();
  const gpu =
    swiftShader &&
    (await withDriver(swiftShader.icd, async () => {
      const found = await findAdapter(robust);
      return found && openDevice(found);
    }));
  if (!gpu && wanted === "swiftshader") {
    throw spelled((option) => `no SwiftShader here: npm install @sparticuz/chromium (Linux x64), or ${option}`);
  }
  if (!gpu) throw new NoAdapterError(`no WebGPU adapter found: ${whatToInstall(process.platform)}`);
  if (wanted === "auto") noticeOnce(slowNotice("swiftshader", process.platform), options.onNotice);
  return gpu;
}

/** Opens the adapter whose name contains `wanted`. @throws NoAdapterError that lists the names */
async function openNamed(wanted: string, robust: boolean, options: NodeGpuOptions): Promise<Gpu> {
  const found = await findAdapter(robust, [`adapter=${wanted === "lavapipe" ? "llvmpipe" : wanted}`]);
  if (found) return openDevice(found);
  const names = (await listAdapters(options)).map((a) => a.name);
  const known = names.length > 0 ? `this machine has ${names.join(", ")}` : "this machine has none";
  const install = wanted === "lavapipe" && process.platform === "linux" ? `; to install it: ${installLavapipe}` : "";
  throw new NoAdapterError(`no adapter named "${wanted}"; ${known}${install}`);
}

/** Mesa 25 or newer is needed. */
const installLavapipe = "apt install mesa-vulkan-drivers (Debian 13, Ubuntu 24.04 or newer)";
const fasterLavapipe = `Mesa's lavapipe is four to five times as fast: ${installLavapipe}`;

/** An error that says how not to ask for an adapter: `leave out --adapter`. */
function spelled(message: (leaveOut: string) => string): NoAdapterError {
  if (process.env.SDMAE_ADAPTER) return new NoAdapterError(message("unset SDMAE_ADAPTER"));
  return new NoAdapterError(message("leave out adapter"), message("leave out --adapter"));
}

/**
 * The error for a GPU that is not there.
 * @param onCpu the adapter that `auto` takes, if any
 * @param leaveOut how not to ask for a GPU, in words
 */
export function noGpu(onCpu: AdapterDescription["kind"] | undefined, leaveOut: string, platform: string): string {
  if (!onCpu) return `no GPU found by WebGPU, and no software adapter: ${whatToInstall(platform)}`;
  const line = `no GPU found by WebGPU: ${leaveOut} to compute on the CPU with ${onCpu}, or install ${driverOn(platform)}`;
  return onCpu === "swiftshader" && platform === "linux" ? `${line}; ${fasterLavapipe}` : line;
}

/** What to install if there is no adapter at all. */
function whatToInstall(platform: string): string {
  if (platform !== "linux") return `install ${driverOn(platform)}`;
  return `install ${driverOn(platform)}, or lavapipe to compute on the CPU: ${installLavapipe}, or on x64 SwiftShader: npm install @sparticuz/chromium`;
}

function driverOn(platform: string): string {
  return platform === "linux" ? "your GPU's Vulkan driver" : "your GPU's driver";
}

/** The lines that this process has shown. */
const shown = new Set<string>();

function noticeOnce(line: string, onNotice: ((line: string) => void) | undefined): void {
  if (!onNotice || shown.has(line)) return;
  shown.add(line);
  onNotice(line);
}

/**
 * The line that says that a software adapter was chosen. Its times are those of
 * docs/performance.md, on two cores.
 */
export function slowNotice(kind: AdapterDescription["kind"], platform: string): string {
  const times: Partial<Record<typeof kind, string>> = {
    lavapipe: "about 0.04 s per frame at 160x320, 0.2 s at 320x640, on two cores",
    swiftshader: "about 0.2 s per frame at 160x320, 1 s at 320x640, on two cores",
  };
  const line = `no GPU found: running on the CPU with the software adapter ${kind}; expect ${times[kind] ?? "a second or more per frame"}`;
  if (kind !== "swiftshader" || platform !== "linux") return line;
  return `${line}; ${fasterLavapipe}`;
}

/** Lists the adapters of this machine; the first is the one that `auto` takes. */
export async function listAdapters(options: NodeGpuOptions = {}): Promise<ListedAdapter[]> {
  const unpackSwiftShader = await prepareVulkan(options.swiftShaderArchive);
  const listed: ListedAdapter[] = [];
  const add = (found: FoundAdapter | undefined) => {
    if (!found) return;
    const description = describeAdapter(found.adapter.info);
    const features = [...found.adapter.features].sort();
    const name = description.kind === "gpu" ? description.device || description.description : description.kind;
    if (!listed.some((a) => a.name === name)) listed.push({ ...description, name, features });
  };
  add(await findAdapter(true));
  for (const name of await systemAdapterNames()) add(await findAdapter(true, [`adapter=${name}`]));
  const swiftShader = await unpackSwiftShader();
  if (swiftShader) add(await withDriver(swiftShader.icd, () => findAdapter(true)));
  const rank = (a: ListedAdapter) => ["gpu", "lavapipe", "software", "swiftshader"].indexOf(a.kind);
  return listed.sort((a, b) => rank(a) - rank(b));
}
