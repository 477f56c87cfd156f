import { describe, expect, it } from "vitest";
import type { MovingObject } from "../../../src/data/anomalies/library.js";
import { heightAt, usualPeople } from "../../../src/data/anomalies/usual_person.js";

describe("the usual person", () => {
  /** Somebody of a height, whose feet are at a row, and who walks so far in three frames. */
  const somebody = (foot: number, height: number, stride = 0.1 * height): MovingObject => {
    const box = (x: number) => ({ x, y: foot - height / 2, rx: height / 4, ry: height / 2 });
    return { frame: 10, boxes: [box(50 - stride), box(50), box(50 + stride)] };
  };
  const usualOf = (objects: readonly MovingObject[]) => usualPeople(objects).usual!;
  const rows = Array.from({ length: 20 }, (_, i) => 60 + 5 * i);
  const onLine = (foot: number) => 30 + 0.25 * (foot - 100);

  it("is as tall as a line through the heights says, whatever a fifth of them is", () => {
    const plain = usualOf(rows.map((foot) => somebody(foot, onLine(foot))));
    // Every fifth is a part of somebody, or a group.
    for (const factor of [0.3, 3]) {
      const mixed = rows.map((foot, i) => somebody(foot, onLine(foot) * (i % 5 === 2 ? factor : 1)));
      for (const usual of [plain, usualOf(mixed)]) {
        expect(usual.slope).toBeCloseTo(0.25, 10);
        for (const foot of [60, 100, 155]) expect(heightAt(usual, foot)).toBeCloseTo(onLine(foot), 10);
      }
    }
    expect(plain.foot).toBe(107.5);
  });

  it("is equally tall everywhere if fewer than six are seen, or all in one row", () => {
    const few = [60, 80, 100, 120, 140].map((foot) => somebody(foot, onLine(foot)));
    expect(usualOf(few)).toMatchObject({ height: 30, foot: 100, slope: 0 });
    expect(usualOf([...few, somebody(160, onLine(160))]).slope).toBeCloseTo(0.25, 10);
    expect(usualOf(few.slice(0, 1))).toMatchObject({ height: 20, foot: 60, slope: 0 });
    const row = [20, 22, 24, 26, 28, 30, 32].map((height, i) => somebody(100 + 0.1 * i, height));
    expect(usualOf(row)).toMatchObject({ height: 26, slope: 0 });
  });

  it("leaves out who is far smaller or larger, but not everybody", () => {
    const of = (...heights: readonly number[]) => {
      const objects = heights.map((height) => somebody(100, height));
      return usualPeople(objects).alike.map((object) => heights[objects.indexOf(object)]);
    };
    expect(of(10, 16.5, 30, 30, 31, 54, 56)).toEqual([16.5, 30, 30, 31, 54]);
    expect(of(10, 100)).toEqual([10, 100]);
    expect(usualPeople([])).toEqual({ alike: [] });
  });

  it("is never smaller where one is nearer", () => {
    const reversed = rows.map((foot) => somebody(foot, 60 - 0.25 * (foot - 100)));
    // The median of heights is at the median of rows, 107.5.
    const usual = usualOf(reversed);
    expect(usual.slope).toBe(0);
    expect(usual.height).toBeCloseTo(60 - 0.25 * 7.5, 10);
  });

  it("is at least a third, and at most three times as tall as in the middle", () => {
    const line = { height: 30, foot: 100, slope: 0.5 };
    expect([100, 120, 80, 61].map((row) => heightAt(line, row))).toEqual([30, 40, 20, 10.5]);
    expect([60, 0, -500].map((row) => heightAt(line, row))).toEqual([10, 10, 10]);
    expect([219, 220, 221, 900].map((row) => heightAt(line, row))).toEqual([89.5, 90, 90, 90]);
  });

  it("walks as far as the median of all, relative to the usual height where they walk", () => {
    const walking = (share: (i: number) => number) =>
      usualOf(rows.map((foot, i) => somebody(foot, onLine(foot), share(i) * onLine(foot))));
    expect(walking(() => 0.12).stride).toBeCloseTo(0.12, 10);
    // Some run. The median of 20 is between the tenth and the eleventh.
    expect(walking((i) => (i < 15 ? 0.1 + 0.001 * i : 1)).stride).toBeCloseTo(0.1095, 10);
    // Of these three, people are 24 pixels tall: not their own heights count.
    const three = [somebody(100, 20, 3), somebody(100, 24, 6), somebody(100, 40, 4)];
    expect(usualOf(three).stride).toBeCloseTo(4 / 24, 10);
    // Down the picture counts as well.
    const box = (x: number, y: number) => ({ x, y, rx: 5, ry: 10 });
    const down = { frame: 10, boxes: [box(47, 86), box(50, 90), box(53, 94)] as const };
    expect(usualOf([down]).stride).toBeCloseTo(5 / 20, 10);
  });
});
