import { expect, test } from "vitest";
import type { ScoreSettings } from "../../../src/detector/settings.js";
import type { TokenMaps } from "../../../src/detector/token_maps.js";
import { uniformGenerator } from "../../../src/random.js";
import { type DecisionOptions, Decisions, type WatchedCamera } from "../../../src/server/camera/decisions.js";
import type { NormalState } from "../../../src/server/camera/learner.js";
import type { CameraEvent } from "../../../src/server/records.js";

const fps = 10;
const size = { width: 96, height: 64 };
const settings = {
  score: "teacher",
  frameScore: { scoring: "top-anomaly", tokens: "all", topK: 1, minMotion: 0 },
} as ScoreSettings;

const usual: WatchedCamera = {
  ...{ id: "front", threshold: { day: 0.5 }, alarmsPerDay: 1, minimum: 0.5, hold: 1, cooldown: 0, area: 0 },
  ...{ ignore: [], zones: [], schedule: "always", shadow: false },
};

/** A coloured picture with edges everywhere, and some noise. */
function picture(t: number, change: (value: number, x: number, y: number) => number = (value) => value): Uint8Array {
  const random = uniformGenerator(t + 1);
  return Uint8Array.from({ length: 3 * size.width * size.height }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % size.width, Math.floor(i / 3 / size.width)];
    const value = 60 + 60 * ((Math.floor(x / 12) + Math.floor(y / 8)) % 2) + 20 * (i % 3) + 4 * random();
    return change(value, x, y);
  });
}

/** 4×6 tokens, of which some are abnormal. */
function tokens(values: Readonly<Record<number, number>> = {}): TokenMaps {
  const empty = () => new Float32Array(24);
  const anomaly = Float32Array.from({ length: 24 }, (_, i) => values[i] ?? 0.1);
  return {
    ...{ rows: 4, columns: 6, student: empty(), target: empty(), anomaly, motion: empty() },
    ...{ movingAnomaly: empty(), largestMotion: empty(), visible: new Uint8Array(24) },
  };
}

/** A camera, and what became of its events. */
class Scene {
  readonly changes: { change: string; event: CameraEvent }[] = [];
  readonly decisions: Decisions;
  readonly learnt: [string, NormalState][] = [];
  t = 0;
  /** Milliseconds since 1970 at the begin. */
  wall = 1e12;
  number = 1000;

  constructor(camera: Partial<WatchedCamera> = {}, options: Partial<DecisionOptions> = {}) {
    let id = 0;
    this.decisions = new Decisions(
      { ...usual, ...camera },
      {
        newId: () => `e${++id}`,
        emit: (change, event) => this.changes.push({ change, event }),
        learnt: (mode, state) => this.learnt.push([mode, state]),
        ...options,
      },
    );
    this.decisions.ready(settings);
    this.decisions.connected(this.number);
  }

  /** Some seconds in which tokens have these values. */
  play(seconds: number, values: (t: number) => Readonly<Record<number, number>> = () => ({}), image = picture): void {
    for (let i = 0; i < seconds * fps; i++) {
      const time = { steady: this.t / fps, wall: this.wall + (1000 * this.t) / fps, stream: this.t / fps };
      this.decisions.frame(image(this.t), size, this.number, time);
      this.decisions.score({ number: this.number, tokens: tokens(values(this.t)) });
      this.t++;
      this.number++;
    }
  }

  get time() {
    return { steady: this.t / fps, wall: this.wall + (1000 * this.t) / fps, stream: Number.NaN };
  }

  told(): string[] {
    return this.changes.map(({ change, event }) => `${change} ${event.kind} ${event.id}`);
  }
}

const abnormal = (token: number) => () => ({ [token]: 0.9 });

test("an anomaly begins, and ends when the level has fallen; its box is where it was", () => {
  const scene = new Scene();
  scene.play(5);
  scene.play(2, abnormal(8));
  scene.play(4);
  expect(scene.told()).toEqual(["new anomaly e1", "end anomaly e1"]);
  const [begin, end] = scene.changes.map(({ event }) => event);
  // Averaged over half a second, the level passes 0.5 with the third abnormal frame.
  expect(Date.parse(begin.start) - 1e12).toBeGreaterThanOrEqual(5000);
  expect(Date.parse(begin.start) - 1e12).toBeLessThanOrEqual(5400);
  expect(begin.threshold).toBe(0.5);
  expect(end.peak?.level).toBeCloseTo(0.9, 5);
  const { x, y, width, height } = end.peak!.box!;
  expect([x * 6, y * 4, width * 6, height * 4].map(Math.round)).toEqual([2, 1, 1, 1]);
  expect(Date.parse(end.end!) - 1e12).toBeGreaterThan(7000);
});

test("what is ignored raises nothing, and zones that are abnormal are named", () => {
  // The left half of the frame is ignored, its right third is two zones.
  const ignore = [
    [
      [0, 0],
      [0.5, 0],
      [0.5, 1],
      [0, 1],
    ],
  ] as const;
  const zones = [
    {
      name: "door",
      polygon: [
        [0.66, 0],
        [1, 0],
        [1, 0.5],
        [0.66, 0.5],
      ] as const,
    },
    {
      name: "gate",
      polygon: [
        [0.66, 0.5],
        [1, 0.5],
        [1, 1],
        [0.66, 1],
      ] as const,
    },
  ];
  const scene = new Scene({ ignore, zones });
  scene.play(3, abnormal(8));
  expect(scene.told()).toEqual([]);
  scene.play(3, abnormal(23));
  scene.play(3, () => ({ 23: 0.9, 5: 0.95 }));
  scene.play(4);
  expect(scene.told().at(0)).toBe("new anomaly e1");
  expect(scene.told().at(-1)).toBe("end anomaly e1");
  expect(scene.changes[0].event.zones).toEqual(["gate"]);
  expect(scene.changes.at(-1)?.event.zones).toEqual(["door", "gate"]);
});

test("a zone is named whenever it is abnormal, not at the highest moment only", () => {
  const half = (name: string, left: number) => {
    const polygon = [
      [left, 0],
      [left + 0.5, 0],
      [left + 0.5, 1],
      [left, 1],
    ] as const;
    return { name, polygon };
  };
  const zones = [half("street", 0), half("door", 0.5)];
  const scene = new Scene({ zones });
  scene.play(3);
  // Five abnormal frames: when the alarm is raised, they are over.
  scene.play(0.5, () => ({ 0: 1 }));
  scene.play(0.2);
  expect(scene.changes.map(({ change, event }) => [change, event.zones])).toEqual([["new", ["street"]]]);
  scene.play(5);
  expect(scene.told()).toEqual(["new anomaly e1", "end anomaly e1"]);
  scene.play(1, () => ({ 0: 0.95 }));
  scene.play(0.2, () => ({ 0: 0.9, 5: 0.9 }));
  expect(scene.changes.slice(2).map(({ change, event }) => [change, event.zones])).toEqual([
    ["new", ["street"]],
    ["update", ["street", "door"]],
  ]);
});

test("a small region raises nothing if an area is asked for", () => {
  const scene = new Scene({ area: 0.1 });
  scene.decisions.ready(settings, {
    day: { state: known, seen: { seconds: 600, blocks: [], median: 0.1, mapHigh: 0.4 } },
  });
  scene.play(3, abnormal(8));
  expect(scene.told()).toEqual([]);
  scene.play(3, () => ({ 8: 0.9, 9: 0.9, 14: 0.9 }));
  expect(scene.told().at(0)).toBe("new anomaly e1");
});

const known: NormalState = {
  ...{ threshold: 0.5, normal: 0.1, alarmsPerDay: 1, extrapolation: 1, seconds: 600, mapHigh: 0.4, minutes: [] },
};

test("a change of the whole picture is an event of its own, and holds anomalies back", () => {
  const scene = new Scene();
  scene.play(5);
  const dark = (t: number) => picture(t, (value) => value / 3);
  scene.play(2, abnormal(8), dark);
  scene.play(10, () => ({}), dark);
  expect(scene.told()).toEqual(["new scene_change e1", "end scene_change e1"]);
  scene.play(3, abnormal(8), dark);
  expect(scene.told().at(-1)).toBe("new anomaly e2");
});

test("a change of the whole picture ends with its connection", () => {
  const scene = new Scene();
  scene.play(5);
  const dark = (t: number) => picture(t, (value) => value / 3);
  scene.play(1, undefined, dark);
  expect(scene.told()).toEqual(["new scene_change e1"]);
  scene.number += 1000;
  scene.decisions.connected(scene.number);
  expect(scene.told()).toEqual(["new scene_change e1", "end scene_change e1"]);
  expect(scene.decisions.isQuiet).toBe(true);
});

test("a camera that is covered is reported once its usual view is known", () => {
  const scene = new Scene();
  // 120 pictures, one every five seconds.
  for (let i = 0; i < 121; i++) {
    scene.play(0.1);
    scene.t += 49;
  }
  scene.play(
    20,
    () => ({}),
    (t) => picture(t, (_, x) => 70 + (x % 2)),
  );
  expect(scene.told()).toContain("new camera_moved e2");
  scene.play(20);
  expect(scene.told()).toContain("end camera_moved e2");
});

test("a lost stream ends the event, and is an event itself after ten seconds", () => {
  const scene = new Scene();
  scene.play(3);
  scene.play(2, abnormal(3));
  scene.decisions.lost("cam: no picture came", 3, scene.time);
  expect(scene.told()).toEqual(["new anomaly e1", "end anomaly e1"]);
  expect(scene.changes[1].event.reason).toBe("the stream was lost");
  scene.decisions.lost("cam: no picture came", 12, scene.time);
  scene.decisions.lost("cam: no picture came", 25, scene.time);
  expect(scene.told().slice(2)).toEqual(["new offline e2"]);
  expect(scene.changes[2].event.text).toBe("cam: no picture came");
  scene.number += 1000;
  scene.decisions.connected(scene.number);
  // A few frames may be all that comes.
  scene.play(1);
  expect(scene.told()).toHaveLength(3);
  scene.play(3);
  expect(scene.told().at(-1)).toBe("end offline e2");
});

test("the first frames of a connection have no neighbours and count for nothing", () => {
  const scene = new Scene();
  scene.play(0.3, abnormal(3));
  scene.play(2);
  expect(scene.told()).toEqual([]);
});

test("shadow mode, a schedule that is off, and the cooldown make silent events", () => {
  for (const camera of [{ shadow: true }, { schedule: "never" }]) {
    const scene = new Scene(camera);
    scene.play(2);
    scene.play(2, abnormal(3));
    expect(scene.changes[0].event.silent).toBe(true);
  }
  const scene = new Scene({ cooldown: 10 });
  for (let i = 0; i < 3; i++) {
    scene.play(3, abnormal(3));
    scene.play(4);
  }
  const begun = scene.changes.filter(({ change }) => change === "new").map(({ event }) => event.silent ?? false);
  // Seven seconds apart: the second falls into the cooldown of the first, the third does not.
  expect(begun).toEqual([false, true, false]);
});

test("an anomaly that goes on when alerts are on again is a new event, which alerts", () => {
  const told = ({ changes }: Scene) =>
    changes.map(({ change, event }) => `${change} ${event.id} ${event.silent ?? false}`);
  const cooled = new Scene({ cooldown: 10 });
  cooled.play(3, abnormal(3));
  cooled.play(5);
  cooled.play(20, abnormal(3));
  expect(told(cooled)).toEqual(["new e1 false", "end e1 false", "new e2 true", "end e2 true", "new e3 false"]);
  expect(cooled.changes[3].event.reason).toMatch(/^alerts are on again/);
  const paused = new Scene();
  paused.decisions.isPaused = true;
  paused.play(5, abnormal(3));
  paused.decisions.isPaused = false;
  paused.play(2, abnormal(3));
  expect(told(paused)).toEqual(["new e1 true", "end e1 true", "new e2 false"]);
  const shadow = new Scene({ shadow: true });
  shadow.play(20, abnormal(3));
  expect(told(shadow)).toEqual(["new e1 true"]);
});

test("a threshold that was learnt during an event is used after it", () => {
  const scene = new Scene({ threshold: {}, alarmsPerDay: 200 }, { learnFirst: 60 });
  scene.play(61, () => ({ 3: 0.6 }));
  const first = scene.decisions.threshold!;
  const event = (level: number) => {
    scene.play(5, () => ({ 3: level }));
    scene.play(5);
  };
  event(2 * first);
  expect(scene.told()).toEqual(["new anomaly e1", "end anomaly e1"]);
  // It is found again while an event goes on, and has fallen.
  scene.play(1, () => ({ 3: 3 * first }));
  const { learnt } = scene;
  const before = learnt.length;
  for (let i = 0; i < 1000 && learnt.length === before; i++) scene.play(1, () => ({ 3: 3 * first }));
  expect(learnt.length).toBe(before + 1);
  scene.play(5);
  const { threshold } = scene.decisions;
  scene.play(3, () => ({ 3: 10 * threshold! }));
  expect(scene.changes.at(-1)?.event.threshold).toBe(threshold);
});

test("without a threshold it learns one, and then finds what is above", () => {
  const scene = new Scene({ threshold: {} }, { learnFirst: 120 });
  const random = uniformGenerator(7);
  const normal = () => ({ 3: 0.2 + 0.1 * random() });
  scene.play(60, normal);
  expect(scene.decisions.threshold).toBeUndefined();
  expect(scene.decisions.learning).toBeCloseTo(0.5, 1);
  scene.play(61, normal);
  expect(scene.learnt).toHaveLength(1);
  const [mode, { threshold, seconds }] = scene.learnt[0];
  expect(mode).toBe("day");
  expect(seconds).toBeGreaterThan(110);
  expect(threshold).toBeGreaterThan(0.25);
  expect(threshold).toBeLessThan(0.9);
  expect(scene.told()).toEqual([]);
  scene.play(3, abnormal(3));
  expect(scene.told()).toEqual(["new anomaly e1"]);
});

test("what was learnt is used at once, for the rate of false alarms that is wanted now", () => {
  const scene = new Scene({ threshold: {}, alarmsPerDay: 1000 });
  const blocks = Array.from({ length: 120 }, (_, i) => 0.2 + i / 1000);
  const seen = { seconds: 600, blocks, median: 0.1, mapHigh: 0.4 };
  scene.decisions.ready(settings, { day: { state: { ...known, alarmsPerDay: 1000 }, seen } });
  expect(scene.decisions.threshold).toBe(0.5);
  // 1000 a day are 6.94 in ten minutes: the middle between the sixth and the seventh block.
  scene.decisions.ready(settings, { day: { state: known, seen } });
  expect(scene.decisions.threshold).toBeCloseTo((blocks[113] + blocks[114]) / 2, 9);
  expect(scene.decisions.learnt).toMatchObject({ alarmsPerDay: 1000, seconds: 600 });
  // Without a minute of video there is nothing to find another one from.
  scene.decisions.ready(settings, { day: { state: known, seen: { ...seen, blocks: [0.2] } } });
  expect(scene.decisions.threshold).toBe(0.5);
});

test("what was learnt can be forgotten: events end, and it learns again", () => {
  const scene = new Scene({ threshold: {} }, { learnFirst: 60 });
  const usualView = (t: number) => picture(t);
  const other = (t: number) => picture(t, (value, x, y) => (value % 8) + 90 * (Math.floor((x + 2 * y) / 7) % 2));
  for (let i = 0; i < 121; i++) {
    scene.play(0.1, undefined, usualView);
    scene.t += 49;
  }
  expect(Object.keys(scene.decisions.view.references)).toEqual(["day"]);
  scene.decisions.ready(settings, { day: { state: known, seen: { seconds: 60, blocks: [], median: 0, mapHigh: 1 } } });
  scene.play(15, undefined, other);
  scene.play(2, abnormal(3), other);
  const open = () => scene.changes.filter(({ change, event }) => change !== "end" && !ended(event.id));
  const ended = (id: string) => scene.changes.some(({ change, event }) => change === "end" && event.id === id);
  expect(open().map(({ event }) => event.kind)).toEqual(["camera_moved", "anomaly"]);

  scene.decisions.forget();
  expect(open()).toEqual([]);
  expect(scene.changes.at(-1)?.event.reason).toBe("it is learnt again");
  expect(scene.decisions).toMatchObject({ threshold: undefined, learning: 0, known: {} });
  expect(scene.decisions.view.references).toEqual({});
  const before = scene.changes.length;
  scene.play(65, abnormal(3), other);
  // What was abnormal is normal now, and the new view is the usual one.
  expect(scene.decisions.threshold).toBeGreaterThan(0.9);
  expect(scene.changes).toHaveLength(before);
});

test("day and infrared have thresholds of their own", () => {
  const gray = (t: number) => picture(t).map((_, i, all) => all[i - (i % 3)]);
  const scene = new Scene({ threshold: { day: 0.95, infrared: 0.5 } });
  scene.play(3, abnormal(3));
  expect(scene.told()).toEqual([]);
  scene.play(8, () => ({}), gray);
  scene.play(3, abnormal(3), gray);
  expect(scene.told().filter((line) => line.includes("anomaly"))).toEqual([expect.stringMatching(/^new anomaly/)]);
});

test("a threshold of the day is none in infrared, where one is learnt", () => {
  const gray = (t: number) => picture(t).map((_, i, all) => all[i - (i % 3)]);
  const scene = new Scene({ threshold: { day: 0.5 } }, { learnFirst: 60 });
  scene.play(8, undefined, gray);
  expect(scene.decisions.mode).toBe("infrared");
  expect(scene.decisions.threshold).toBeUndefined();
  scene.play(65, undefined, gray);
  expect(scene.learnt.map(([mode]) => mode)).toEqual(["infrared"]);
  scene.play(8);
  expect(scene.decisions.threshold).toBe(0.5);
});

test("a camera with other settings alerts no sooner than the one before would have", () => {
  const before = new Scene({ cooldown: 60 });
  before.play(3);
  before.play(2, abnormal(3));
  before.decisions.isPaused = true;
  const after = new Scene({ cooldown: 60 });
  after.decisions.continueFrom(before.decisions);
  expect(after.decisions.isPaused).toBe(true);
  after.decisions.isPaused = false;
  after.play(3);
  after.play(2, abnormal(3));
  expect(after.changes[0].event.silent).toBe(true);
});

test("events that go on end with the process", () => {
  const scene = new Scene();
  scene.play(3);
  scene.play(2, abnormal(3));
  scene.decisions.close(scene.time, "the process has ended");
  expect(scene.told()).toEqual(["new anomaly e1", "end anomaly e1"]);
  expect(scene.changes[1].event.reason).toBe("the process has ended");
  scene.play(3, abnormal(3));
  expect(scene.changes).toHaveLength(2);
});

test("an event during which the clock is set back has no time before its start", () => {
  const scene = new Scene();
  scene.play(3);
  scene.play(1, abnormal(8));
  scene.wall -= 3_600_000;
  scene.play(1, () => ({ 8: 0.99 }));
  scene.play(3);
  const { event } = scene.changes.at(-1)!;
  expect(scene.told()).toEqual(["new anomaly e1", "end anomaly e1"]);
  expect(event.end).toBe(event.start);
  expect(event.peak?.time).toBe(event.start);
});
