/** Lets the thread sleep for a moment, then lets all waiting tasks continue. */
export type Nap = () => Promise<void>;

/**
 * Awaits a promise of WebGPU without keeping a core busy. While a promise is pending, Dawn in Node
 * polls for it as often as it can. An adapter that computes on the CPU needs that core, and so does
 * a compiler of kernels. With a nap between any two polls, polling costs almost nothing.
 * @param nap undefined if nothing polls, or if a GPU computes
 */
export async function patiently<T>(promise: Promise<T>, nap: Nap | undefined): Promise<T> {
  let pending = nap !== undefined;
  const settled = () => {
    pending = false;
  };
  promise.then(settled, settled);
  while (pending) await nap?.();
  return promise;
}
