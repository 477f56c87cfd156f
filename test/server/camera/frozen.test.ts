import { expect, test } from "vitest";
import { FrozenPicture } from "../../../src/server/camera/frozen.js";

test("a picture is frozen once it has been the same for more than twenty seconds", () => {
  const frozen = new FrozenPicture();
  const picture = new Uint8Array(3000);
  const seen = [0, 10, 20, 20.1, 25].map((now) => frozen.push(picture, now));
  expect(seen).toEqual([false, false, false, true, true]);
  // Every 97th byte is looked at.
  picture[970] = 1;
  expect([26, 46, 46.1].map((now) => frozen.push(picture, now))).toEqual([false, false, true]);
});
