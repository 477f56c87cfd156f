/** Lets the thread sleep for a moment, then everything that waits for its turn go on. */
export type Nap = () => Promise<void>;

/**
 * Awaits a promise of WebGPU without keeping a core busy. While one is pending, Dawn in Node polls for it as often as it can; where the
 * adapter computes on the CPU, that core is wanted. With a nap between any two polls the polling costs next to nothing.
 * @param nap none where nothing polls, or where a GPU computes
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
