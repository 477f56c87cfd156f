import { GpuError } from "../errors.js";
import type { Gpu } from "./gpu.js";

interface Upload {
  from: GPUBuffer;
  at: number;
  to: GPUBuffer;
  offset: number;
  bytes: number;
}

/** The host writes one buffer, while two steps in flight read the others. */
const bufferCount = 3;

/**
 * Uploads through a ring of mapped buffers: the host copies into one while the GPU reads others,
 * without a copy in between. A step's uploads lie in one buffer, so that the driver is called once
 * per step rather than once per upload. A buffer is mapped again when the commands that read it are
 * done; if none is free, a writer waits for that.
 */
export class UploadRing {
  private readonly buffers: GPUBuffer[];
  private readonly free: GPUBuffer[];
  private readonly waiting: (() => void)[] = [];
  /** The buffer that the host writes now. */
  private open: { buffer: GPUBuffer; bytes: Uint8Array; used: number } | undefined;
  private staged: Upload[] = [];
  /** Whether a buffer could not be mapped again. */
  private isLost = false;

  /**
   * @param bytes of an upload, at most
   * @param count uploads per step, at most
   */
  constructor(
    private readonly gpu: Gpu,
    private readonly bytes: number,
    count: number,
  ) {
    this.buffers = Array.from({ length: bufferCount }, (_, i) =>
      gpu.createBuffer(`upload ${i}`, bytes * count, GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC, true),
    );
    this.free = [...this.buffers];
  }

  /**
   * Copies bytes (whole words) for the next {@link encode}; the caller may change them afterwards.
   * @throws GpuError if the GPU reported an error
   */
  async write(to: GPUBuffer, offset: number, data: Uint8Array): Promise<void> {
    if (data.length > this.bytes) throw new Error(`${data.length} bytes are more than the ring's ${this.bytes}`);
    while (!this.open || this.open.used + data.length > this.open.bytes.length) {
      this.seal();
      const buffer = this.free.pop();
      if (buffer) {
        this.open = { buffer, bytes: new Uint8Array(buffer.getMappedRange()), used: 0 };
        break;
      }
      this.gpu.check();
      if (this.isLost) throw new GpuError("the GPU takes no uploads: its buffers cannot be mapped");
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    const { buffer, bytes, used } = this.open;
    bytes.set(data, used);
    this.open.used += data.length;
    const last = this.staged.at(-1);
    // Neighbours become one copy.
    if (last?.from === buffer && last.to === to && last.offset + last.bytes === offset) last.bytes += data.length;
    else this.staged.push({ from: buffer, at: used, to, offset, bytes: data.length });
  }

  /**
   * Records the copies of everything written since the last call.
   * @returns to be called once the encoder's commands were submitted
   */
  encode(encoder: GPUCommandEncoder): () => void {
    this.seal();
    const staged = this.staged;
    this.staged = [];
    for (const { from, at, to, offset, bytes } of staged) encoder.copyBufferToBuffer(from, at, to, offset, bytes);
    return () => {
      for (const buffer of new Set(staged.map(({ from }) => from))) {
        buffer.mapAsync(GPUMapMode.WRITE).then(
          () => this.release(buffer),
          // The buffer was destroyed, or the device is lost. The device may say so later.
          () => {
            this.isLost = true;
            this.release(undefined);
          },
        );
      }
    };
  }

  /** Ends writing into the open buffer. */
  private seal(): void {
    this.open?.buffer.unmap();
    this.open = undefined;
  }

  private release(buffer: GPUBuffer | undefined): void {
    if (buffer) this.free.push(buffer);
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  /** Frees the buffers. Whoever waits for one gets an error. */
  close(): void {
    this.isLost = true;
    for (const buffer of this.buffers) this.gpu.destroyBuffer(buffer);
    this.buffers.length = 0;
    this.release(undefined);
  }
}
