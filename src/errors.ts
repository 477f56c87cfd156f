/**
 * Something from outside (a file, an option, a video) cannot be used. The message is one line that
 * names the thing, the value and what would be right. Commands print it and exit with code 2.
 */
export class InputError extends Error {
  override readonly name: string = "InputError";
}

/**
 * No usable WebGPU adapter, a limit that the adapter does not reach, device loss, or an error that
 * the GPU reported.
 */
export class GpuError extends Error {
  override readonly name: string = "GpuError";
}

/** No WebGPU adapter at all. The message says what to install. Commands exit with code 2. */
export class NoAdapterError extends GpuError {
  override readonly name: string = "NoAdapterError";
}

/** The GPU device was lost (driver reset, unplugged, destroyed); work in flight is gone. */
export class DeviceLostError extends GpuError {
  override readonly name: string = "DeviceLostError";
}
