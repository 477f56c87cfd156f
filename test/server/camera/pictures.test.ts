import { expect, test } from "vitest";
import { RecentPictures } from "../../../src/server/camera/pictures.js";

test("the picture nearest to a time is found, among those of some seconds", () => {
  const pictures = new RecentPictures();
  const near = (time: number) => pictures.near(time)?.[0];
  expect(near(1)).toBeUndefined();
  for (let i = 0; i < 40; i++) pictures.add(Uint8Array.of(i), i / 5);
  expect([near(7.8), near(7), near(6.55), near(99)]).toEqual([39, 35, 33, 39]);
  // Older ones are not kept.
  expect(near(0)).toBe(25);
  pictures.add(Uint8Array.of(99), 0);
  expect(near(7)).toBe(99);
});
