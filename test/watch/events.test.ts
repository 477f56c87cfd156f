import { describe, expect, it } from "vitest";
import { type AlarmRule, Level, usualAlarmRule } from "../../src/watch/alarm_rule.js";
import { EventFinder, releaseLevel, type Thresholds, type WatchEventChange } from "../../src/watch/events.js";

const plain: AlarmRule = { average: 0, minimum: 0, release: 1, hold: 1 };

/** Runs scores at a frame rate through a finder; also what became of events, as "kind@frame". */
function watch(scores: readonly number[], thresholds: Thresholds, rule: Partial<AlarmRule>, fps = 10) {
  const finder = new EventFinder(thresholds, { ...plain, ...rule });
  const said: string[] = [];
  const events: WatchEventChange["event"][] = [];
  const take = (change: WatchEventChange | undefined, at: number) => {
    if (change && change.kind !== "update") said.push(`${change.kind}@${at}`);
    if (change?.kind === "end") events.push(change.event);
  };
  scores.forEach((score, frame) => {
    take(finder.push({ frame, time: frame / fps, score }), frame);
  });
  take(finder.finish(), scores.length);
  return { said, events };
}

const repeat = (count: number, value: number) => new Array<number>(count).fill(value);

describe("the level", () => {
  it("is the mean of the last seconds", () => {
    const level = new Level({ ...plain, average: 0.3 });
    const levels = [3, 6, 0, 3, 9].map((score, i) => level.push({ time: i / 10, score }).level);
    // of 3; 3, 6; 3, 6, 0; 6, 0, 3; 0, 3, 9
    expect(levels).toEqual([3, 4.5, 3, 3, 4]);
  });

  it("is sustained at the least level of the minimum duration, once the video has run so long", () => {
    const level = new Level({ ...plain, minimum: 0.3 });
    const sustained = [5, 4, 6, 7, 8].map((score, i) => level.push({ time: i / 10, score }).sustained);
    expect(sustained).toEqual([Number.NaN, Number.NaN, 4, 4, 6]);
  });

  it("leaves out scores that are not numbers", () => {
    const level = new Level({ ...plain, average: 1 });
    expect([2, Number.NaN, 4].map((score, i) => level.push({ time: i / 10, score }).level)).toEqual([2, 2, 3]);
  });

  it("refuses a rule of nonsense", () => {
    expect(() => new Level({ ...plain, average: -1 })).toThrow("average of -1 s");
    expect(() => new Level({ ...plain, release: 2 })).toThrow("release 2");
    expect(() => new Level({ ...plain, hold: Number.NaN })).toThrow("hold of NaN s");
  });
});

describe("events", () => {
  it("begin at the threshold, and end once it was silent long enough", () => {
    const scores = [...repeat(5, 0), 1, 3, 2, ...repeat(20, 0)];
    const { said, events } = watch(scores, { threshold: 1 }, {});
    expect(said).toEqual(["new@5", "end@17"]); // the last high frame is 7; a second later is 17
    expect(events).toEqual([
      {
        id: 1,
        start: { frame: 5, time: 0.5 },
        raised: { frame: 5, time: 0.5 },
        end: { frame: 7, time: 0.7 },
        peak: { frame: 6, time: 0.6, level: 3 },
      },
    ]);
  });

  it("need the minimum duration without a break", () => {
    const high = (count: number) => [0, ...repeat(count, 1), ...repeat(20, 0)];
    expect(watch(high(4), { threshold: 1 }, { minimum: 0.5 }).said).toEqual([]);
    const { said, events } = watch(high(5), { threshold: 1 }, { minimum: 0.5 });
    expect(said[0]).toBe("new@5");
    expect(events[0]).toMatchObject({ start: { frame: 1 }, raised: { frame: 5 }, end: { frame: 5 } });
    const broken = [...repeat(4, 1), 0, ...repeat(4, 1), 0];
    expect(watch(broken, { threshold: 1 }, { minimum: 0.5 }).said).toEqual([]);
  });

  it("mean the same at any frame rate: a frame lasts until the next", () => {
    const slow = watch([0, 1, 0, 0], { threshold: 1 }, { minimum: 0.5 }, 1);
    expect(slow.said).toEqual(["new@1", "end@2"]);
    // 15 of 30 frames per second are half a second.
    const fast = [...repeat(30, 0), ...repeat(15, 1), ...repeat(60, 0)];
    expect(watch(fast, { threshold: 1 }, { minimum: 0.5 }, 30).said[0]).toBe("new@44");
  });

  it("go on down to the release level, between the normal level and the threshold", () => {
    const thresholds = { threshold: 2, normal: 1 };
    expect(releaseLevel(thresholds, { ...plain, release: 0.8 })).toBeCloseTo(1.8, 12);
    expect(releaseLevel({ threshold: 2 }, { ...plain, release: 0.8 })).toBe(2);
    expect(releaseLevel({ threshold: 1, normal: 3 }, usualAlarmRule)).toBe(1);
    const scores = [2, ...repeat(15, 1.85), ...repeat(15, 1.7)];
    expect(watch(scores, thresholds, { release: 0.8 }).events[0].end.frame).toBe(15);
    expect(watch(scores, thresholds, { release: 1 }).events[0].end.frame).toBe(0);
  });

  it("join over a silence shorter than the hold, and are told apart by a longer one", () => {
    const scores = [1, ...repeat(9, 0), 1, ...repeat(12, 0), 1];
    const { events } = watch(scores, { threshold: 1 }, {});
    expect(events.map(({ id, start, end }) => [id, start.frame, end.frame])).toEqual([
      [1, 0, 10],
      [2, 23, 23],
    ]);
  });

  it("keep the box of their peak", () => {
    const finder = new EventFinder({ threshold: 1 }, plain);
    const box = (x1: number) => ({ x1, y1: 0, x2: 9, y2: 9 });
    for (const [frame, score] of [1, 5, 2].entries()) finder.push({ frame, time: frame, score, box: box(frame) });
    expect(finder.current?.peak).toEqual({ frame: 1, time: 1, level: 5, box: box(1) });
    expect(finder.finish()).toMatchObject({ kind: "end", event: { end: { frame: 2 } } });
    expect(finder.finish()).toBeUndefined();
  });
});
