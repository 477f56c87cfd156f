import { expect, test } from "vitest";
import { Backoff } from "../../src/server/backoff.js";

test("waits double until the limit, and begin again after a success", () => {
  const backoff = new Backoff({ first: 1, most: 5, jitter: 0 });
  expect([1, 2, 3, 4, 5].map(() => backoff.next())).toEqual([1, 2, 4, 5, 5]);
  backoff.reset();
  expect(backoff.next()).toBe(1);
});

test("waits differ by at most the jitter", () => {
  const at = (value: number) => new Backoff({ first: 10, most: 60, jitter: 0.2, random: () => value }).next();
  expect([at(0), at(0.5), at(1)]).toEqual([8, 10, 12]);
});
