import { expect, test } from "vitest";
import type { Frame, FrameSource } from "../../src/data/frame.js";
import { Feeds } from "../../src/detector/feeds.js";

/** A source that has a frame whenever it is asked, or none as long as nothing ends it. */
function camera(hasFrames: boolean): FrameSource {
  return {
    ...{ name: "camera", width: 1, height: 1 },
    async *frames(signal?: AbortSignal): AsyncGenerator<Frame> {
      if (!hasFrames) await new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve()));
      for (let i = 0; !signal?.aborted; i++) {
        yield { data: new Uint8Array(3), width: 1, height: 1, index: i, number: i };
      }
    },
  };
}

test.each([
  [1, [true, true, false, false]],
  [1, [false, true, true, false]],
  [1, [true, false, true, true]],
  [2, [true, true, true, false]],
])("in batches of %i, cameras with frames share the engine evenly, whatever others do: %j", async (batch, has) => {
  const sources = has.map(camera);
  const feeds = new Feeds(batch, sources, true);
  const stop = new AbortController();
  const pumps = sources.map((source, i) => feeds.pump(i, source, stop.signal, async () => {}));
  const taken = has.map(() => 0);
  for (let step = 0; step < 120; step++) {
    // A busy GPU: every camera has got new frames meanwhile.
    for (let i = 0; i < 50; i++) await Promise.resolve();
    for (const { frame } of feeds.take()) taken[frame.source]++;
  }
  stop.abort();
  feeds.close();
  await Promise.all(pumps);
  const most = Math.max(...taken);
  expect(most).toBeGreaterThan(20);
  for (const [i, count] of taken.entries()) {
    if (has[i]) expect(count).toBeGreaterThan(0.9 * most);
    else expect(count).toBe(0);
  }
});
