import { beforeEach, describe, expect, test, vi } from "vitest";
import { type CameraStores, openCameraStores } from "../../../src/cluster/cameras/stores.js";
import type { Cluster } from "../../../src/cluster/connection.js";
import { atEnd, connected, endAll, natsFor, until } from "../../support/archive.js";
import { type MemberSettings, putCameras, recordOf, startMember } from "../../support/cameras.js";
import { scratchPerTest } from "../../support/folders.js";
import { hasNats, type NatsServer, startWire } from "../../support/nats.js";

const at = scratchPerTest();
endAll();
/** Seconds of a lease that ends in a test, and of one that does not. */
const SHORT = 2;
const LONG = 10;
const cameras = ["a", "b", "c", "d", "e", "f"];

let server: NatsServer;
let cluster: Cluster;
let stores: CameraStores;

const join = (name: string, settings: Partial<MemberSettings> = {}) =>
  startMember({ url: server.url, name, lease: SHORT, ...settings });
type Joined = Awaited<ReturnType<typeof join>>;
/** The cameras of members together, in order. */
const all = (...members: Joined[]) => members.flatMap(({ ids }) => ids()).sort();
const counts = (...members: Joined[]) => members.map(({ ids }) => ids().length);

/** Fails claims that a test picks: behind what they do, as if the answer was lost, or before. */
const losingAnswers =
  (fails: (text: string) => boolean, isBefore = false) =>
  (real: CameraStores): CameraStores => ({
    ...real,
    claims: Object.assign(Object.create(real.claims) as CameraStores["claims"], {
      put: async (...entry: Parameters<CameraStores["claims"]["put"]>) => {
        const isFailing = fails(String(entry[1]));
        if (isFailing && isBefore) throw new Error("the server is away");
        const revision = await real.claims.put(...entry);
        if (isFailing) throw new Error("the answer was lost");
        return revision;
      },
    }),
  });

describe.skipIf(!hasNats())("with a real server", () => {
  beforeEach(async () => {
    server = await natsFor(at("nats"));
    cluster = await connected(server.url);
    stores = await openCameraStores(cluster);
  });

  test("members share cameras evenly, and one that comes later gets its share, one at a time", async () => {
    const [one, two] = await Promise.all([join("one"), join("two")]);
    await until(() => expect([one, two].map(({ view }) => view.alive.length)).toEqual([2, 2]));
    await putCameras(stores, cameras);
    await until(() => expect(counts(one, two)).toEqual([3, 3]));
    expect(all(one, two)).toEqual(cameras);
    const before = [one.watched.length, two.watched.length];
    const three = await join("three");
    await until(() => expect(counts(one, two, three)).toEqual([2, 2, 2]));
    expect(all(one, two, three)).toEqual(cameras);
    for (const [i, { watched }] of [one, two].entries()) {
      const sizes = watched.slice(before[i] - 1).map(({ length }) => length);
      expect(sizes.slice(1).every((size, k) => Math.abs(size - sizes[k]) <= 1)).toBe(true);
    }
    // Those that were not given away do not move.
    expect([...one.taken, ...two.taken]).toHaveLength(6);
  });

  test("those that carry more get more, and nobody more than is allowed", async () => {
    const large = await join("large", { capacity: 100 });
    const small = await join("small", { capacity: 50 });
    const limited = await join("limited", { capacity: 1000, most: 1 });
    const members = [large, small, limited];
    await until(() => expect(members.map(({ view }) => view.alive.length)).toEqual([3, 3, 3]));
    await putCameras(stores, cameras);
    await until(() => expect(counts(large, small, limited)).toEqual([3, 2, 1]));
    expect(all(large, small, limited)).toEqual(cameras);
  });

  test("events of a camera that is removed when its member has crashed are ended by another", async () => {
    const one = await join("one");
    await putCameras(stores, ["a"]);
    await until(() => expect(one.ids()).toEqual(["a"]));
    const two = await join("two");
    await until(() => expect(two.view.alive).toHaveLength(2));
    await one.cluster.nats.close();
    await stores.cameras.delete("a");
    await until(() => expect(two.view.claims.get("a")?.value).toMatchObject({ worker: "two" }));
    await until(() => expect(two.view.claims.get("a")?.value?.session).toBeUndefined());
    expect(two.taken).toHaveLength(1);
    expect([two.ids(), [...two.view.left]]).toEqual([[], []]);
  });

  test("a camera that a member cannot watch goes to another, and not back while that is so", async () => {
    const problems: Record<string, string> = {};
    const one = await join("one", { lease: LONG, problems });
    await putCameras(stores, ["a"]);
    await until(() => expect(one.ids()).toEqual(["a"]));
    problems.a = "there is no such file";
    one.member.refuse("a");
    await until(() => expect(one.view.claims.get("a")?.value?.session).toBeUndefined());
    const claims = one.taken.length;
    const two = await join("two", { lease: LONG });
    await until(() => expect(two.ids()).toEqual(["a"]));
    expect([one.ids(), one.taken.length, one.watched.at(-1)]).toEqual([[], claims, []]);
    // Nobody else is there any more: it takes the camera once it can.
    await two.stop();
    await until(() => expect(one.view.claims.get("a")?.value?.session).toBeUndefined());
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(one.ids()).toEqual([]);
    delete problems.a;
    await until(() => expect(one.ids()).toEqual(["a"]));
  });

  test("a camera is not given back while the change that ends it fails: it is tried again", async () => {
    let isFailing = false;
    const problems: Record<string, string> = {};
    const watch = async () => {
      if (isFailing) throw new Error("the model cannot be used");
    };
    const one: Joined = await join("one", { lease: SHORT, problems, watch });
    await putCameras(stores, ["a"]);
    await until(() => expect(one.ids()).toEqual(["a"]));
    isFailing = true;
    problems.a = "there is no such file";
    one.member.refuse("a");
    const session = async () => (await stores.claims.get("a"))?.json<{ session?: string }>().session;
    await new Promise((resolve) => setTimeout(resolve, 1500 * SHORT));
    expect(await session()).toBe(one.member.session);
    expect(one.member.leaseOf("a")).toBeDefined();
    expect(one.lines.filter((line) => line === "the model cannot be used")).toHaveLength(1);
    isFailing = false;
    await until(async () => expect(await session()).toBeUndefined());
    expect(one.watched.at(-1)).toEqual([]);
  });

  test("a member ends with an error once its client does not connect again", async () => {
    const one = await join("one");
    await putCameras(stores, ["a"]);
    await until(() => expect(one.ids()).toEqual(["a"]));
    await one.cluster.nats.close();
    await until(() => expect(one.lines).toContain(`${server.url}: the connection was closed`));
  });

  test("a member that is stopped hands over once its cameras have ended and their events are out", async () => {
    const order: string[] = [];
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const one: Joined = await join("one", {
      lease: LONG,
      watch: async (held) => void order.push(`watches ${held.size}`),
      settled: async () => {
        order.push(`settles, a is ${one.member.leaseOf("a") === undefined ? "gone" : "held"}`);
        await released;
        order.push("settled");
      },
    });
    await putCameras(stores, ["a"]);
    await until(() => expect(one.ids()).toEqual(["a"]));
    const two = await join("two", { lease: SHORT, watch: async (held) => void order.push(`two watches ${held.size}`) });
    const stopped = one.stop();
    await until(() => expect(order.at(-1)).toBe("settles, a is held"));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(two.ids()).toEqual([]);
    release();
    await stopped;
    await until(() => expect(order).toContain("two watches 1"));
    const heard = order.filter((line) => line !== "watches 1");
    expect(heard).toEqual(["watches 0", "settles, a is held", "settled", "two watches 1"]);
    expect(one.member.leaseOf("a")).toBeUndefined();
    await until(() => expect(two.view.workers.has(one.member.session)).toBe(false));
  });

  test("a camera that is given away is another's only once it has ended and its events are out", async () => {
    const one: Joined = await join("one", {
      settled: async () => {
        // It is still this one's until then.
        expect(one.member.leaseOf("a") ?? one.member.leaseOf("b")).toBeDefined();
        const gone = ["a", "b"].find((id) => !one.ids().includes(id))!;
        await new Promise((resolve) => setTimeout(resolve, 500));
        const claim = (await stores.claims.get(gone))?.json<{ session?: string }>();
        seen.push([gone, claim?.session === one.member.session, one.member.leaseOf(gone) !== undefined]);
      },
    });
    const seen: unknown[] = [];
    await putCameras(stores, ["a", "b"]);
    await until(() => expect(one.ids()).toEqual(["a", "b"]));
    const two = await join("two");
    await until(() => expect(counts(one, two)).toEqual([1, 1]));
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(seen).toEqual([[two.ids()[0], true, true]]);
    // It does not take it back for a moment.
    expect(one.watched.filter(({ length }) => length === 2)).toHaveLength(1);
    expect(one.taken).toHaveLength(2);
  });

  test("after a crash, cameras have another member within twice the lease", async () => {
    const lease = 3;
    await putCameras(stores, cameras);
    const one = await join("one", { lease });
    const two = await join("two", { lease });
    await until(() => expect(counts(one, two)).toEqual([3, 3]));
    await one.cluster.nats.close();
    const crashed = performance.now();
    await until(() => expect(two.ids()).toEqual(cameras));
    expect(performance.now() - crashed).toBeLessThan(2000 * lease);
    // The lost one has stopped by then.
    expect(one.ids()).toEqual([]);
  });

  test("one that is cut off stops before another one takes over, and is a new session then", async () => {
    const wire = await startWire(server.port);
    atEnd(wire.close);
    const order: string[] = [];
    const tell = (name: string) => async (held: ReadonlyMap<string, unknown>) =>
      void order.push(`${name} ${held.size}`);
    const one = await join("one", { url: wire.url, watch: tell("one") });
    await putCameras(stores, ["a", "b"]);
    await until(() => expect(one.ids()).toEqual(["a", "b"]));
    const { session } = one.member;
    const two = await join("two", { watch: tell("two"), most: 0 });
    order.length = 0;
    const three = await join("three", { watch: tell("three"), capacity: 20 });
    // Whatever was given away until then.
    const mine = one.ids();
    expect(mine.length).toBeGreaterThan(0);
    wire.stall();
    await until(() => expect(three.ids()).toEqual(["a", "b"]));
    expect(order.lastIndexOf("one 0")).toBeGreaterThanOrEqual(0);
    expect(order.indexOf("one 0")).toBeLessThan(order.indexOf("three 2"));
    expect(one.member.leaseOf(mine[0])).toBeUndefined();
    expect(
      one.lines.some((line) => line.startsWith(`cut off from the server for most of a lease (${SHORT} s): stops`)),
    ).toBe(true);
    wire.flow();
    await until(() => expect(one.member.isCurrent).toBe(true));
    expect(one.member.session).not.toBe(session);
    await until(() => expect(two.view.isAlive(one.member.session)).toBe(true));
    expect(two.view.isAlive(session)).toBe(false);
    await until(() => expect(counts(one, three)).toEqual([1, 1]));
    expect(two.ids()).toEqual([]);
  });

  test("what changes while a camera is held is followed", async () => {
    const seen: unknown[] = [];
    const one = await join("one", {
      watch: async (held) => void seen.push([...held.values()].map(({ id, record }) => [id, record.fps])),
    });
    await putCameras(stores, ["a", "b"]);
    await until(() => expect(one.ids()).toEqual(["a", "b"]));
    const [, revision] = one.taken.find((line) => line.startsWith("a "))!.split(" ");
    await putCameras(stores, ["a"], { fps: 25 });
    await until(() => expect(seen.at(-1)).toEqual(expect.arrayContaining([["a", 25]])));
    // It is the same lease.
    expect(one.member.leaseOf("a")).toBe(Number(revision));
    await putCameras(stores, ["a"], { enabled: false });
    await until(() => expect(seen.at(-1)).toEqual([["b", 10]]));
    await stores.cameras.delete("b");
    await until(() => expect(seen.at(-1)).toEqual([]));
    const sessionOf = async (id: string) => (await stores.claims.get(id))?.json<{ session?: string }>().session;
    await until(async () => expect([await sessionOf("a"), await sessionOf("b")]).toEqual([undefined, undefined]));
    // What is no record is as good as none.
    await stores.cameras.put("a", '{"settings":7}');
    await stores.cameras.put("b", JSON.stringify(recordOf()));
    await until(() => expect(one.ids()).toEqual(["b"]));
    expect(Number(one.member.leaseOf("b"))).toBeGreaterThan(0);
  });

  test("a camera that was taken although the answer was lost is watched", async () => {
    let left = 2;
    const one = await join("one", { change: losingAnswers((text) => text.includes("session") && left-- > 0) });
    await putCameras(stores, ["a", "b"]);
    await until(() => expect(one.ids()).toEqual(["a", "b"]));
    expect(left).toBeLessThanOrEqual(0);
    const revision = (await stores.claims.get("a"))?.revision;
    expect(one.member.leaseOf("a")).toBe(revision);
    expect(one.taken).toHaveLength(2);
  });

  test.each([false, true])("giving a camera back may fail (before it is done: %s)", async (isBefore) => {
    let left = 1;
    const change = losingAnswers((text) => !text.includes("session") && left-- > 0, isBefore);
    const one = await join("one", { change });
    await putCameras(stores, ["a"]);
    await until(() => expect(one.ids()).toEqual(["a"]));
    await putCameras(stores, ["a"], { enabled: false });
    await until(() => expect(left).toBeLessThanOrEqual(0));
    await putCameras(stores, ["a"]);
    await until(() => expect(one.ids()).toEqual(["a"]));
    expect(one.taken).toHaveLength(2);
  });

  test("a server that is away for less than the lease costs nothing; after more they come again", async () => {
    const lease = 3;
    const members = [await join("one", { lease }), await join("two", { lease })];
    const [one, two] = members;
    await putCameras(stores, cameras);
    await until(() => expect(counts(one, two)).toEqual([3, 3]));
    const before = [one.ids(), two.ids(), one.watched.length, two.watched.length, one.member.session];
    await server.end();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await server.start();
    await until(() => cluster.nats.rtt());
    // Behind the time at which they would have been lost.
    await new Promise((resolve) => setTimeout(resolve, 1000 * lease));
    expect([one.ids(), two.ids(), one.watched.length, two.watched.length, one.member.session]).toEqual(before);
    await server.end();
    await until(() => expect(counts(one, two)).toEqual([0, 0]));
    await until(() => expect([one, two].map(({ watched }) => watched.at(-1))).toEqual([[], []]));
    await server.start();
    await until(() => expect(all(one, two)).toEqual(cameras));
    await until(() => expect(counts(one, two)).toEqual([3, 3]));
  });

  test("signs of workers that are gone do not count for those that come", async () => {
    const one = await join("one");
    await putCameras(stores, ["a"]);
    await until(() => expect(one.ids()).toEqual(["a"]));
    const { session } = one.member;
    await one.cluster.nats.close();
    const two = await join("two", { most: 0 });
    await two.view.ready;
    await until(() => expect(two.view.isAlive(session)).toBe(false));
    const three = await join("three", { most: 0 });
    await three.view.ready;
    expect(three.view.workers.has(session)).toBe(true);
    expect(three.view.isAlive(session)).toBe(false);
    // What it reads again is no news, either.
    const seen = vi.spyOn(two.view.workers, "get");
    await two.cluster.nats.reconnect();
    await until(() => expect(seen).toHaveBeenCalledWith(session));
    expect(two.view.isAlive(session)).toBe(false);
  });
});
