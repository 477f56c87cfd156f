import { expect, test } from "vitest";
import { Places } from "../../../src/server/engine/places.js";

test("each camera has a place, with its own numbers", () => {
  const places = new Places<string>(2);
  places.take("a");
  expect(places.isFull).toBe(false);
  places.take("b");
  expect(places.isFull).toBe(true);
  expect(places.cameras).toEqual(["a", "b"]);
  expect(places.sent("a", 7)).toEqual({ camera: 0, number: 7 });
  expect(places.sent("b", 9)).toEqual({ camera: 1, number: 9 });
  expect(places.sent("c", 0)).toBeUndefined();
  expect(places.scored(1, 9)).toEqual({ camera: "b", number: 9 });
  expect(() => places.take("c")).toThrow("all places");
});

test("the next camera of a place is no neighbour of the last one, and gets none of its scores", () => {
  const places = new Places<string>(1);
  places.take("a");
  places.sent("a", 500);
  places.leave("a");
  places.leave("nobody");
  expect(places.scored(0, 500)).toBeUndefined();
  places.take("b");
  expect(places.scored(0, 500)).toBeUndefined();
  const { number } = places.sent("b", 0)!;
  // Three frames are a sample's reach.
  expect(number).toBeGreaterThan(500 + 3);
  expect(places.scored(0, number)).toEqual({ camera: "b", number: 0 });
  expect(places.scored(1, 0)).toBeUndefined();
});
