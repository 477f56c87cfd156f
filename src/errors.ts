/** An error with two spellings of its message, if the message names options. */
class SpelledError extends Error {
  // Private, so that Node does not print it with the error.
  readonly #onCommandLine: string;

  /**
   * @param message with options as the library names them: `maskRatio`
   * @param onCommandLine with options as commands name them: `--mask-ratio`; default: the same
   */
  constructor(message: string, onCommandLine = message) {
    super(message);
    this.#onCommandLine = onCommandLine;
  }

  /** The message as commands print it. */
  get onCommandLine(): string {
    return this.#onCommandLine;
  }
}

/**
 * Something from outside (a file, an option, a video) cannot be used. The message is one line that
 * names the thing, the value and what would be right. Commands print it and exit with code 2.
 */
export class InputError extends SpelledError {
  override readonly name: string = "InputError";
}

/** Several things that cannot be used. Commands print each in a line of its own. */
export class InputErrors extends InputError {
  /** @param lines one for each of them, see {@link InputError} */
  constructor(readonly lines: readonly string[]) {
    super(lines.join("\n"));
  }
}

/**
 * No usable WebGPU adapter, a limit that the adapter does not reach, device loss, or an error that
 * the GPU reported.
 */
export class GpuError extends SpelledError {
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
