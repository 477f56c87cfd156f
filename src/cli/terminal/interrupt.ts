/** Thrown by a command that Ctrl-C stopped, after it has cleaned up. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/**
 * Runs `work` with a signal that Ctrl-C or SIGTERM aborts. A second Ctrl-C ends the process at
 * once.
 * @throws whatever `work` throws, {@link Interrupted} if it stopped because of the signal
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = () => controller.abort(new Interrupted("interrupted"));
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    return await work(controller.signal);
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}
