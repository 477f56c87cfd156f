import { describe, expect, it } from "vitest";
import { MapAverage } from "../../src/watch/map_average.js";

const map = (...data: number[]) => ({ rows: 1, columns: data.length, data: Float32Array.from(data) });

describe("the running mean of maps", () => {
  it("forgets a third of a second's past to a third", () => {
    const average = new MapAverage();
    expect(Array.from(average.push(map(1, Number.NaN), 0).data)).toEqual([1, 0]);
    const { data } = average.push(map(0, 2), 0.3);
    expect(data[0]).toBeCloseTo(Math.exp(-1), 6);
    expect(data[1]).toBeCloseTo(2 * (1 - Math.exp(-1)), 6);
  });

  it("returns maps that stay as they are", () => {
    const average = new MapAverage();
    const first = average.push(map(1), 0);
    average.push(map(5), 9);
    expect(first.data[0]).toBe(1);
  });
});
