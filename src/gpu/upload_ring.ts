import type { Gpu } from "./gpu.js";

interface Upload {
  from: GPUBuffer;
  to: GPUBuffer;
  offset: number;
  bytes: number;
}

/**
 * Uploads through a ring of mapped buffers: the host copies into one while the GPU reads others, and no copy is made in between. A buffer is
 * mapped again when the commands that read it are done; who finds none free waits for that.
 */
export class UploadRing {
  private readonly buffers: GPUBuffer[];
  private readonly free: GPUBuffer[];
  private readonly waiting: (() => void)[] = [];
  private staged: Upload[] = [];

  /** @param bytes of each upload, at most @param count uploads that may be on their way at once */
  constructor(
    private readonly gpu: Gpu,
    private readonly bytes: number,
    count: number,
  ) {
    this.buffers = Array.from({ length: count }, (_, i) =>
      gpu.createBuffer(`upload ${i}`, bytes, GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC, true),
    );
    this.free = [...this.buffers];
  }

  /** Copies bytes (whole words) to where the next {@link encode} takes them from; the caller may change them afterwards. */
  async write(to: GPUBuffer, offset: number, data: Uint8Array): Promise<void> {
    if (data.length > this.bytes) throw new Error(`${data.length} bytes are more than the ring's ${this.bytes}`);
    while (this.free.length === 0) {
      this.gpu.check();
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    const from = this.free.pop() as GPUBuffer;
    new Uint8Array(from.getMappedRange(0, data.length)).set(data);
    from.unmap();
    this.staged.push({ from, to, offset, bytes: data.length });
  }

  /** Records the copies of what was written since the last call; they are read once the encoder's commands were submitted. */
  encode(encoder: GPUCommandEncoder): () => void {
    const staged = this.staged;
    this.staged = [];
    for (const { from, to, offset, bytes } of staged) encoder.copyBufferToBuffer(from, 0, to, offset, bytes);
    return () => {
      for (const { from } of staged) {
        from.mapAsync(GPUMapMode.WRITE).then(
          () => this.release(from),
          // Its buffer was destroyed, or the device is lost, which the device itself says to whoever asks for the step.
          () => this.release(undefined),
        );
      }
    };
  }

  private release(buffer: GPUBuffer | undefined): void {
    if (buffer) this.free.push(buffer);
    this.waiting.shift()?.();
  }

  /** Frees its buffers. */
  close(): void {
    for (const buffer of this.buffers) this.gpu.destroyBuffer(buffer);
    this.buffers.length = 0;
  }
}
