import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import { LOOK, pageSubject, unpackAnswer } from "../../../src/cluster/page/messages.js";
import { PageServer } from "../../../src/cluster/page/page_server.js";
import { webApp } from "../../../src/server/web/app.js";
import { FakeWatch } from "../../server/web/fake_watch.js";
import { scratchPerTest } from "../../support/folders.js";

const at = scratchPerTest();

test("a state that cannot be told, and a connection that closes, end nothing", async () => {
  const asked = new Map<string, (message: Partial<Msg>) => void>();
  const published: string[] = [];
  const nats = {
    subscribe: (subject: string, { callback }: { callback(error: null, message: Partial<Msg>): void }) => {
      asked.set(subject, (message) => callback(null, message));
      return { unsubscribe: () => {} };
    },
    isClosed: () => false,
    publish: (_: string, text: string) => void published.push(JSON.parse(text).type),
  } as unknown as NatsConnection;
  const watch = new FakeWatch(at(), "back");
  const server = new PageServer({ nats, name: "two", feed: watch.feed, app: webApp(watch, watch.feed) });
  const settled = () => new Promise((resolve) => setTimeout(resolve, 50));
  const failures: unknown[] = [];
  const onFailure = (error: unknown) => void failures.push(error);
  process.on("unhandledRejection", onFailure);
  try {
    const data = Buffer.from(JSON.stringify({ page: "one", frames: 1 }));
    const modelOf = watch.modelOf;
    watch.modelOf = () => {
      throw new TypeError("there is no model");
    };
    asked.get(LOOK)?.({ data });
    await settled();
    expect(published).toEqual([]);
    watch.modelOf = modelOf;
    asked.get(LOOK)?.({ data });
    await settled();
    expect(published).toEqual(["state"]);

    const request = Buffer.from(JSON.stringify({ method: "GET", path: "/api/cameras/back/levels", headers: {} }));
    const statuses: number[] = [];
    const respond = (answer?: unknown) => {
      statuses.push(unpackAnswer(answer as Uint8Array).head.status);
      throw new Error("the connection is closed");
    };
    asked.get(pageSubject("two"))?.({ data: request, respond });
    await settled();
    expect(statuses).toEqual([200, 500]);
  } finally {
    process.off("unhandledRejection", onFailure);
    server.close();
  }
  expect(failures).toEqual([]);
});
