/** Objects of WebGPU that do some things otherwise, for devices that watch what kernels do. */

/** An object with some methods replaced. */
export function intercept<T extends object>(real: T, own: Record<string, unknown>): T {
  return new Proxy(real, {
    get: (_, name) => {
      if (typeof name === "string" && name in own) return own[name];
      const value = Reflect.get(real, name, real);
      return typeof value === "function" ? value.bind(real) : value;
    },
  });
}

/** The first words of a buffer, once all that was submitted is done; it is zero afterwards. */
export async function readAndClear(device: GPUDevice, buffer: GPUBuffer, bytes: number): Promise<Uint32Array> {
  const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
  const staging = device.createBuffer({ size: bytes, usage });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, bytes);
  encoder.clearBuffer(buffer, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const words = new Uint32Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return words;
}
