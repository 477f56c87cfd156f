/** Thrown by a command that Ctrl-C ended, once it has put things in order. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** Runs `work` with a signal that Ctrl-C (or a polite kill) aborts; a second Ctrl-C ends the process at once. */
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
