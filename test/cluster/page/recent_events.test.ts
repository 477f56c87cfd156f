import { expect, test } from "vitest";
import type { Cluster } from "../../../src/cluster/connection.js";
import { RecentEvents } from "../../../src/cluster/page/recent_events.js";

test("the connection holds on to nothing once the events are closed", async () => {
  const listeners = new Set<object>();
  const status = () => {
    let stop: () => void = () => {};
    const stopped = new Promise<void>((resolve) => {
      stop = resolve;
    });
    const one = {
      stop,
      async *[Symbol.asyncIterator]() {
        yield { type: "reconnect" };
        await stopped;
        listeners.delete(one);
      },
    };
    listeners.add(one);
    return one;
  };
  const away = () => Promise.reject(new Error("away"));
  const cluster = { nats: { status }, manager: { streams: { info: away } } } as unknown as Cluster;
  const events = new RecentEvents(cluster, () => {});
  void events.begin();
  expect(listeners.size).toBe(1);
  events.close();
  await new Promise(setImmediate);
  expect(listeners.size).toBe(0);
});
