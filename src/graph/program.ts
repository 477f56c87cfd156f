// The executor: compiles a graph for a device, once, and runs its steps.
import { GpuError } from "../errors.js";
import type { Gpu } from "../gpu/gpu.js";
import { patiently } from "../gpu/patience.js";
import { Profiler } from "../gpu/profiler.js";
import { UploadRing } from "../gpu/upload_ring.js";
import { halfToFloat32 } from "../half.js";
import {
  byteSize,
  type Cost,
  type DType,
  elementCount,
  type Graph,
  type Kernel,
  mainPhase,
  type Node,
  storageOf,
  type Tensor,
  type TensorSpec,
} from "./graph.js";
import { type MemoryPlan, planMemory } from "./plan.js";

/** What a node took in a profiled step. */
export interface NodeProfile extends Cost {
  name: string;
  op: string;
  /** See {@link Graph.phase}. */
  phase: string;
  dispatches: number;
  /** Milliseconds on the GPU. */
  ms: number;
}

/** Values of a graph's outputs after a step, by name; f16 as words of two values. */
export type Results = Record<string, Float32Array | Uint32Array>;

interface Dispatch {
  node: Node;
  label: string;
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  workgroups: readonly [number, number, number];
}

/**
 * A graph ready to run on a device. Buffers, pipelines and bind groups are made once; a step only
 * uploads, encodes and submits.
 */
export class Program {
  private readonly staging: GPUBuffer[] = [];
  private readonly waiting: (() => void)[] = [];
  private readonly readBackBytes: number;
  private readBuffer: GPUBuffer | undefined;
  private uploads: UploadRing | undefined;
  private reading: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly gpu: Gpu,
    readonly graph: Graph,
    private readonly buffers: ReadonlyMap<number, GPUBuffer>,
    private readonly owned: GPUBuffer[],
    private readonly dispatches: readonly Dispatch[],
    stepsInFlight: number,
  ) {
    this.readBackBytes = [...graph.outputs.values()].reduce((sum, t) => sum + byteSize(t), 0);
    for (let i = 0; i < stepsInFlight; i++) {
      const buffer = gpu.createBuffer(
        "read-back",
        this.readBackBytes,
        GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
      );
      this.staging.push(buffer);
      this.owned.push(buffer);
    }
  }

  /**
   * Plans memory, allocates, compiles.
   * @param stepsInFlight how many steps may run at once
   * @throws GpuError if a kernel does not compile or a tensor is too large for the device
   */
  static async compile(gpu: Gpu, graph: Graph, stepsInFlight = 2): Promise<Program> {
    const plan = planMemory(graph);
    const { buffers, owned } = allocate(gpu, graph, plan);
    const kernels = plan.nodes.flatMap((node) => node.op.kernels(node, gpu).map((kernel) => ({ node, kernel })));
    const dispatches = await Promise.all(kernels.map(({ node, kernel }) => dispatchOf(gpu, node, kernel, buffers)));
    const program = new Program(gpu, graph, buffers, owned, dispatches, stepsInFlight);
    await gpu.finish();
    return program;
  }

  /** Writes (part of) an input or state. The bytes are copied before this returns. */
  write(tensor: Tensor, data: ArrayBufferView<ArrayBuffer>, offsetBytes = 0): void {
    const buffer = this.buffers.get(storageOf(tensor).id);
    if (!buffer || tensor.role === "value" || tensor.role === "weight") {
      throw new Error(`${tensor.name} is not an input or state of this program`);
    }
    this.gpu.device.queue.writeBuffer(buffer, 4 * (tensor.offset ?? 0) + offsetBytes, data);
  }

  /**
   * Makes room for {@link upload}s that overlap with steps.
   * @param bytes of an upload, at most
   * @param count uploads per step, at most
   */
  openUploads(bytes: number, count: number): void {
    // Software adapters lose more by waiting for a mapped buffer than the saved copy is worth.
    if (this.gpu.adapter.kind === "gpu") this.uploads = new UploadRing(this.gpu, bytes, count);
  }

  /**
   * As {@link write}, of whole words, for the next step; through a ring of mapped buffers if
   * {@link openUploads} made one.
   */
  async upload(tensor: Tensor, data: Uint8Array<ArrayBuffer>, offsetBytes = 0): Promise<void> {
    if (!this.uploads) return this.write(tensor, data, offsetBytes);
    await this.uploads.write(this.bufferOf(tensor), 4 * (tensor.offset ?? 0) + offsetBytes, data);
  }

  /** Submits what was uploaded without a step: else uploads that no step follows hold the ring. */
  flushUploads(): void {
    if (!this.uploads) return;
    const encoder = this.gpu.device.createCommandEncoder({ label: "uploads" });
    const uploaded = this.uploads.encode(encoder);
    this.gpu.device.queue.submit([encoder.finish()]);
    uploaded();
  }

  /** Resolves once another step may start: fewer are in flight than {@link compile} allowed. */
  async ready(): Promise<void> {
    while (this.staging.length === 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /**
   * Runs a step and reads the outputs back. The step is submitted before this returns its promise,
   * so the next step's inputs may be written at once. Call {@link ready} first.
   * @throws GpuError if the GPU reported an error
   */
  async run(): Promise<Results> {
    const staging = this.staging.pop();
    if (!staging) throw new Error("as many steps as allowed are in flight: wait for ready()");
    try {
      const encoder = this.gpu.device.createCommandEncoder({ label: "step" });
      const uploaded = this.uploads?.encode(encoder);
      this.encode(encoder);
      let offset = 0;
      for (const tensor of this.graph.outputs.values()) {
        encoder.copyBufferToBuffer(this.bufferOf(tensor), 4 * (tensor.offset ?? 0), staging, offset, byteSize(tensor));
        offset += byteSize(tensor);
      }
      this.gpu.device.queue.submit([encoder.finish()]);
      uploaded?.();
      await patiently(staging.mapAsync(GPUMapMode.READ, 0, this.readBackBytes), this.gpu.nap).catch((error: Error) => {
        this.gpu.check();
        throw new GpuError(`the GPU gives no results: ${error.message || error.name}`);
      });
      this.gpu.check();
      const bytes = staging.getMappedRange(0, this.readBackBytes).slice(0);
      staging.unmap();
      return this.unpack(bytes);
    } finally {
      this.staging.push(staging);
      this.waiting.shift()?.();
    }
  }

  /**
   * Runs a step, or another phase of the graph, and reads nothing back; {@link finish} waits for
   * it.
   */
  submit(phase = mainPhase): void {
    const encoder = this.gpu.device.createCommandEncoder({ label: phase });
    this.encode(encoder, phase);
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  /**
   * Resolves when every step of {@link submit} is done.
   * @throws GpuError if the GPU reported an error
   */
  async finish(): Promise<void> {
    await this.gpu.finish();
  }

  /**
   * Reads a tensor that lasts: a state, an input, a weight, or an output of the last step; f16 as
   * words of two values. Waits for everything submitted before.
   */
  read(tensor: Tensor): Promise<Float32Array | Uint32Array> {
    // One at a time, through one kept buffer: repeated reads allocate nothing.
    const result = this.reading.then(() => this.readNow(tensor));
    this.reading = result.catch(() => undefined);
    return result;
  }

  private async readNow(tensor: Tensor): Promise<Float32Array | Uint32Array> {
    const bytes = byteSize(tensor);
    if ((this.readBuffer?.size ?? 0) < bytes) {
      if (this.readBuffer) this.gpu.destroyBuffer(this.readBuffer);
      this.readBuffer = this.gpu.createBuffer("read", bytes, GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ);
    }
    const staging = this.readBuffer as GPUBuffer;
    const encoder = this.gpu.device.createCommandEncoder({ label: "read" });
    encoder.copyBufferToBuffer(this.bufferOf(tensor), 4 * (tensor.offset ?? 0), staging, 0, bytes);
    this.gpu.device.queue.submit([encoder.finish()]);
    await patiently(staging.mapAsync(GPUMapMode.READ, 0, bytes), this.gpu.nap);
    const copy = staging.getMappedRange(0, bytes).slice(0);
    staging.unmap();
    return viewAs(tensor.dtype, copy, 0, bytes / 4);
  }

  /** Runs a step with every kernel timed by timestamp queries. */
  async profile(): Promise<NodeProfile[]> {
    const times = await this.timed(this.dispatches.map((dispatch) => [dispatch]));
    const profiles = new Map<Node, NodeProfile>();
    this.dispatches.forEach(({ node }, i) => {
      const { name, op, phase } = node;
      const entry = profiles.get(node) ?? { name, op: op.name, phase, dispatches: 0, ms: 0, ...op.cost(node) };
      entry.dispatches++;
      entry.ms += times[i] ?? 0;
      profiles.set(node, entry);
    });
    return [...profiles.values()];
  }

  /** Milliseconds on the GPU of each of several steps in a row, by timestamp queries. */
  time(steps: number): Promise<number[]> {
    return this.timed(Array.from({ length: steps }, () => this.dispatches));
  }

  /** Runs passes of dispatches in one submission; returns the milliseconds of each. */
  private async timed(passes: readonly (readonly Dispatch[])[]): Promise<number[]> {
    const profiler = new Profiler(this.gpu, passes.length);
    try {
      const encoder = this.gpu.device.createCommandEncoder({ label: "timed passes" });
      for (const dispatches of passes) {
        const pass = profiler.beginPass(encoder, dispatches[0]?.label ?? "nothing");
        for (const dispatch of dispatches) record(pass, dispatch);
        pass.end();
      }
      profiler.resolve(encoder);
      this.gpu.device.queue.submit([encoder.finish()]);
      await this.gpu.finish();
      return (await profiler.read()).map(({ ms }) => ms);
    } finally {
      profiler.close();
    }
  }

  /** Work of one step. */
  get cost(): Cost {
    const total = { flops: 0, bytes: 0 };
    for (const node of new Set(this.dispatches.map((d) => d.node))) {
      const { flops, bytes } = node.op.cost(node);
      total.flops += flops;
      total.bytes += bytes;
    }
    return total;
  }

  get dispatchCount(): number {
    return this.dispatches.length;
  }

  /** Frees the program's buffers. */
  close(): void {
    this.uploads?.close();
    this.uploads = undefined;
    for (const buffer of this.owned) this.gpu.destroyBuffer(buffer);
    this.owned.length = 0;
    if (this.readBuffer) this.gpu.destroyBuffer(this.readBuffer);
    this.readBuffer = undefined;
  }

  private encode(encoder: GPUCommandEncoder, phase = mainPhase): void {
    const pass = encoder.beginComputePass();
    for (const dispatch of this.dispatches) if (dispatch.node.phase === phase) record(pass, dispatch);
    pass.end();
  }

  private bufferOf(tensor: Tensor): GPUBuffer {
    return this.buffers.get(storageOf(tensor).id) as GPUBuffer;
  }

  private unpack(bytes: ArrayBuffer): Results {
    const results: Results = {};
    let offset = 0;
    for (const [name, tensor] of this.graph.outputs) {
      results[name] = viewAs(tensor.dtype, bytes, offset, byteSize(tensor) / 4);
      offset += byteSize(tensor);
    }
    return results;
  }
}

/** Buffers by tensor id, and all buffers once. */
function allocate(
  gpu: Gpu,
  graph: Graph,
  { nodes, slots, slotBytes }: MemoryPlan,
): { buffers: Map<number, GPUBuffer>; owned: GPUBuffer[] } {
  const storage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const slotBuffers = slotBytes.map((bytes, i) => gpu.createBuffer(`activations ${i}`, bytes, storage));
  const owned = [...slotBuffers];
  const buffers = new Map<number, GPUBuffer>();
  const inputs = nodes.flatMap((node) => Object.values(node.inputs));
  const used = new Set([...inputs, ...graph.outputs.values()].map((t) => t.id));
  for (const tensor of graph.tensors) {
    const slot = slots.get(tensor.id);
    if (slot !== undefined) {
      buffers.set(tensor.id, slotBuffers[slot]);
    } else if (!tensor.aliasOf && tensor.role !== "value" && (used.has(tensor.id) || tensor.role !== "weight")) {
      const buffer = gpu.createBuffer(tensor.name, byteSize(tensor), storage);
      if (tensor.data) gpu.device.queue.writeBuffer(buffer, 0, tensor.data as Float32Array<ArrayBuffer>);
      buffers.set(tensor.id, buffer);
      owned.push(buffer);
    }
  }
  return { buffers, owned };
}

/** Compiles a kernel and binds its buffers. */
async function dispatchOf(
  gpu: Gpu,
  node: Node,
  kernel: Kernel,
  buffers: ReadonlyMap<number, GPUBuffer>,
): Promise<Dispatch> {
  const label = `${node.name} (${kernel.label})`;
  const { pipeline, layout, bindings } = await gpu.pipeline(kernel.label, kernel.wgsl, kernel.entryPoint);
  const missing = [...bindings.keys()].filter((name) => !kernel.bindings[name]);
  if (missing.length > 0) throw new Error(`${label}: nothing is bound to ${missing.join(", ")}`);
  for (const size of kernel.workgroups) {
    if (size > gpu.limits.maxComputeWorkgroupsPerDimension) {
      throw new Error(`${label}: ${kernel.workgroups} workgroups are more than the device allows`);
    }
  }
  const entries = Object.entries(kernel.bindings).flatMap(([name, tensor]) => {
    if (!tensor) return [];
    const binding = bindings.get(name);
    if (binding === undefined) throw new Error(`${label}: the WGSL declares no ${name}`);
    const buffer = buffers.get(storageOf(tensor).id) as GPUBuffer;
    const offset = 4 * (tensor.offset ?? 0);
    return [{ binding, resource: { buffer, offset, size: Math.max(4, byteSize(tensor)) } }];
  });
  const bindGroup = gpu.device.createBindGroup({ label, layout, entries });
  return { node, label, pipeline, bindGroup, workgroups: kernel.workgroups };
}

function record(pass: GPUComputePassEncoder, { pipeline, bindGroup, workgroups }: Dispatch): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(...workgroups);
}

/** A tensor of floats as {@link Program.run} or {@link Program.read} returned it, as float32. */
export function floatsOf(values: Float32Array | Uint32Array, { dtype, shape }: TensorSpec): Float32Array {
  if (dtype !== "f16") return Float32Array.from(values);
  return halfToFloat32(new Uint16Array(values.buffer, values.byteOffset, elementCount(shape)));
}

function viewAs(dtype: DType, bytes: ArrayBuffer, offset: number, length: number): Float32Array | Uint32Array {
  return dtype === "f32" ? new Float32Array(bytes, offset, length) : new Uint32Array(bytes, offset, length);
}
