import { describe, expect, it } from "vitest";
import { GpuError } from "../../src/errors.js";
import { UploadRing } from "../../src/gpu/upload_ring.js";
import { openNodeGpu } from "../../src/node/adapters/gpu.js";
import { testAdapter, useGpu } from "../support/gpu.js";

describe("the upload ring", () => {
  const gpu = useGpu();

  it("brings every upload to its place, over more steps than it has buffers", async () => {
    const target = gpu().createBuffer("target", 4 * 64, GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC);
    const back = gpu().createBuffer("back", 4 * 64, GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ);
    const ring = new UploadRing(gpu(), 16, 3);
    const want = new Uint8Array(4 * 64);
    const created = gpu().createdObjects;
    for (let step = 0; step < 8; step++) {
      // Neighbours, a gap, one out of order, short ones; some steps upload more than a buffer
      // holds.
      const places = [0, 16, 32, 96, 80, 128, 240].slice(0, 1 + (step % 7));
      for (const place of places) {
        const data = Uint8Array.from({ length: place === 96 ? 8 : 16 }, (_, i) => (31 * step + place + i) % 251);
        await ring.write(target, place, data);
        want.set(data, place);
        data.fill(255); // the caller may change it
      }
      const encoder = gpu().device.createCommandEncoder();
      const uploaded = ring.encode(encoder);
      gpu().device.queue.submit([encoder.finish()]);
      uploaded();
    }
    const encoder = gpu().device.createCommandEncoder();
    encoder.copyBufferToBuffer(target, 0, back, 0, 4 * 64);
    gpu().device.queue.submit([encoder.finish()]);
    await back.mapAsync(GPUMapMode.READ);
    expect([...new Uint8Array(back.getMappedRange())]).toEqual([...want]);
    expect(gpu().createdObjects).toBe(created);
    back.unmap();
    ring.close();
    gpu().destroyBuffer(target);
    gpu().destroyBuffer(back);
    gpu().check();
  });

  it("fails rather than wait for ever if the device is lost", async () => {
    const own = await openNodeGpu({ adapter: testAdapter });
    const target = own.createBuffer("target", 64, GPUBufferUsage.COPY_DST);
    const ring = new UploadRing(own, 16, 1);
    for (let step = 0; step < 3; step++) {
      await ring.write(target, 0, new Uint8Array(16));
      const encoder = own.device.createCommandEncoder();
      const uploaded = ring.encode(encoder);
      own.device.queue.submit([encoder.finish()]);
      if (step === 2) own.device.destroy();
      uploaded();
    }
    await expect(
      (async () => {
        for (;;) await ring.write(target, 0, new Uint8Array(16));
      })(),
    ).rejects.toThrow(GpuError);
    ring.close();
    own.close();
  });

  it("lets nobody wait for a buffer once it is closed", async () => {
    const target = gpu().createBuffer("target", 64, GPUBufferUsage.COPY_DST);
    const ring = new UploadRing(gpu(), 16, 1);
    const waiting = (async () => {
      for (;;) await ring.write(target, 0, new Uint8Array(16));
    })();
    await new Promise((resolve) => setTimeout(resolve, 20));
    ring.close();
    await expect(waiting).rejects.toThrow(GpuError);
    gpu().destroyBuffer(target);
  });

  it("refuses an upload that is larger than was said", async () => {
    const ring = new UploadRing(gpu(), 16, 1);
    const target = gpu().createBuffer("target", 64, GPUBufferUsage.COPY_DST);
    await expect(ring.write(target, 0, new Uint8Array(20))).rejects.toThrow("20 bytes are more than the ring's 16");
    ring.close();
    gpu().destroyBuffer(target);
  });
});
