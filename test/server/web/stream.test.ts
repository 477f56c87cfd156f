import { expect, onTestFinished, test, vi } from "vitest";
import type { WatchState } from "../../../src/server/web/api.js";
import { Streams } from "../../../src/server/web/stream.js";
import { WatchFeed } from "../../../src/server/web/watched.js";

test("a state that cannot be told is left out, and the next one is sent", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const state = vi.fn(async () => ({ ready: true }) as WatchState);
  state.mockRejectedValueOnce(new Error("there is no model"));
  const streams = new Streams(new WatchFeed(), { state, scrub: (text) => text });
  const reader = streams.open()!.getReader();
  const next = async () => Buffer.from((await reader.read()).value!).toString();
  expect(await next()).toBe("retry: 2000\n\n");
  await vi.advanceTimersByTimeAsync(2000);
  expect(await next()).toBe('event: state\ndata: {"ready":true}\n\n');
  expect(state).toHaveBeenCalledTimes(2);
  await reader.cancel();
});
