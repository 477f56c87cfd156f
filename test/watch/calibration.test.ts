import { describe, expect, it } from "vitest";
import {
  alarmsAt,
  checkLengths,
  histogram,
  minutePeaks,
  NormalCollector,
  thresholdFor,
} from "../../src/watch/calibration.js";

const rule = { average: 0, minimum: 0, release: 1, hold: 1 };
/** Normal video whose blocks of 5 s have these peaks. */
const normal = (blocks: number[]) => ({ seconds: 5 * blocks.length, median: 0, blocks });

describe("normal video", () => {
  it("is kept as the peaks of blocks of 5 s", () => {
    const collector = new NormalCollector(rule);
    // 12 s at 1 frame per second: 0…4, 5…9, 10…11; then a second video of 3 frames.
    for (let i = 0; i < 12; i++) collector.push({ time: 100 + i, score: i % 5 === 2 ? i : 1 });
    collector.endVideo();
    for (let i = 0; i < 3; i++) collector.push({ time: i, score: 4 });
    const found = collector.finish();
    expect(found).toEqual({ seconds: 13, median: 1, blocks: [2, 7, 1, 4] });
    // 15 levels; sorted: ten 1, then 2, 4, 4, 4, 7: the quantile 12/14 is the second 4.
    expect(collector.quantile(12 / 14)).toBe(4);
    expect(collector.quantile(1)).toBe(7);
  });

  it("has alarms where neighbouring blocks count once", () => {
    const blocks = [1, 5, 6, 1, 5, 1, 7];
    expect([8, 7, 5, 0].map((threshold) => alarmsAt(normal(blocks), threshold))).toEqual([0, 1, 3, 1]);
  });

  it("has a peak per minute", () => {
    const blocks = Array.from({ length: 26 }, (_, i) => i);
    expect(minutePeaks(normal(blocks))).toEqual([11, 23, 25]);
  });

  it("is refused without a level", () => {
    const collector = new NormalCollector({ ...rule, minimum: 10 });
    collector.push({ time: 0, score: 1 });
    expect(() => collector.finish()).toThrow("too short");
  });
});

describe("a threshold for a rate", () => {
  it("lies between the peaks that may raise alarms and those that may not, if the video is long enough", () => {
    // Minutes with the peaks 1…120. 24 alarms a day are 2 in 2 hours: 120 and 119.
    const blocks = Array.from({ length: 120 }, (_, minute) => new Array<number>(12).fill(minute + 1)).flat();
    expect(thresholdFor(normal(blocks), 24)).toEqual({ threshold: 118.5, alarmsPerDay: 24, extrapolation: 0.5 });
  });

  it("lies above equal peaks, of which all would raise alarms: still video has none above 0", () => {
    // Two hours, in eight minutes of which something moved; 240 alarms a day are 20 in two hours.
    const blocks = Array.from({ length: 120 }, (_, minute) => new Array<number>(12).fill(minute < 8 ? 1 : 0)).flat();
    const { threshold } = thresholdFor(normal(blocks), 240);
    expect(threshold).toBeGreaterThan(0);
    expect(threshold).toBeLessThan(0.001);
  });

  it("continues the tail if it is not", () => {
    // 100 s: 20 blocks. The highest five (9, 8, 7, 6, 5) exceed 4 by 3 on average.
    const blocks = [...new Array<number>(15).fill(4), 5, 6, 7, 8, 9];
    const found = thresholdFor(normal(blocks), 1);
    // A day has 17,280 blocks: 4 + 3 ln(5/20 · 17280) = 4 + 3 ln 4320 = 4 + 3 · 8.3710106…
    expect(found.threshold).toBeCloseTo(29.113, 3);
    expect(found.extrapolation).toBeCloseTo(864, 9); // a day is 864 times 100 s
  });

  it("uses minutes from half an hour on", () => {
    // 30 minutes with the peaks 1…30: the highest 6 over 24 have a mean excess of 3.5.
    const blocks = Array.from({ length: 30 }, (_, minute) => [minute + 1, ...new Array<number>(11).fill(0)]).flat();
    // 24 + 3.5 ln(6/30 · 1440) = 24 + 3.5 · 5.6629604…
    expect(thresholdFor(normal(blocks), 1).threshold).toBeCloseTo(43.8204, 3);
  });

  it("stays below the largest possible score", () => {
    const stretched = [...new Array<number>(15).fill(0.4), 0.5, 0.6, 0.7, 0.8, 0.9];
    const blocks = stretched.map((value) => 1 - Math.exp(-value));
    // In the stretched scores: 0.4 + 0.3 ln 4320 = 2.9113; 1 − e^−2.9113 = 0.945594.
    expect(thresholdFor(normal(blocks), 1, 1).threshold).toBeCloseTo(0.9456, 3);
  });

  it("is above every normal peak, even if scores are all the same", () => {
    const same = thresholdFor(normal(new Array<number>(20).fill(0.5)), 1);
    expect(same.threshold).toBeGreaterThan(0.5);
    expect(alarmsAt(normal(new Array<number>(20).fill(0.5)), same.threshold)).toBe(0);
    expect(thresholdFor(normal(new Array<number>(20).fill(0)), 1).threshold).toBeGreaterThan(0);
  });

  it("needs a minute", () => {
    expect(() => thresholdFor(normal(new Array<number>(11).fill(1)), 1)).toThrow("55 s of normal video are too little");
    expect(() => thresholdFor(normal(new Array<number>(12).fill(1)), 0)).toThrow("not above 0");
  });

  it("is refused by lengths alone exactly if there cannot be twelve blocks", () => {
    // Frames at 0, 5, 10, … s begin a block each.
    expect(() => checkLengths([54])).toThrow("54 s of normal video are too little");
    expect(() => checkLengths([55])).not.toThrow();
    expect(() => checkLengths([24, 29])).toThrow("53 s of normal video are too little");
    expect(() => checkLengths([25, 29])).not.toThrow();
    // What passes is enough if every block has a level.
    const collector = new NormalCollector(rule);
    for (let time = 0; time <= 55; time++) collector.push({ time, score: 1 });
    expect(() => thresholdFor(collector.finish(), 1)).not.toThrow();
  });
});

describe("a histogram", () => {
  it("counts from the least value to its end", () => {
    expect(histogram([0, 1, 1.5, 4], 4, 4)).toEqual([
      { from: 0, to: 1, count: 1 },
      { from: 1, to: 2, count: 2 },
      { from: 2, to: 3, count: 0 },
      { from: 3, to: 4, count: 1 },
    ]);
  });

  it("has one bar for values that are all the same", () => {
    expect(histogram([2, 2], 2, 2).map(({ count }) => count)).toEqual([2, 0]);
  });
});
