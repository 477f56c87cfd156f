import { beforeEach, describe, expect, test } from "vitest";
import type { Plan } from "../../../src/cluster/cameras/messages.js";
import { type CameraStores, LEADER, openCameraStores } from "../../../src/cluster/cameras/stores.js";
import type { Cluster } from "../../../src/cluster/connection.js";
import { connected, endAll, natsFor, until } from "../../support/archive.js";
import { type MemberSettings, putCameras, startMember } from "../../support/cameras.js";
import { scratchPerTest } from "../../support/folders.js";
import { hasNats, type NatsServer } from "../../support/nats.js";

const at = scratchPerTest();
endAll();
/** Seconds. */
const LEASE = 3;
const cameras = ["a", "b", "c", "d"];

let server: NatsServer;
let cluster: Cluster;
let stores: CameraStores;

const join = (name: string, settings: Partial<MemberSettings> = {}) =>
  startMember({ url: server.url, name, lease: LEASE, ...settings });
type Joined = Awaited<ReturnType<typeof join>>;
const leaders = (members: readonly Joined[]) => members.filter(({ member }) => member.isLeading);
/** Starts members, and waits until one of them leads. */
async function led(...names: string[]) {
  const members = await Promise.all(names.map((name) => join(name)));
  await until(() => expect(leaders(members)).toHaveLength(1));
  const [leader] = leaders(members);
  return { members, leader, others: members.filter((one) => one !== leader) };
}
const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe.skipIf(!hasNats())("with a real server", () => {
  beforeEach(async () => {
    server = await natsFor(at("nats"));
    cluster = await connected(server.url);
    stores = await openCameraStores(cluster);
  });

  test("one leads, and the others hear of nobody else", async () => {
    const { members, others } = await led("one", "two", "three", "four");
    await putCameras(stores, cameras);
    await until(() => expect(members.map(({ ids }) => ids().length)).toEqual([1, 1, 1, 1]));
    await sleep(1000);
    const heard = () => others.map(({ cluster: { nats } }) => nats.stats().inMsgs);
    const before = heard();
    await sleep(1000 * LEASE);
    // Each lease, the leader gives three messages and the server answers three signs of life.
    for (const [i, count] of heard().entries()) expect(count - before[i]).toBeLessThanOrEqual(12);
    expect(leaders(members)).toHaveLength(1);
  });

  test("after the leader has crashed another one leads, and its cameras are taken within twice the lease", async () => {
    const { leader, others } = await led("one", "two", "three");
    await putCameras(stores, cameras);
    await until(() => expect([leader, ...others].flatMap(({ ids }) => ids()).sort()).toEqual(cameras));
    await leader.cluster.nats.close();
    const crashed = performance.now();
    await until(() => expect(others.flatMap(({ ids }) => ids()).sort()).toEqual(cameras));
    expect(performance.now() - crashed).toBeLessThan(2000 * LEASE);
    expect(leaders(others)).toHaveLength(1);
  });

  test("a worker whose lease is another than the leader's says so, once", async () => {
    await led("one");
    const two = await join("two", { lease: 4 });
    const line = `one has a lease of ${LEASE} s, this worker one of 4 s: give all workers the same --lease`;
    await until(() => expect(two.lines).toContain(line));
    await sleep(1500);
    expect(two.lines.filter((one) => one === line)).toHaveLength(1);
  });

  test("a leader that is stopped lets another one lead at once", async () => {
    const { leader, others } = await led("one", "two");
    await leader.stop();
    const stopped = performance.now();
    await until(() => expect(leaders(others)).toHaveLength(1));
    expect(performance.now() - stopped).toBeLessThan(1000 * LEASE);
  });

  test("a worker that begins again leads at once if it was the leader", async () => {
    const { leader } = await led("one");
    await putCameras(stores, ["a"]);
    await until(() => expect(leader.ids()).toEqual(["a"]));
    await leader.cluster.nats.close();
    const crashed = performance.now();
    const again = await join("one");
    await until(() => expect(again.ids()).toEqual(["a"]));
    expect(performance.now() - crashed).toBeLessThan(1000 * LEASE);
    expect(again.member.isLeading).toBe(true);
    // Nobody keeps the sign of life of the session before.
    await until(async () => {
      const entry = await stores.workers.get(leader.member.session);
      expect(entry?.operation).not.toBe("PUT");
    });
  });

  test("who leads is decided by the store: a leader that is replaced plans nothing more", async () => {
    const { leader } = await led("one");
    await putCameras(stores, ["a"]);
    await until(() => expect(leader.ids()).toEqual(["a"]));
    await stores.plans.put(LEADER, JSON.stringify({ session: "other-1", worker: "other", lease: 3600 }));
    await until(() => expect(leader.member.isLeading).toBe(false));
    await putCameras(stores, ["b"]);
    await sleep(1000 * LEASE);
    expect(leader.ids()).toEqual(["a"]);
    expect(leader.member.isLeading).toBe(false);
  });

  test("the plan of an earlier leader, and what is no plan, change nothing", async () => {
    const { leader } = await led("one");
    await putCameras(stores, ["a"]);
    await until(() => expect(leader.ids()).toEqual(["a"]));
    const { session } = leader.member;
    const plan = await until(async () => {
      const found = (await stores.plans.get(session))!.json<Plan>();
      expect(found.cameras).toMatchObject([{ id: "a", own: true }]);
      return found;
    });
    await stores.plans.put(LEADER, JSON.stringify({ session: "other-1", worker: "other", lease: 3600 }));
    await until(() => expect(leader.member.isLeading).toBe(false));
    for (const text of ["{", JSON.stringify({ ...plan, cameras: 7 })]) await stores.plans.put(session, text);
    await stores.plans.put(session, JSON.stringify({ ...plan, cameras: [], term: plan.term - 1 }));
    // A plan that does not know of a claim yet says nothing of its camera.
    await stores.plans.put(session, JSON.stringify({ ...plan, cameras: [], known: leader.member.leaseOf("a")! - 1 }));
    await sleep(500);
    expect([leader.ids(), leader.watched]).toEqual([["a"], [["a"]]]);
    await stores.plans.put(session, JSON.stringify({ ...plan, cameras: [] }));
    await until(() => expect(leader.ids()).toEqual([]));
  });

  test("a camera that its worker does not take is for another one", async () => {
    const isFree = new Set<string>();
    const hanging = (real: CameraStores): CameraStores => ({
      ...real,
      claims: Object.assign(Object.create(real.claims) as CameraStores["claims"], {
        put: async (...entry: Parameters<CameraStores["claims"]["put"]>) => {
          if (!isFree.has(entry[0])) throw new Error("it hangs");
          return real.claims.put(...entry);
        },
      }),
    });
    const one = await join("one", { change: hanging });
    await until(() => expect(one.member.isLeading).toBe(true));
    await putCameras(stores, ["a"]);
    await sleep(300);
    const two = await join("two", { capacity: 10 });
    await until(() => expect(two.ids()).toEqual(["a"]));
    expect(one.ids()).toEqual([]);
    // With no one else, it is tried again.
    await putCameras(stores, ["b"]);
    await sleep(1000 * LEASE);
    isFree.add("b");
    await until(() => expect(one.ids()).toEqual(["b"]));
  });

  test("a worker that falls silent is named, and so are cameras that nobody watches for a lease", async () => {
    const problems: Record<string, string> = {};
    const leader = await join("one", { problems });
    await until(() => expect(leader.member.isLeading).toBe(true));
    const two = await join("two");
    await putCameras(stores, ["a", "b"]);
    await until(() => expect([leader.ids().length, two.ids().length]).toEqual([1, 1]));
    await two.cluster.nats.close();
    const lost = "two gives no sign of life: 1 camera for other workers";
    await until(() => expect(leader.lines).toContain(lost));
    problems.c = "there is no such file";
    leader.member.tell();
    await putCameras(stores, ["c"]);
    await until(() => expect(leader.lines).toContain("nobody watches c: no worker has room, or can watch them"));
    delete problems.c;
    await until(() => expect(leader.ids()).toEqual(["a", "b", "c"]));
    await until(() => expect(leader.lines).toContain("c: watched again, or not wanted any longer"));
  });

  test("a worker that does not know what it carries is told with which camera to measure", async () => {
    const problems: Record<string, string> = {};
    const one = await join("one", { capacity: Number.NaN, problems });
    await until(() => expect(one.member.isLeading).toBe(true));
    expect(one.member.toMeasure).toBeUndefined();
    await putCameras(stores, ["a"], { enabled: false });
    await putCameras(stores, ["b", "c"]);
    await until(() => expect(one.member.toMeasure).toBe("b"));
    problems.b = "there is no such file";
    one.member.tell();
    await until(() => expect(one.member.toMeasure).toBe("c"));
  });
});
