import { expect, test } from "vitest";
import { shares } from "../../src/cli/learning.js";
import { keptName, type NormalClip } from "../../src/server/camera/normal_video.js";

const kept = (count: number): NormalClip[] =>
  Array.from({ length: count }, (_, i) => ({ name: keptName(6e7 * i), path: "", seconds: 60 }));
const marked: NormalClip = { name: "20261130T142941008-front-c6a1fa.mp4", path: "", seconds: 12 };

test("of little video all is learnt from; of more, what is evenly spread, and what people marked", () => {
  const counts = (count: number) => {
    const { training, rest } = shares([marked, ...kept(count)]);
    expect(training).toContain(marked);
    expect(new Set([...training, ...rest]).size).toBe(count + 1);
    return [training.length - 1, rest.length];
  };
  expect(counts(29)).toEqual([29, 0]);
  expect(counts(30)).toEqual([20, 10]);
  expect(counts(60)).toEqual([20, 40]);
  expect(counts(1440)).toEqual([20, 1420]);
  const all = kept(60);
  const places = shares(all).training.map((clip) => all.indexOf(clip));
  expect(places).toEqual(Array.from({ length: 20 }, (_, i) => 3 * i + 2));
});
