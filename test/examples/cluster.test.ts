import { readFileSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { EventStream } from "../../src/cluster/cameras/event_stream.js";
import { Member } from "../../src/cluster/cameras/member.js";
import { openCameraStores } from "../../src/cluster/cameras/stores.js";
import { type Cluster, openCluster } from "../../src/cluster/connection.js";
import { fetchModel, putModel } from "../../src/cluster/models.js";
import { Others } from "../../src/cluster/page/others.js";
import { PageServer } from "../../src/cluster/page/page_server.js";
import { webApp } from "../../src/server/web/app.js";
import { FakeWatch, fakeEvent } from "../server/web/fake_watch.js";
import { atEnd, endAll, natsFor, until } from "../support/archive.js";
import { scratchPerTest } from "../support/folders.js";
import { hasNats } from "../support/nats.js";

const at = scratchPerTest();
endAll();

let port: number;
beforeEach(async () => {
  if (!hasNats()) return;
  const text = readFileSync("examples/cluster/nats.conf", "utf8")
    .replace("/var/lib/nats", at("nats"))
    .replace(/^listen:.*$/m, "")
    .replace("$SUBMITTER_PASSWORD", "submits")
    .replace("$WORKER_PASSWORD", "works");
  writeFileSync(at("nats.conf"), text);
  ({ port } = await natsFor(undefined, "-c", at("nats.conf")));
});

async function connected(user: string, password: string, lease?: number): Promise<Cluster> {
  const worker = lease === undefined ? undefined : { lease, signal: new AbortController().signal, onWait: () => {} };
  const cluster = await openCluster({ url: `nats://${user}:${password}@127.0.0.1:${port}` }, worker);
  atEnd(() => cluster.close());
  return cluster;
}

describe.skipIf(!hasNats())("the users of examples/cluster/nats.conf", () => {
  test("may do what cameras and pages need, and no more", async () => {
    // 1. Whoever says which cameras to watch.
    const submitter = await connected("submitter", "submits");
    const stores = await openCameraStores(submitter);
    writeFileSync(at("model.safetensors"), "the model");
    const model = await putModel(submitter.models, at("model.safetensors"));
    await stores.cameras.put("front", JSON.stringify({ settings: {}, model, fps: 10, enabled: true }));
    // 2. A worker takes the camera, and gets its model.
    const cluster = await connected("worker", "works", 3);
    const own = await openCameraStores(cluster);
    expect(await fetchModel(cluster.models, model, at("models"))).toContain(model.hash);
    const refused: string[] = [];
    const events = new EventStream({
      ...{ cluster, worker: "w", isElsewhere: () => false },
      leaseOf: (camera) => member.leaseOf(camera),
      onRefused: ({ event }) => refused.push(event.id),
    });
    const member: Member = new Member({
      ...{ cluster, stores: own, name: "w", lease: 3, onNotice: () => {} },
      ...{ watch: async () => {}, settled: async () => {} },
      facts: () => ({ isOpen: true, most: 5, capacity: 100 }),
      taken: async (camera) => void (await events.taken(camera)),
    });
    const stop = new AbortController();
    const run = member.run(stop.signal);
    await until(() => expect([...member.cameras.keys()]).toEqual(["front"]));
    await own.learnt.put("front", "{}");
    // 3. Its events arrive, and pages show them.
    await events.send({ change: "new", time: new Date().toISOString(), event: fakeEvent(1) });
    const watch = new FakeWatch(at("data"), "front");
    const other = await connected("worker", "works", 3);
    const pages = new PageServer({ nats: cluster.nats, name: "w", feed: watch.feed, app: webApp(watch, watch.feed) });
    const others = new Others({ cluster: other, stores: own, name: "v" });
    onTestFinished(() => {
      pages.close();
      others.close();
    });
    await until(async () => expect((await others.state()).cameras.map(({ id }) => id)).toEqual(["front"]));
    expect((await others.events({})).map(({ id }) => id)).toEqual([fakeEvent(1).id]);
    const answer = await others.ask("w", { method: "GET", path: "/api/cameras/front/levels", headers: {} });
    expect([answer.status, await answer.json()]).toEqual([200, []]);
    // 4. Neither may do the other's part.
    await expect(own.cameras.put("front", "{}", { timeout: 500 })).rejects.toThrow();
    await expect(stores.claims.put("front", "{}", { timeout: 500 })).rejects.toThrow();
    await expect(submitter.nats.request("sdmae.page.w", "{}", { timeout: 500 })).rejects.toThrow();
    stop.abort();
    await run;
    expect(refused).toEqual([]);
  });
});
