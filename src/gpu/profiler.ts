// Times single kernels on the GPU.
import type { Gpu } from "./gpu.js";

/** Time that one kernel took on the GPU. */
export interface KernelTime {
  label: string;
  /** Milliseconds. */
  ms: number;
}

/** Times kernels with timestamp queries: one pass per kernel, two queries per pass. */
export class Profiler {
  private readonly querySet: GPUQuerySet;
  private readonly resolved: GPUBuffer;
  private readonly staging: GPUBuffer;
  private labels: string[] = [];

  /** @param capacity the most passes between two calls of {@link read} */
  constructor(
    private readonly gpu: Gpu,
    private readonly capacity: number,
  ) {
    this.querySet = gpu.device.createQuerySet({ type: "timestamp", count: capacity * 2 });
    const bytes = capacity * 16;
    this.resolved = gpu.createBuffer("timestamps", bytes, GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
    this.staging = gpu.createBuffer("timestamps read-back", bytes, GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ);
  }

  /** Whether this device can time kernels. */
  static available(gpu: Gpu): boolean {
    return gpu.features.has("timestamp-query");
  }

  /** Begins a timed pass. */
  beginPass(encoder: GPUCommandEncoder, label: string): GPUComputePassEncoder {
    const first = this.labels.length * 2;
    if (this.labels.length >= this.capacity) throw new Error(`the profiler holds ${this.capacity} passes`);
    this.labels.push(label);
    return encoder.beginComputePass({
      label,
      timestampWrites: { querySet: this.querySet, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 },
    });
  }

  /** Call this once, at the end of the encoder that recorded the passes. */
  resolve(encoder: GPUCommandEncoder): void {
    const count = this.labels.length;
    encoder.resolveQuerySet(this.querySet, 0, count * 2, this.resolved, 0);
    encoder.copyBufferToBuffer(this.resolved, 0, this.staging, 0, count * 16);
  }

  /** The times of the passes resolved last, in order. */
  async read(): Promise<KernelTime[]> {
    await this.staging.mapAsync(GPUMapMode.READ);
    const ticks = new BigUint64Array(this.staging.getMappedRange().slice(0));
    this.staging.unmap();
    const times = this.labels.map((label, i) => ({
      label,
      ms: Number(ticks[2 * i + 1] - ticks[2 * i]) / 1e6,
    }));
    this.labels = [];
    return times;
  }

  close(): void {
    this.querySet.destroy();
    this.gpu.destroyBuffer(this.resolved);
    this.gpu.destroyBuffer(this.staging);
  }
}
