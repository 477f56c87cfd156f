import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { eventSubject, openCameraStores } from "../../../src/cluster/cameras/stores.js";
import { ClusterView } from "../../../src/cluster/cameras/view.js";
import type { Cluster } from "../../../src/cluster/connection.js";
import { CHUNK, LOOK, pageSubject, seenSubject, unpackAnswer } from "../../../src/cluster/page/messages.js";
import { Others } from "../../../src/cluster/page/others.js";
import { PageServer } from "../../../src/cluster/page/page_server.js";
import type { CameraEvent } from "../../../src/server/records.js";
import type { FrameMessage, ListedEvent, WatchState } from "../../../src/server/web/api.js";
import { webApp } from "../../../src/server/web/app.js";
import { FakeWatch, facts, fakeEvent, street } from "../../server/web/fake_watch.js";
import { connected, endAll, natsFor, until } from "../../support/archive.js";
import { scratchPerTest } from "../../support/folders.js";
import { hasNats, type NatsServer } from "../../support/nats.js";

const at = scratchPerTest();
endAll();

let server: NatsServer;
let cluster: Cluster;
let stores: Awaited<ReturnType<typeof openCameraStores>>;

/** A machine that watches some cameras, and serves the page of all. */
async function machine(name: string, ...ids: string[]) {
  const own = await connected(server.url);
  const watch = new FakeWatch(at(name), ...ids);
  watch.isReady = true;
  watch.facts.set("engine", facts);
  const view = new ClusterView(own, stores);
  const others = new Others({ cluster: own, stores, name });
  const pages = new PageServer({ nats: own.nats, name, feed: watch.feed, app: webApp(watch, watch.feed) });
  onTestFinished(() => {
    others.close();
    pages.close();
    view.close();
  });
  const sign = { worker: name, lease: 3600, since: new Date().toISOString(), capacity: 25, isOpen: true };
  await stores.workers.put(`${name}-1`, JSON.stringify(sign));
  const model = { hash: "0".repeat(64), extension: ".safetensors", name: "m" };
  for (const id of ids) {
    await stores.cameras.put(id, JSON.stringify({ settings: {}, model, fps: 10, enabled: true }));
    await stores.claims.put(id, JSON.stringify({ session: `${name}-1`, worker: name, since: sign.since }));
  }
  await view.ready;
  const app = webApp(watch, watch.feed, { elsewhere: others, token: "a-long-token" });
  const get = (path: string, init: RequestInit = {}) => {
    const headers = { host: "localhost", authorization: "Bearer a-long-token", ...init.headers };
    return app.fetch(new Request(`http://localhost${path}`, { ...init, headers }));
  };
  const json = async <T>(path: string) => (await (await get(path)).json()) as T;
  return { name, watch, others, pages, view, app, get, json };
}

/** An event in the stream. */
async function publish(change: string, event: CameraEvent, worker: string): Promise<void> {
  const message = { change, time: new Date().toISOString(), event, revision: 1, worker, open: [] };
  await cluster.jetstream.publish(eventSubject(event.camera), JSON.stringify(message));
}

describe.skipIf(!hasNats())("pages of machines that share cameras", () => {
  beforeEach(async () => {
    server = await natsFor(at("nats"));
    cluster = await connected(server.url);
    stores = await openCameraStores(cluster);
  });

  test("the page of a machine shows the cameras of all, machines, and what nobody watches", async () => {
    const [one] = [await machine("one", "front"), await machine("two", "back", "yard")];
    const two = { cameras: 2, fps: 20 };
    const model = { hash: "0".repeat(64), extension: ".safetensors", name: "m" };
    await stores.cameras.put("attic", JSON.stringify({ settings: {}, model, fps: 5, enabled: true }));
    await stores.cameras.put("cellar", JSON.stringify({ settings: {}, model, fps: 5, enabled: false }));
    await until(() => expect(one.view.cameras.size).toBe(5));
    await until(() => expect(one.view.alive.length).toBe(2));
    const state = await one.json<WatchState>("/api/state");
    expect(state.cameras.map(({ id, machine: of }) => [id, of])).toEqual([
      ["back", "two"],
      ["front", "one"],
      ["yard", "two"],
    ]);
    expect(state.shared).toEqual({
      machines: [
        { name: "one", own: true, cameras: 1, fps: 10, capacity: 25, problems: [] },
        { name: "two", own: false, ...two, capacity: 25, problems: [] },
      ],
      ...{ unwatched: ["attic"], problem: null },
    });
    expect(state.cameras[0].model).toEqual({ hash: "0123abcd", learnt: false });
  });

  test("what is wrong on a machine stands on the pages of all", async () => {
    const [one, two] = [await machine("one", "front"), await machine("two", "back")];
    two.watch.sinks = [{ sink: "mqtt", length: 3, problem: "no broker" }];
    const sign = { worker: "two", lease: 3600, since: new Date().toISOString(), isOpen: true };
    await stores.workers.put("two-1", JSON.stringify({ ...sign, problems: { back: "no such model" } }));
    await until(async () => {
      const { shared } = await one.json<WatchState>("/api/state");
      expect(shared?.machines[1].problems).toEqual([
        "back cannot be watched: no such model",
        "alerts by mqtt: no broker",
      ]);
    });
  });

  test("a worker that is cut off says so to those who ask, and the one that plans counts", async () => {
    const watch = new FakeWatch(at("one"), "front");
    watch.isReady = true;
    const known = { isInTouch: true, figures: undefined as Others["figures"] };
    const others = new Others({
      ...{ cluster, stores, name: "one", isInTouch: () => known.isInTouch, figures: () => known.figures },
    });
    onTestFinished(() => others.close());
    const app = webApp(watch, watch.feed, { elsewhere: others });
    const get = async (path: string) => {
      const answer = await app.fetch(new Request(`http://localhost${path}`, { headers: { host: "localhost" } }));
      return `${answer.status} ${await answer.text()}`;
    };
    const counted = async () => (await get("/metrics")).split("\n").filter((line) => /^sdmae_cluster/.test(line));
    expect(await get("/readyz")).toBe("200 ok\n");
    expect(await counted()).toEqual(["sdmae_cluster_up 1"]);
    Object.assign(known, { isInTouch: false, figures: { workers: 3, unwatched: 2 } });
    expect(await get("/readyz")).toBe("503 cut off from the server: nothing is watched\n");
    expect(await counted()).toEqual([
      "sdmae_cluster_up 0",
      "sdmae_cluster_workers 3",
      "sdmae_cluster_unwatched_cameras 2",
    ]);
    known.figures = undefined;
    expect(await counted()).toEqual(["sdmae_cluster_up 0"]);
  });

  test("frames of other machines come only while a page is open, and not more than it asks for", async () => {
    const [one, two] = [await machine("one", "front"), await machine("two", "back")];
    const seen: FrameMessage[] = [];
    const messages: string[] = [];
    cluster.nats.subscribe(seenSubject("one"), { callback: (_, message) => void messages.push(message.string()) });
    await cluster.nats.flush();
    two.watch.outcome(two.watch.cameras[0]);
    await sleep(50);
    expect(messages).toEqual([]);
    const stop = one.others.listen({ onFrame: (frame) => seen.push(frame), onChange: () => {} });
    await until(() => expect(messages.length).toBe(1));
    for (let i = 0; i < 5; i++) two.watch.outcome(two.watch.cameras[0], { level: i });
    await until(() => expect(seen.length).toBe(1));
    expect(seen[0]).toMatchObject({ camera: "back", level: 0, map: { rows: 2, columns: 3 } });
    stop();
  });

  test("pictures, levels and clips come from the machine that has them, clips in parts", async () => {
    const [one, two] = [await machine("one", "front"), await machine("two", "back")];
    two.watch.cameras[0].picture = await street(0.5);
    await until(async () => expect(await one.others.machineOf("back")).toBe("two"));
    const picture = await one.get("/api/cameras/back/picture.jpg");
    expect(picture.headers.get("content-type")).toBe("image/jpeg");
    expect(new Uint8Array(await picture.arrayBuffer())).toEqual(two.watch.cameras[0].picture);
    expect(await one.json("/api/cameras/back/levels")).toEqual([]);
    const clip = randomBytes(2 * CHUNK + 1000);
    const event = fakeEvent(1, { camera: "back" });
    const path = `/files/machines/two/${two.watch.file(event, "mp4", clip)}`;
    const whole = await one.get(path);
    expect(whole.status).toBe(200);
    expect(whole.headers.get("content-length")).toBe(String(clip.length));
    expect(whole.headers.get("content-type")).toBe("video/mp4");
    expect(Buffer.from(await whole.arrayBuffer()).equals(clip)).toBe(true);
    for (const [first, last] of [
      [0, 9],
      [100, CHUNK + 200],
      [CHUNK, 2 * CHUNK + 999],
      [5, 9_999_999],
    ]) {
      const end = Math.min(last, clip.length - 1);
      const part = await one.get(path, { headers: { range: `bytes=${first}-${last}` } });
      expect([first, part.status]).toEqual([first, 206]);
      expect(part.headers.get("content-range")).toBe(`bytes ${first}-${end}/${clip.length}`);
      expect(part.headers.get("content-length")).toBe(String(end - first + 1));
      expect(Buffer.from(await part.arrayBuffer()).equals(clip.subarray(first, end + 1))).toBe(true);
    }
    const open = await one.get(path, { headers: { range: `bytes=${CHUNK + 7}-` } });
    expect(Buffer.from(await open.arrayBuffer()).equals(clip.subarray(CHUNK + 7))).toBe(true);
    const head = await one.get(path, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, String(clip.length)]);
    const tag = whole.headers.get("etag") ?? "";
    expect((await one.get(path, { headers: { "if-none-match": tag } })).status).toBe(304);
    expect((await one.get(path, { headers: { range: "bytes=99999999-" } })).status).toBe(416);
    expect((await one.get(path.replace("mp4", "jpg"))).status).toBe(404);
    // The headers that keep other sites out are there as well.
    expect(whole.headers.get("x-content-type-options")).toBe("nosniff");
  });

  test("events come from the stream, with files on the machine that made them", async () => {
    const [one, two] = [await machine("one", "front"), await machine("two", "back")];
    const mine = fakeEvent(1, { camera: "front", clip: "clips/front/a.mp4" });
    const theirs = fakeEvent(2, { camera: "back", id: "b-1", snapshot: "clips/back/b.jpg" });
    await publish("new", mine, "one");
    await publish("new", theirs, "two");
    const end = { ...theirs, end: theirs.start, reason: "its worker was lost" };
    await publish("end", end, "one");
    const listed = await one.json<ListedEvent[]>("/api/events");
    expect(listed).toEqual([{ ...end, snapshot: "machines/two/clips/back/b.jpg" }, mine]);
    expect(await one.json("/api/events?camera=front")).toEqual([mine]);
    expect(await one.json("/api/events?limit=1")).toHaveLength(1);
    const changes: string[] = [];
    const stop = one.others.listen({
      onFrame: () => {},
      onChange: ({ change, event }) => changes.push(`${change} ${event.id}`),
    });
    onTestFinished(stop);
    two.watch.events = [theirs];
    const said = await one.get("/api/events/b-1/normal", { method: "POST", headers: { origin: "http://localhost" } });
    expect([said.status, two.watch.normal]).toEqual([200, ["b-1"]]);
    await publish("feedback", { ...end, feedback: "normal" }, "two");
    await until(() => expect(changes).toEqual(["feedback b-1"]));
  });

  test("a camera of another machine is calibrated there; without the Origin of the page, nothing is", async () => {
    const [one, two] = [await machine("one", "front"), await machine("two", "back")];
    await until(async () => expect(await one.others.machineOf("back")).toBe("two"));
    expect((await one.get("/api/cameras/back/calibrate", { method: "POST" })).status).toBe(200);
    const other = { method: "POST", headers: { origin: "http://evil.example", authorization: "" } };
    expect((await one.get("/api/cameras/back/calibrate", other)).status).toBe(403);
    expect(two.watch.recalibrated).toEqual(["back"]);
    expect((await one.get("/api/cameras/nowhere/levels")).status).toBe(404);
  });

  test("other machines may ask for pictures and clips, and for nothing else", async () => {
    const { watch } = await machine("two", "back");
    watch.events = [fakeEvent(1, { camera: "back" })];
    const ask = async (request: unknown) => {
      const { data } = await cluster.nats.request(pageSubject("two"), JSON.stringify(request), { timeout: 5000 });
      return unpackAnswer(data).head.status;
    };
    const get = (path: string) => ask({ method: "GET", path, headers: {} });
    for (const path of ["/metrics", "/api/state", "/api/events", "/", "/api/stream", "/api/cameras/back/live.mjpeg"]) {
      expect([path, await get(path)]).toEqual([path, 404]);
    }
    for (const path of [
      "/files/clips/../events/x.jpg",
      "/files/clips/%2e%2e/x.mp4",
      "/files/clips/x.yaml",
      "//evil/",
    ]) {
      expect([path, await get(path)]).toEqual([path, 404]);
    }
    expect(await ask({ method: "GET", path: "/api/cameras/back/levels", headers: { host: "evil.example" } })).toBe(200);
    expect(await ask({ method: "PUT", path: "/api/cameras/back/levels", headers: {} })).toBe(404);
    expect(await ask("nothing")).toBe(404);
  });

  test("a server that is away is a problem that the page shows", async () => {
    const one = await machine("one", "front");
    const problem = async () => (await one.json<WatchState>("/api/state")).shared?.problem;
    expect(await problem()).toBeNull();
    await server.end();
    await until(async () => expect(await problem()).toMatch(/^The server nats:\S+ does not answer/));
    await server.start();
    await until(async () => expect(await problem()).toBeNull());
  });

  test("hostile messages do no harm, and a machine that is gone is named", async () => {
    const one = await machine("one", "front");
    const state = { type: "state", machine: "bad", cameras: [{ id: "../x" }], problems: [] };
    const stop = one.others.listen({ onFrame: () => expect.unreachable(), onChange: () => expect.unreachable() });
    onTestFinished(stop);
    for (const text of ["", "{", "null", JSON.stringify(state), JSON.stringify({ type: "frame", machine: "bad" })]) {
      cluster.nats.publish(seenSubject("one"), text);
      cluster.nats.publish(LOOK, text);
      await cluster.jetstream.publish(eventSubject("front"), text);
    }
    cluster.nats.publish(LOOK, JSON.stringify({ page: "a.b.>", frames: 1 }));
    await cluster.nats.flush();
    await sleep(100);
    const { cameras } = await one.json<WatchState>("/api/state");
    expect(cameras.map(({ id }) => id)).toEqual(["front"]);
    expect(await one.json("/api/events")).toEqual([]);
    const gone = await one.get("/files/machines/gone/clips/a.mp4");
    expect([gone.status, await gone.json()]).toEqual([502, { error: "gone does not answer: it is not there now" }]);
    expect((await one.get("/files/machines/a.b/clips/a.mp4")).status).toBe(404);
  });

  test("an answer that is no answer is an error, and the page goes on", async () => {
    const one = await machine("one", "front");
    for (const data of [new Uint8Array(), Uint8Array.of(0, 0, 0, 9, 1), Buffer.from("\0\0\0\x02{}")]) {
      const subscription = cluster.nats.subscribe(pageSubject("odd"), {
        callback: (_, message) => void message.respond(data),
      });
      await cluster.nats.flush();
      expect((await one.get("/files/machines/odd/clips/a.mp4")).status).toBe(502);
      subscription.unsubscribe();
    }
  });
});
