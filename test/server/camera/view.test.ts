import { expect, test } from "vitest";
import { UsualView, viewSize } from "../../../src/server/camera/view.js";
import type { LumaPicture } from "../../../src/watch/luma.js";

const { width, height } = viewSize;
/** A picture of rectangles whose sides depend on the seed, so that no two seeds look alike. */
function view(seed: number, noise = 0): LumaPicture {
  const data = new Uint8Array(width * height);
  for (let at = 0; at < data.length; at++) {
    const [x, y] = [Math.floor((at % width) / (9 + seed)), Math.floor(at / width / (7 + seed))];
    data[at] = 60 + ((x * 7 + y * 5 + x * y * seed) % 4) * 45 + ((at * 13 + noise) % 3);
  }
  return { ...viewSize, data };
}
const wall: LumaPicture = { ...viewSize, data: new Uint8Array(width * height).fill(120) };

/** Shows a picture for some seconds. @returns what was said */
function show(
  to: UsualView,
  picture: (t: number) => LumaPicture,
  from: number,
  seconds: number,
  mode: "day" | "infrared" = "day",
) {
  return Array.from({ length: seconds }, (_, t) => to.push(picture(t), mode, from + t)).filter(Boolean);
}

test("it is learnt in ten minutes, and what an earlier process has learnt is used at once", () => {
  const first = new UsualView();
  expect(show(first, (t) => view(1, t), 0, 595)).toEqual([]);
  expect([first.references, first.hasLearnt]).toEqual([{}, false]);
  show(first, (t) => view(1, t), 595, 5);
  expect(Object.keys(first.references)).toEqual(["day"]);
  expect(first.hasLearnt).toBe(true);

  const moved = new UsualView();
  moved.begin(first.references);
  expect(show(moved, (t) => view(2, t), 0, 12)).toEqual(["moved"]);
  expect([moved.isMoved, moved.hasLearnt, moved.references]).toEqual([true, false, first.references]);
  const same = new UsualView();
  same.begin(first.references);
  expect(show(same, (t) => view(1, t), 0, 30)).toEqual([]);
});

test("once it is forgotten, the new view is learnt", () => {
  const usual = new UsualView();
  usual.begin({ day: view(1) });
  expect(show(usual, () => view(2), 0, 12)).toEqual(["moved"]);
  // What it shows while it is moved is not learnt.
  usual.settle();
  expect(usual.references).toEqual({ day: view(1) });
  usual.forget();
  expect([usual.isMoved, usual.references]).toEqual([false, {}]);
  expect(show(usual, () => view(2), 12, 600)).toEqual([]);
  expect(usual.references).toEqual({ day: view(2) });
  expect(show(usual, () => view(1), 612, 12)).toEqual(["moved"]);
});

test("a calibration keeps the old view until a minute of the new one is there, and tells if it is another", () => {
  for (const [seconds, learnt] of [
    [50, 1],
    [60, 2],
  ]) {
    const usual = new UsualView();
    usual.begin({ day: view(1), infrared: view(3) }, true);
    expect(show(usual, () => view(2), 0, seconds)).toEqual([]);
    usual.settle();
    expect(usual.references).toEqual({ day: view(learnt), infrared: view(3) });
    expect([...usual.changed]).toEqual(learnt === 2 ? ["day"] : []);
  }
  const same = new UsualView();
  same.begin({ day: view(1) }, true);
  show(same, (t) => view(1, t), 0, 60);
  same.settle();
  expect([same.hasLearnt, same.changed.size]).toEqual([true, 0]);
});

test("what was learnt since is not replaced by what was kept, and a wall is no view", () => {
  const usual = new UsualView();
  show(usual, () => view(2), 0, 600);
  usual.begin({ day: view(1), infrared: view(3) });
  expect(usual.references).toEqual({ day: view(2), infrared: view(3) });
  const plain = new UsualView();
  show(plain, () => wall, 0, 1200);
  plain.settle();
  expect([plain.references, plain.hasLearnt]).toEqual([{}, false]);
});

test("a cover that makes the picture black comes and goes in two modes", () => {
  const usual = new UsualView();
  usual.begin({ day: view(1), infrared: view(2) });
  const black: LumaPicture = { ...viewSize, data: new Uint8Array(width * height) };
  for (const from of [0, 1000]) {
    show(usual, () => view(1), from, 20);
    expect(show(usual, () => black, from + 20, 30, "infrared")).toEqual(["moved"]);
    expect(show(usual, () => view(1), from + 50, 30)).toEqual(["back"]);
  }
});
