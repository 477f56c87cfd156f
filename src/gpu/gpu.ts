// The device: what its adapter is and can do, and the engine's buffers, pipelines and errors on it.
import { DeviceLostError, GpuError, NoAdapterError } from "../errors.js";
import { type Nap, patiently } from "./patience.js";
import { declaredBindings } from "./wgsl.js";

/**
 * A product that a GPU's matrix units compute: [m, k] by [k, n] to [m, n], as
 * `chromium-experimental-subgroup-matrix` lists it.
 */
export interface MatrixUnit {
  input: string;
  result: string;
  m: number;
  n: number;
  k: number;
}

/** An adapter as kernel variants are chosen by, and as reports name it. */
export interface AdapterDescription {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  /** A GPU, or a software rasteriser in place of one. */
  kind: "gpu" | "swiftshader" | "lavapipe" | "software";
  /** Invocations of a subgroup, if every subgroup has the same number. */
  subgroupSize?: number;
  /** The fewest invocations that a subgroup has. */
  subgroupMinSize?: number;
  /** The most invocations that a subgroup has. */
  subgroupMaxSize?: number;
  /** What its matrix units do, if WebGPU gives access to them; the preferred one first. */
  matrixUnits?: readonly MatrixUnit[];
}

/** What kernels are chosen by: the adapter, and the features and limits of the device. */
export interface Target {
  readonly adapter: AdapterDescription;
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  /**
   * Findings on this adapter: the fastest kernel variant by call (src/ops/variants.ts), and whether
   * float16 is right (src/tuner/half_check.ts).
   */
  readonly tuning?: ReadonlyMap<string, string>;
  /**
   * The kind of variant to take wherever a call has one, unchecked and whatever was measured: for
   * tests and measurements.
   */
  readonly forcedKind?: VariantKind;
}

/** The kinds of kernel variants, from the plainest to matrix units; see src/ops/variants.ts. */
export const variantKinds = ["plain", "subgroup", "tiled", "split", "matrix"] as const;
export type VariantKind = (typeof variantKinds)[number];

/** Dawn's addition to an adapter's info. Older Dawns call the type of the sums `resultType`. */
interface MatrixInfo extends GPUAdapterInfo {
  readonly subgroupMatrixConfigs?: readonly {
    readonly componentType: string;
    readonly resultComponentType?: string;
    readonly resultType?: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }[];
}

/** Describes a WebGPU adapter. */
export function describeAdapter(info: GPUAdapterInfo): AdapterDescription {
  const { vendor, architecture, device, description } = info;
  const text = `${vendor} ${architecture} ${device} ${description}`.toLowerCase();
  const kind = text.includes("swiftshader")
    ? "swiftshader"
    : text.includes("llvmpipe") || text.includes("lavapipe")
      ? "lavapipe"
      : info.isFallbackAdapter
        ? "software"
        : "gpu";
  const { subgroupMinSize, subgroupMaxSize } = info;
  const subgroupSize = subgroupMinSize > 0 && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : undefined;
  // Browsers leave out the name, but messages need one.
  const shown = description || [vendor, architecture, device].filter(Boolean).join(" ");
  const matrixUnits = (info as MatrixInfo).subgroupMatrixConfigs?.map(
    ({ componentType, resultComponentType, resultType, M, N, K }): MatrixUnit => ({
      input: componentType,
      result: resultComponentType ?? resultType ?? "unknown",
      m: M,
      n: N,
      k: K,
    }),
  );
  return {
    ...{ vendor, architecture, device, description: shown, kind },
    ...(subgroupSize && { subgroupSize }),
    ...(subgroupMinSize > 0 && { subgroupMinSize, subgroupMaxSize }),
    ...(matrixUnits?.length && { matrixUnits }),
  };
}

/** Features that kernels or the profiler can use; each is requested if the adapter has it. */
const usefulFeatures = [
  "timestamp-query",
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
] as GPUFeatureName[];

/** Limits to raise to what the adapter offers. */
const raisedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
] as const;

/** A compiled kernel with the layout of its bindings. */
export interface Pipeline {
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
  /** Binding number by WGSL variable name. */
  bindings: ReadonlyMap<string, number>;
}

/** A WebGPU device with what the engine needs: pipeline cache, memory count, typed errors. */
export class Gpu implements Target {
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  /** See {@link Target.tuning}. Set it before graphs are built. */
  tuning: ReadonlyMap<string, string> = new Map();
  /**
   * Keeps the choices of kernel variants for later runs; absent in browsers.
   * @throws InputError if it cannot be written
   */
  keepTuning?: (choices: ReadonlyMap<string, string>) => Promise<unknown>;
  /** See {@link Target.forcedKind}. Set it before graphs are built. */
  forcedKind?: VariantKind;
  /** How to wait if waiting costs a core that is needed; see {@link patiently}. */
  nap?: Nap;
  private readonly pipelines = new Map<string, Promise<Pipeline>>();
  private failure: GpuError | undefined;
  private isClosed = false;
  private allocated = 0;
  private allocations = 0;

  private constructor(
    readonly device: GPUDevice,
    readonly adapter: AdapterDescription,
    private readonly release: () => void,
  ) {
    this.features = new Set(device.features);
    this.limits = device.limits;
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.failure ??= new GpuError(`the GPU reported an error: ${oneLine(event.error.message)}`);
    });
    device.lost.then(({ message }) => {
      // Somebody else may destroy it, too.
      if (!this.isClosed) this.failure = new DeviceLostError(`the GPU device was lost: ${oneLine(message)}`);
    });
  }

  /**
   * Opens a device on an adapter with the features and limits that the engine can use.
   * @param release called once by {@link close}, to release the adapter
   * @throws GpuError if the adapter gives no device
   */
  static async open(adapter: GPUAdapter, release: () => void = () => {}): Promise<Gpu> {
    const requiredLimits: Record<string, number> = {};
    for (const name of raisedLimits) requiredLimits[name] = adapter.limits[name];
    const description = describeAdapter(adapter.info);
    let device: GPUDevice;
    try {
      device = await adapter.requestDevice({
        label: "sdmae",
        requiredFeatures: usefulFeatures.filter((f) => adapter.features.has(f)),
        requiredLimits,
      });
    } catch (error) {
      throw new GpuError(`no device on adapter "${description.description}": ${oneLine(String(error))}`);
    }
    return new Gpu(device, description, release);
  }

  /** Bytes of GPU buffers that are allocated now. */
  get allocatedBytes(): number {
    return this.allocated;
  }

  /** Buffers and pipelines created so far: does not grow in a steady state. */
  get createdObjects(): number {
    return this.allocations + this.pipelines.size;
  }

  /**
   * Creates a buffer and counts it. Its size is rounded up to whole words.
   * @param mappedAtCreation whether the host may write to it at once
   * @throws GpuError if it is larger than the adapter allows
   */
  createBuffer(label: string, bytes: number, usage: GPUBufferUsageFlags, mappedAtCreation = false): GPUBuffer {
    const size = Math.max(4, Math.ceil(bytes / 4) * 4);
    if (size > this.limits.maxBufferSize) {
      throw new GpuError(
        `${label} needs a buffer of ${size} bytes; adapter "${this.adapter.description}" allows ${this.limits.maxBufferSize} (a smaller batch or size helps)`,
      );
    }
    const buffer = this.device.createBuffer({ label, size, usage, mappedAtCreation });
    this.allocated += size;
    this.allocations++;
    return buffer;
  }

  /** Destroys a buffer made by {@link createBuffer}. */
  destroyBuffer(buffer: GPUBuffer): void {
    this.allocated -= buffer.size;
    buffer.destroy();
  }

  /**
   * Compiles WGSL, once per text and entry point.
   * @throws GpuError with the compiler's message
   */
  pipeline(label: string, wgsl: string, entryPoint: string): Promise<Pipeline> {
    const key = `${entryPoint}\n${wgsl}`;
    let pipeline = this.pipelines.get(key);
    if (!pipeline) {
      pipeline = this.compile(label, wgsl, entryPoint);
      this.pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  private async compile(label: string, wgsl: string, entryPoint: string): Promise<Pipeline> {
    const declared = declaredBindings(wgsl);
    // Errors of the text are thrown below; they are not errors of the device.
    this.device.pushErrorScope("validation");
    const layout = this.device.createBindGroupLayout({
      label,
      entries: declared.map(({ binding, type }) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
    });
    const module = this.device.createShaderModule({ label, code: wgsl });
    const scope = this.device.popErrorScope();
    try {
      const compiling = this.device.createComputePipelineAsync({
        label,
        layout: this.device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint },
      });
      const pipeline = await patiently(compiling, this.nap);
      return { pipeline, layout, bindings: new Map(declared.map(({ name, binding }) => [name, binding])) };
    } catch (error) {
      await scope;
      const info = await module.getCompilationInfo();
      const message = info.messages.find((m) => m.type === "error");
      const where = message ? `line ${message.lineNum}: ${message.message}` : String(error);
      throw new GpuError(`kernel ${label} does not compile: ${oneLine(where)}`);
    }
  }

  /**
   * Checks for errors since the device was opened.
   * @throws GpuError the first error that the GPU reported, if any
   */
  check(): void {
    if (this.failure) throw this.failure;
  }

  /**
   * Resolves when everything submitted so far is done.
   * @throws GpuError if the GPU reported an error
   */
  async finish(): Promise<void> {
    await patiently(this.device.queue.onSubmittedWorkDone(), this.nap);
    this.check();
  }

  /** Destroys the device and releases the adapter. */
  close(): void {
    this.isClosed = true;
    this.device.destroy();
    this.release();
  }
}

/**
 * Opens the environment's own WebGPU adapter (browsers, Deno).
 * @throws NoAdapterError if there is none
 */
export async function openNavigatorGpu(): Promise<Gpu> {
  const gpu = typeof navigator === "undefined" ? undefined : navigator.gpu;
  const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new NoAdapterError(
      gpu
        ? "this browser finds no WebGPU adapter: update the graphics driver, or switch on hardware acceleration"
        : "no navigator.gpu here: use a browser with WebGPU (in Node, import from sdmae/node)",
    );
  }
  return Gpu.open(adapter);
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
