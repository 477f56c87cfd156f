import { intercept, readAndClear } from "./intercept.js";

/**
 * Shows that kernels stay within their buffers. A guarded device runs each dispatch on copies of
 * its buffers that lie between guard words, and copies the results back. A write beyond a buffer
 * changes a guard: `check` reports it. A read beyond a buffer sees a guard: results then differ
 * between two fillings (test/support/gpu.ts compares the bits). This needs a device without clamps,
 * since a clamped index touches no guard. Some drivers (lavapipe's) keep accesses within their
 * buffers by themselves: there only test/support/indices.ts finds faults.
 */

/** What guard words hold: NaN, or large numbers of both signs. As indices both lead far away. */
export type Filling = "nan" | "large";

/** Bytes of guard words on either side: a multiple of any device's offset alignment. */
const guardBytes = 8192;
const guardWords = guardBytes / 4;
/** The most bindings, of all dispatches together, that can be distinguished. */
const capacity = 2 ** 16;

/** Counts guard words that have changed, and keeps the first one's number. */
const checkWgsl = `
const GUARD = ${guardWords}u;
@group(0) @binding(0) var<storage, read> guarded: array<u32>;
@group(0) @binding(1) var<storage, read> wanted: array<u32>;
@group(0) @binding(2) var<uniform> which: vec4<u32>;  // words between the guards, slot
@group(0) @binding(3) var<storage, read_write> found: array<array<atomic<u32>, 2>, ${capacity}>;
@compute @workgroup_size(64)
fn check(@builtin(local_invocation_index) lane: u32) {
  for (var i = lane; i < GUARD; i += 64u) {
    if (guarded[i] != wanted[i]) { report(i); }
    if (guarded[GUARD + which.x + i] != wanted[i]) { report(GUARD + which.x + i); }
  }
}
fn report(word: u32) {
  atomicAdd(&found[which.y][0], 1u);
  atomicMax(&found[which.y][1], 0xffffffffu - word);  // the first: an atomicMin would need another start than 0
}`;

interface Bound {
  binding: number;
  buffer: GPUBuffer;
  offset: number;
  size: number;
  writable: boolean;
}

/** A bind group as a kernel gets it: the same tensors between guards. */
interface Guarded {
  group: GPUBindGroup;
  parts: { bound: Bound; copy: GPUBuffer; check: GPUBindGroup }[];
}

/** A device whose dispatches are guarded. */
export class Guards {
  /** Stands for the device: everything but compute passes is its own. */
  readonly device: GPUDevice;
  private readonly wanted: GPUBuffer;
  private readonly found: GPUBuffer;
  private readonly checker: GPUComputePipeline;
  private readonly layouts = new WeakMap<GPUBindGroupLayout, GPUBindGroupLayoutDescriptor>();
  private readonly groups = new WeakMap<GPUBindGroup, GPUBindGroupDescriptor>();
  private readonly guarded = new WeakMap<GPUBindGroup, Guarded>();
  /** Copies by size: a dispatch takes as many of each as it needs, and the next one the same. */
  private readonly copies = new Map<number, GPUBuffer[]>();
  /** Of each slot of `found`: what is bound there. */
  private readonly names: string[] = [];

  constructor(private readonly real: GPUDevice) {
    const { COPY_SRC, COPY_DST, STORAGE } = GPUBufferUsage;
    this.wanted = real.createBuffer({ size: guardBytes, usage: COPY_SRC | COPY_DST | STORAGE });
    this.found = real.createBuffer({ size: 8 * capacity, usage: COPY_SRC | COPY_DST | STORAGE });
    this.checker = real.createComputePipeline({
      layout: "auto",
      compute: { module: real.createShaderModule({ code: checkWgsl }) },
    });
    this.fill("nan");
    this.device = intercept(real, {
      createBindGroupLayout: (descriptor: GPUBindGroupLayoutDescriptor) => {
        const layout = real.createBindGroupLayout(descriptor);
        this.layouts.set(layout, descriptor);
        return layout;
      },
      createBindGroup: (descriptor: GPUBindGroupDescriptor) => {
        const group = real.createBindGroup(descriptor);
        this.groups.set(group, descriptor);
        return group;
      },
      createCommandEncoder: (descriptor?: GPUCommandEncoderDescriptor) => {
        const encoder = real.createCommandEncoder(descriptor);
        return intercept(encoder, {
          beginComputePass: (pass?: GPUComputePassDescriptor) =>
            // What is timed is not guarded.
            pass?.timestampWrites ? encoder.beginComputePass(pass) : this.beginPass(encoder),
        });
      },
    });
  }

  /** What the guards of dispatches from now on hold. */
  fill(filling: Filling): void {
    const words = Uint32Array.from({ length: guardWords }, (_, i) =>
      filling === "nan" ? 0x7fc0dead : i % 2 === 0 ? 0x7f7fbeef : 0xff7f3e1d,
    );
    this.real.queue.writeBuffer(this.wanted, 0, words);
  }

  /**
   * Waits for all dispatches so far.
   * @throws Error that names each kernel that wrote beyond a buffer
   */
  async check(): Promise<void> {
    const count = this.names.length;
    if (count === 0) return;
    const found = await readAndClear(this.real, this.found, 8 * count);
    const faults = this.names.flatMap((name, slot) => {
      const words = found[2 * slot];
      if (words === 0) return [];
      const first = 0xffffffff - found[2 * slot + 1] - guardWords;
      return [`${name}: ${words} guard words changed, the first at word ${first}`];
    });
    if (faults.length > 0) throw new Error(`kernels wrote beyond their buffers:\n${[...new Set(faults)].join("\n")}`);
  }

  private beginPass(encoder: GPUCommandEncoder): Partial<GPUComputePassEncoder> {
    let pipeline: GPUComputePipeline | undefined;
    let group: GPUBindGroup | undefined;
    return {
      setPipeline: (own) => {
        pipeline = own;
      },
      setBindGroup: (_: number, own: GPUBindGroup | null | undefined) => {
        group = own ?? undefined;
      },
      dispatchWorkgroups: (x, y, z) => {
        this.dispatch(encoder, pipeline as GPUComputePipeline, group as GPUBindGroup, [x, y ?? 1, z ?? 1]);
      },
      end: () => undefined,
    };
  }

  private dispatch(
    encoder: GPUCommandEncoder,
    pipeline: GPUComputePipeline,
    own: GPUBindGroup,
    workgroups: readonly [number, number, number],
  ): void {
    let guarded = this.guarded.get(own);
    if (!guarded) {
      guarded = this.guard(own);
      this.guarded.set(own, guarded);
    }
    const { group, parts } = guarded;
    for (const { bound, copy } of parts) {
      encoder.copyBufferToBuffer(this.wanted, 0, copy, 0, guardBytes);
      encoder.copyBufferToBuffer(bound.buffer, bound.offset, copy, guardBytes, bound.size);
      encoder.copyBufferToBuffer(this.wanted, 0, copy, guardBytes + bound.size, guardBytes);
    }
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...workgroups);
    pass.setPipeline(this.checker);
    for (const { check } of parts) {
      pass.setBindGroup(0, check);
      pass.dispatchWorkgroups(1);
    }
    pass.end();
    for (const { bound, copy } of parts) {
      if (bound.writable) encoder.copyBufferToBuffer(copy, guardBytes, bound.buffer, bound.offset, bound.size);
    }
  }

  private guard(own: GPUBindGroup): Guarded {
    const { label = "a kernel", layout, entries } = this.groups.get(own) as GPUBindGroupDescriptor;
    const declared = [...(this.layouts.get(layout) as GPUBindGroupLayoutDescriptor).entries];
    const taken = new Map<number, number>();
    const parts = [...entries].map(({ binding, resource }) => {
      const { buffer, offset = 0, size = buffer.size - offset } = resource as GPUBufferBinding;
      const writable = declared.find((entry) => entry.binding === binding)?.buffer?.type === "storage";
      const index = taken.get(size) ?? 0;
      taken.set(size, index + 1);
      const copy = this.copyOf(size, index);
      const slot = this.names.push(`${label}, binding ${binding} of ${size / 4} words`) - 1;
      if (slot >= capacity) throw new Error("more bindings than guards can tell apart");
      return { bound: { binding, buffer, offset, size, writable }, copy, check: this.checkOf(copy, size / 4, slot) };
    });
    const group = this.real.createBindGroup({
      label,
      layout,
      entries: parts.map(({ bound: { binding, size }, copy }) => ({
        binding,
        resource: { buffer: copy, offset: guardBytes, size },
      })),
    });
    return { group, parts };
  }

  private copyOf(size: number, index: number): GPUBuffer {
    const { COPY_SRC, COPY_DST, STORAGE, UNIFORM } = GPUBufferUsage;
    const all = this.copies.get(size) ?? [];
    this.copies.set(size, all);
    const usage = COPY_SRC | COPY_DST | STORAGE | UNIFORM;
    all[index] ??= this.real.createBuffer({ size: size + 2 * guardBytes, usage });
    return all[index];
  }

  private checkOf(copy: GPUBuffer, words: number, slot: number): GPUBindGroup {
    const which = this.real.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    this.real.queue.writeBuffer(which, 0, Uint32Array.of(words, slot));
    const buffers = [copy, this.wanted, which, this.found];
    return this.real.createBindGroup({
      layout: this.checker.getBindGroupLayout(0),
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
  }
}
