import { describe, expect, test } from "vitest";
import * as spread from "../../../src/cluster/cameras/spread.js";

const { Carried, drawn } = spread;
type Worker = Omit<spread.SpreadWorker, "carried">;
type Camera = spread.SpreadCamera & { owner?: string };

const cameras = (count: number, settings: Partial<Camera> = {}): Camera[] =>
  Array.from({ length: count }, (_, i) => ({ id: `camera-${i}`, fps: 5, ...settings }));
const worker = (session: string, settings: Partial<Worker> = {}): Worker => ({
  ...{ session, isOpen: true, capacity: 100 },
  ...settings,
});
const workers = (count: number, settings: Partial<Worker> = {}) =>
  Array.from({ length: count }, (_, i) => worker(`worker-${i}`, settings));

/** Workers with the cameras whose owners they are. */
const carrying = (found: readonly Camera[], all: readonly Worker[]) =>
  all.map((one) => ({ ...one, carried: new Carried(found.filter(({ owner }) => owner === one.session)) }));
const freeOf = (found: readonly Camera[]) => found.filter(({ owner }) => owner === undefined);
const assign = (found: readonly Camera[], all: readonly Worker[]) => spread.assign(freeOf(found), carrying(found, all));
const surplusOf = (found: readonly Camera[], all: readonly Worker[]) => spread.surplus(carrying(found, all));
/** The camera that a worker is to give away. */
const surplus = (me: string, found: readonly Camera[], all: readonly Worker[]) => {
  const move = surplusOf(found, all);
  return move?.session === me ? move.id : undefined;
};

/** Numbers from 0 to 1, the same in each run. */
function dice(seed: number): () => number {
  let at = 0;
  return () => drawn(`${seed}.${at++}`) / 2 ** 32;
}

function shuffled<T>(list: readonly T[], random: () => number): T[] {
  return list
    .map((value) => ({ value, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value);
}

/** What cameras become once all workers have taken what is theirs. */
function taken(found: readonly Camera[], all: readonly Worker[]): Camera[] {
  const given = assign(found, all);
  return found.map((camera) => {
    const owner = camera.owner ?? given.get(camera.id);
    return { ...camera, ...(owner !== undefined && { owner }) };
  });
}

/** Cameras, or their frames per second, by worker. */
function counts(found: readonly Camera[], cost: (camera: Camera) => number = () => 1) {
  const result: Record<string, number> = {};
  for (const camera of found) {
    if (camera.owner !== undefined) result[camera.owner] = (result[camera.owner] ?? 0) + cost(camera);
  }
  return result;
}

/**
 * Lets workers take and give until nothing moves.
 * @returns cameras as they are then, and those that were given away, in turn
 */
function settle(begun: readonly Camera[], all: readonly Worker[], most = 500) {
  let now = taken(begun, all);
  const moves: string[] = [];
  for (;;) {
    const move = surplusOf(now, all);
    if (!move) return { cameras: now, moves };
    const { session, id } = move;
    expect(now.find((one) => one.id === id)?.owner).toBe(session);
    now = taken(
      now.map(({ owner, ...camera }) => (camera.id === id || owner === undefined ? camera : { ...camera, owner })),
      all,
    );
    const owner = now.find((one) => one.id === id)?.owner;
    expect(owner).toBeDefined();
    expect(owner).not.toBe(session);
    moves.push(id);
    expect(moves.length).toBeLessThan(most);
  }
}

describe("cameras that nobody has", () => {
  test("are spread by what workers carry", () => {
    const all = [worker("small", { capacity: 50 }), worker("large", { capacity: 150 })];
    expect(counts(taken(cameras(20), all))).toEqual({ small: 5, large: 15 });
  });

  test("go to those that are less used, and others keep theirs", () => {
    const all = [worker("busy"), worker("idle")];
    const begun = [...cameras(6, { owner: "busy" }), { id: "free-0", fps: 5 }, { id: "free-1", fps: 5 }];
    expect([...assign(begun, all)]).toEqual([
      ["free-0", "idle"],
      ["free-1", "idle"],
    ]);
  });

  test("count as used with the camera: a large one does not fill a small worker that has none", () => {
    const all = [worker("small", { capacity: 10 }), worker("large")];
    const begun = [{ id: "had", fps: 10, owner: "large" }, ...cameras(1, { fps: 10 })];
    expect(assign(begun, all).get("camera-0")).toBe("large");
  });

  test("stay free if no worker has room", () => {
    const all = workers(2, { capacity: 12 });
    expect(counts(taken(cameras(5), all))).toEqual({ "worker-0": 2, "worker-1": 2 });
    expect(assign(cameras(1, { fps: 30 }), all).size).toBe(0);
    expect(assign(cameras(1), []).size).toBe(0);
  });

  test("all get a worker if there is just enough room", () => {
    const all = workers(7, { capacity: 15 });
    expect(assign(cameras(21), all).size).toBe(21);
    // Small ones first would take half of each worker.
    const mixed = [...cameras(2, { fps: 10 }), { id: "large", fps: 20 }];
    expect(assign(mixed, workers(2, { capacity: 20 })).size).toBe(3);
  });

  test("fractions of frames per second fill a worker exactly", () => {
    // 1.34 + 1.34 + 1.34 is not 4.02 in floating point.
    expect(assign(cameras(3, { fps: 1.34 }), workers(1, { capacity: 4.02 })).size).toBe(3);
  });
});

describe("a worker's limits", () => {
  test("it takes its most cameras, and not one more", () => {
    const all = [worker("few", { most: 2 }), worker("many", { most: 7 })];
    expect(counts(taken(cameras(20), all))).toEqual({ few: 2, many: 7 });
    expect(assign(cameras(1), [worker("none", { most: 0 })]).size).toBe(0);
  });

  test("cameras are spread by the most that workers take, if that is all that is known", () => {
    const capacity = Number.MAX_SAFE_INTEGER;
    const all = [worker("few", { most: 4, capacity }), worker("many", { most: 12, capacity })];
    expect(counts(taken(cameras(8), all))).toEqual({ few: 2, many: 6 });
    // Nor does such a worker take all before one that was measured has any.
    const measured = [worker("measured", { capacity: 50 }), worker("given", { most: 10, capacity })];
    expect(counts(taken(cameras(10), measured))).toEqual({ measured: 5, given: 5 });
  });

  test("the most of one that was measured is a limit, and no share", () => {
    const all = [worker("large"), worker("small", { capacity: 50 }), worker("limited", { capacity: 1000, most: 1 })];
    expect(counts(taken(cameras(6, { fps: 10 }), all))).toEqual({ large: 3, small: 2, limited: 1 });
  });

  test("one that is not open takes nothing, and its cameras count", () => {
    const all = [worker("closed", { isOpen: false }), worker("open", { capacity: 20 })];
    expect(counts(taken(cameras(9), all))).toEqual({ open: 4 });
    expect(surplus("closed", cameras(9, { owner: "closed" }), all)).toBe("camera-0");
    expect(surplus("open", cameras(4, { owner: "open" }), all)).toBeUndefined();
  });

  test("one whose capacity is not known takes one camera", () => {
    const all = [worker("unknown", { capacity: undefined }), worker("known", { capacity: 20 })];
    expect(counts(taken(cameras(9), all))).toEqual({ unknown: 1, known: 4 });
    expect(assign(cameras(3), [worker("unknown", { capacity: undefined })]).size).toBe(1);
    expect(assign(cameras(3), [worker("unknown", { capacity: undefined, most: 2 })]).size).toBe(1);
  });

  test("one that can score nothing gets nothing", () => {
    const all = [worker("slow", { capacity: 0 }), worker("fast")];
    expect(counts(taken(cameras(3), all))).toEqual({ fast: 3 });
  });
});

describe("balance", () => {
  test("a worker that came gets its part, one camera at a time, and then nothing moves", () => {
    const all = workers(4);
    const { cameras: end, moves } = settle(
      cameras(12).map((camera, i) => ({ ...camera, owner: `worker-${i % 3}` })),
      all,
    );
    expect(counts(end)).toEqual({ "worker-0": 3, "worker-1": 3, "worker-2": 3, "worker-3": 3 });
    expect(moves).toHaveLength(3);
  });

  test("what cannot be better stays", () => {
    const all = workers(3);
    const even = cameras(7).map((camera, i) => ({ ...camera, owner: `worker-${i % 3}` }));
    expect(settle(even, all).moves).toEqual([]);
    expect(settle(cameras(1, { owner: "worker-0" }), all).moves).toEqual([]);
    expect(settle(cameras(5, { owner: "worker-0" }), workers(1)).moves).toEqual([]);
  });

  test("a camera does not go to and fro between a small and a large worker", () => {
    // The small one is used least before it has the camera, and most with it.
    const all = [worker("small", { capacity: 10 }), worker("large", { capacity: 100 }), worker("full")];
    const begun = [
      ...cameras(9, { owner: "full", fps: 10 }),
      ...[0, 1].map((i) => ({ id: `of-large-${i}`, fps: 10, owner: "large" })),
    ];
    const { cameras: end, moves } = settle(begun, all);
    expect(new Set(moves).size).toBe(moves.length);
    expect(counts(end, ({ fps }) => fps)).toEqual({ full: 60, large: 50 });
  });

  test("a camera that nobody else can carry does not keep others from being balanced", () => {
    const all = [worker("stuck", { capacity: 30 }), worker("busy"), worker("idle", { capacity: 29 })];
    const begun = [{ id: "huge", fps: 30, owner: "stuck" }, ...cameras(10, { owner: "busy" })];
    const { cameras: end } = settle(begun, all);
    expect(counts(end)).toEqual({ stuck: 1, busy: 8, idle: 2 });
  });

  test("only one worker gives, and it gives what costs least", () => {
    const all = workers(3);
    const begun = [
      ...[9, 7, 7, 8].map((fps, i) => ({ id: `c-${i}`, fps, owner: "worker-1" })),
      ...cameras(5, { owner: "worker-0" }),
    ];
    expect(all.map(({ session }) => surplus(session, begun, all))).toEqual([undefined, "c-1", undefined]);
  });

  test("ends from any beginning, with all kinds of workers", () => {
    for (let seed = 0; seed < 60; seed++) {
      const random = dice(seed);
      const pick = (most: number) => Math.floor(most * random());
      const all = Array.from({ length: 2 + pick(6) }, (_, i) =>
        worker(`w-${i}`, {
          capacity: [undefined, 20, 60, 90.5, 200, Number.MAX_SAFE_INTEGER][pick(6)],
          ...(random() < 0.4 && { most: pick(9) }),
          isOpen: random() < 0.85,
        }),
      );
      const begun = Array.from({ length: pick(40) }, (_, i) => ({
        ...{ id: `c-${i}`, fps: [1, 2.5, 5, 10, 29.97][pick(5)] },
        ...(random() < 0.7 && { owner: `w-${pick(all.length)}` }),
      }));
      const end = settle(begun, all).cameras;
      expect(settle(end, all).moves).toEqual([]);
    }
  });
});

describe("all workers come to the same", () => {
  const all = [
    ...workers(40, { capacity: 61.3 }),
    ...Array.from({ length: 20 }, (_, i) => worker(`mixed-${i}`, { capacity: 40 + 0.1 * i, most: 3 + (i % 5) })),
  ];
  const found = Array.from({ length: 600 }, (_, i) => ({
    ...{ id: `c-${i}`, fps: [1.1, 2.3, 5, 7.7][i % 4] },
    ...(i % 3 === 0 && { owner: `worker-${i % 40}` }),
  }));

  test("in whatever order they have heard of cameras and workers", () => {
    const random = dice(1);
    const given = assign(found, all);
    const settled = taken(found, all);
    const giver = all.filter(({ session }) => surplus(session, settled, all) !== undefined);
    expect(given.size).toBeGreaterThan(300);
    expect(giver.length).toBeLessThanOrEqual(1);
    for (let time = 0; time < 5; time++) {
      const [mixedCameras, mixedWorkers] = [shuffled(found, random), shuffled(all, random)];
      expect(new Map(assign(mixedCameras, mixedWorkers))).toEqual(given);
      const [mixed] = [shuffled(settled, random)];
      for (const { session } of all) {
        expect(surplus(session, mixed, mixedWorkers)).toBe(surplus(session, settled, all));
      }
    }
  });

  test("also when some have taken theirs already", () => {
    const given = assign(cameras(50), workers(8));
    const mine = cameras(50).map((camera) => {
      const owner = given.get(camera.id);
      return owner === "worker-3" || owner === "worker-5" ? { ...camera, owner } : camera;
    });
    const rest = assign(mine, workers(8));
    expect([...rest].every(([id, session]) => given.get(id) === session)).toBe(true);
  });

  test("lists that are handed over stay as they are", () => {
    const [before, frozen] = [structuredClone(found), Object.freeze([...found])];
    assign(frozen, Object.freeze([...all]));
    surplus("worker-1", frozen, Object.freeze([...all]));
    expect(frozen).toEqual(before);
  });
});

test("what a worker carries is counted as it comes and goes", () => {
  const carried = new Carried(cameras(3, { fps: 1.34 }));
  carried.add({ id: "camera-1", fps: 7 });
  carried.add({ id: "camera-9", fps: 1.2 });
  expect(carried).toMatchObject({ size: 4, frames: 10_880 });
  expect(carried.smallest(new Set())).toMatchObject({ id: "camera-9" });
  expect(carried.smallest(new Set(["camera-9", "camera-0"]))).toMatchObject({ id: "camera-2" });
  for (const id of ["camera-9", "camera-9", "camera-1", "none"]) carried.delete(id);
  expect(carried).toMatchObject({ size: 2, frames: 2680 });
  expect(carried.smallest(new Set())).toMatchObject({ id: "camera-0" });
  expect([...carried].map(({ id }) => id)).toEqual(["camera-0", "camera-2"]);
  for (const { id } of carried) carried.delete(id);
  expect(carried).toMatchObject({ size: 0, frames: 0 });
  expect(carried.smallest(new Set())).toBeUndefined();
});

test("draws are spread", () => {
  const low = Array.from({ length: 1000 }, (_, i) => drawn(`worker-${i}`)).filter((one) => one < 2 ** 31);
  expect(low.length).toBeGreaterThan(400);
  expect(low.length).toBeLessThan(600);
});

describe("a camera that some workers cannot watch", () => {
  const ids = ["camera-0", "camera-1"];
  const all = [worker("a", { refuses: ids }), worker("b"), worker("c", { refuses: ["camera-1"] })];

  test("goes to the least used of the others, or to nobody", () => {
    const given = assign(cameras(6), all);
    expect(["b", "c"]).toContain(given.get("camera-0"));
    expect(given.get("camera-1")).toBe("b");
    expect([...given.values()].sort()).toEqual(["a", "a", "b", "b", "c", "c"]);
    const nobody = all.map((one) => ({ ...one, refuses: ids }));
    expect([...assign(cameras(3), nobody).keys()]).toEqual(["camera-2"]);
  });

  test("does not move for balance, if it must stay", () => {
    const found = carrying(cameras(4, { owner: "b" }), [worker("b"), worker("c")]);
    expect(spread.surplus(found, new Set(["camera-0", "camera-1"]))?.id).toBe("camera-2");
    expect(spread.surplus(found, { has: () => true })).toBeUndefined();
  });

  test("does not move for balance: it might come back again and again", () => {
    const found = cameras(2, { owner: "b" });
    expect(surplus("b", found, [worker("b"), worker("c")])).toBe("camera-0");
    expect(surplus("b", found, all)).toBeUndefined();
    expect(surplus("b", cameras(4, { owner: "b" }), all)).toBe("camera-2");
  });
});
