import { describe, expect, it } from "vitest";
import { eventMetrics } from "../../src/eval/events.js";

/** 10 frames a second. */
const video = (scores: number[], labels: number[]) => ({
  name: "a video",
  times: scores.map((_, i) => i / 10),
  scores,
  labels,
});

/** `count` times a value. */
const times = (count: number, value: number) => new Array<number>(count).fill(value);

describe("event-level figures", () => {
  it("counts events found, false alarms per hour and delays", () => {
    // 36 s = 0.01 h. Events: frames 50…99 (alarm from 60: 1 s late), 200…249 (missed),
    // 300…349 (an alarm from 290 to 310 was on already: no delay). A false alarm at 150.
    const scores = times(360, 0);
    const labels = times(360, 0);
    const fill = (list: number[], first: number, last: number) => list.fill(1, first, last + 1);
    for (const [first, last] of [
      [60, 70],
      [150, 152],
      [290, 310],
    ])
      fill(scores, first, last);
    for (const [first, last] of [
      [50, 99],
      [200, 249],
      [300, 349],
    ])
      fill(labels, first, last);
    const found = eventMetrics([video(scores, labels)], 0.5);
    expect(found).toMatchObject({ threshold: 0.5, events: 3, found: 2, alarms: 3, falseAlarms: 1 });
    expect(found?.hours).toBeCloseTo(0.01, 12);
    expect(found?.falseAlarmsPerHour).toBeCloseTo(100, 9);
    expect(found?.delay?.median).toBeCloseTo(0.5, 12);
    expect(found?.delay?.longest).toBeCloseTo(1, 12);
  });

  it("takes alarms less than a second apart for one", () => {
    // At or above 1 in frames 0, 9 and 20: 0.8 s of silence, then 1 s.
    const scores = times(30, 0);
    for (const i of [0, 9, 20]) scores[i] = 1;
    expect(eventMetrics([video(scores, times(30, 0))], 1)).toMatchObject({ alarms: 2, falseAlarms: 2 });
  });

  it("adds up videos, and has no delay if nothing is found", () => {
    const quiet = video(times(18, 0), [...times(9, 1), ...times(9, 0)]);
    const { hours, ...found } = eventMetrics([quiet, quiet], 1) ?? {};
    expect(hours).toBeCloseTo(3.6 / 3600, 12);
    expect(found).toEqual({ threshold: 1, events: 2, found: 0, alarms: 0, falseAlarms: 0, falseAlarmsPerHour: 0 });
    expect(eventMetrics([], 1)).toBeUndefined();
  });

  it("does not count scores that are not numbers", () => {
    const scores = [1, Number.NaN, 0, 0];
    expect(eventMetrics([video(scores, [0, 0, 1, 1])], 1)).toMatchObject({ alarms: 1, falseAlarms: 1, found: 0 });
  });
});
