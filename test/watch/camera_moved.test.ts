import { beforeAll, describe, expect, it } from "vitest";
import { createScene } from "../../src/data/scene/scene.js";
import { InputError } from "../../src/errors.js";
import { CameraMoved, hasEdges, isOtherView, ReferencePicture, similarity } from "../../src/watch/camera_moved.js";
import { type LumaPicture, lumaPicture } from "../../src/watch/luma.js";

const [width, height] = [400, 224];
/** Frames of a drawn street with people, 2 s apart, and of the same street in another weather. */
let frames: Uint8Array[];
let otherWeather: Uint8Array[];
let reference: LumaPicture;

const small = (frame: Uint8Array) => lumaPicture(frame, width, height, 96, 54);

beforeAll(() => {
  const scene = createScene({ seed: 5, width, height, fps: 0.5 });
  const render = (index: number) => {
    const video = scene.video({ index, frames: 12, anomalies: "none", density: 1.5 });
    return Array.from({ length: 12 }, (_, i) => video.render(i).image);
  };
  frames = render(0);
  otherWeather = render(1);
  const maker = new ReferencePicture();
  for (const frame of frames) maker.push(small(frame));
  reference = maker.finish();
});

const limited = (level: number) => Math.max(0, Math.min(255, Math.round(level)));
/** A frame of the camera turned to the right by some pixels; the last column is repeated. */
const shifted = (frame: Uint8Array, pixels: number) =>
  frame.map((_, i) => {
    const [at, channel] = [Math.floor(i / 3), i % 3];
    const [row, column] = [Math.floor(at / width), Math.max(0, Math.min(width - 1, (at % width) + pixels))];
    return frame[3 * (row * width + column) + channel];
  });
/** A frame with a wall over the left part. */
const covered = (frame: Uint8Array, share: number) =>
  frame.map((level, i) => (Math.floor(i / 3) % width < share * width ? 60 : level));

const similarTo = (change: (frame: Uint8Array) => Uint8Array, of = frames) =>
  of.map((frame) => similarity(reference, small(change(frame))));
const least = (values: number[]) => Math.min(...values);
const most = (values: number[]) => Math.max(...values);

describe("the similarity of pictures", () => {
  it("is 1 for the same picture, also if it is brighter, darker or inverted", () => {
    const { data } = reference;
    // Contrast of a half, and light and dark swapped: the edges stay where they are.
    for (const change of [(v: number) => v, (v: number) => v / 2 + 60, (v: number) => 255 - v]) {
      expect(similarity(reference, { ...reference, data: data.map((v) => limited(change(v))) })).toBeGreaterThan(0.95);
    }
    expect(similarity(reference, reference)).toBeCloseTo(1, 6);
  });

  it("is high for the same view, with people, in another weather, and in the dark", () => {
    expect(least(similarTo((frame) => frame))).toBeGreaterThan(0.8);
    expect(least(similarTo((frame) => frame, otherWeather))).toBeGreaterThan(0.8);
    expect(least(similarTo((frame) => frame.map((level) => limited(level / 4))))).toBeGreaterThan(0.7);
  });

  it("is high if half of the view is covered", () => {
    expect(least(similarTo((frame) => covered(frame, 0.5)))).toBeGreaterThan(0.6);
  });

  it("is high for a shift of 1 % of the width, low for one of 5 % or more", () => {
    expect(least(similarTo((frame) => shifted(frame, 4)))).toBeGreaterThan(0.8);
    expect(least(similarTo((frame) => shifted(frame, -4)))).toBeGreaterThan(0.8);
    for (const pixels of [20, 40, -40, 120]) {
      expect(most(similarTo((frame) => shifted(frame, pixels)))).toBeLessThan(0.4);
    }
  });

  it("is low for another view", () => {
    const other = createScene({ seed: 9, width, height, view: "close" }).video({
      ...{ index: 0, frames: 1, anomalies: "none", density: 0 },
    });
    expect(similarity(reference, small(other.render(0).image))).toBeLessThan(0.4);
  });

  it("tells another view from the same one", () => {
    expect(isOtherView(reference, small(frames[3]))).toBe(false);
    expect(isOtherView(reference, small(otherWeather[3]))).toBe(false);
    expect(isOtherView(reference, small(shifted(frames[3], 40)))).toBe(true);
  });

  it("is 0 for a picture without edges", () => {
    expect(similarity(reference, { ...reference, data: reference.data.map(() => 120) })).toBe(0);
  });

  it("is 1 for a reference without edges, of which nothing can be said", () => {
    const wall = { ...reference, data: reference.data.map(() => 120) };
    expect([hasEdges(wall), hasEdges(reference)]).toEqual([false, true]);
    expect(similarity(wall, reference)).toBe(1);
    // Stripes: shifted along them, they are the same everywhere.
    const stripes = { ...reference, data: reference.data.map((_, i) => (Math.floor(i / 96) % 5 < 2 ? 200 : 50)) };
    expect(hasEdges(stripes)).toBe(false);
  });

  it("needs pictures of one size", () => {
    const tiny = { data: new Uint8Array(4), width: 2, height: 2 };
    expect(() => similarity(reference, tiny)).toThrow("a picture of 2×2 cannot be compared with a reference of 96×54");
    expect(() => new CameraMoved(reference).push(tiny, 0)).toThrow(InputError);
  });
});

/** What is said about frames at these times, where some are changed. */
function events(seconds: number, change: (frame: Uint8Array, time: number) => Uint8Array, step = 1) {
  const watcher = new CameraMoved(reference);
  const found: [string, number][] = [];
  for (let time = 0; time < seconds; time += step) {
    const what = watcher.push(small(change(frames[Math.floor(time) % frames.length], time)), time);
    if (what) found.push([what, time]);
  }
  return found;
}

describe("a camera", () => {
  it("counts as moved after 10 s of another view, and as back after 10 s of the old one", () => {
    const turn = (frame: Uint8Array, time: number) => (time >= 5 && time < 30 ? shifted(frame, 40) : frame);
    expect(events(50, turn)).toEqual([
      ["moved", 15],
      ["back", 40],
    ]);
  });

  it("counts as moved if it is covered, by something bright or dark", () => {
    for (const level of [0, 128, 255]) {
      const cover = (frame: Uint8Array, time: number) => (time >= 5 ? frame.map(() => level) : frame);
      expect(events(20, cover)).toEqual([["moved", 15]]);
    }
  });

  it("is not moved by a bus that hides most of the view for 9 s", () => {
    expect(events(60, (frame, time) => (time % 20 >= 10 && time % 20 < 19 ? covered(frame, 0.9) : frame))).toEqual([]);
  });

  it("is not moved by people, light, vibration, or a lorry that parks in front of half the view", () => {
    expect(events(30, (frame) => frame)).toEqual([]);
    expect(events(30, (frame, time) => (time >= 5 ? frame.map((level) => limited(level / 2)) : frame))).toEqual([]);
    expect(events(30, (frame, time) => shifted(frame, time % 2 === 0 ? 4 : -4))).toEqual([]);
    expect(events(30, (frame, time) => (time >= 5 ? covered(frame, 0.5) : frame))).toEqual([]);
  });

  it("is not judged by a few frames before and after a gap", () => {
    const watcher = new CameraMoved(reference);
    const gray = { ...reference, data: reference.data.map(() => 120) };
    // The gap, from 1 to 100, is not 10 s of a gray picture.
    const times = [0, 1, 100, 102, 104, 106, 108, 110];
    expect(times.filter((time) => watcher.push(gray, time) === "moved")).toEqual([110]);
    expect(watcher.isMoved).toBe(true);
  });
});

describe("a reference picture", () => {
  const picture = (...levels: number[]): LumaPicture => ({ data: Uint8Array.from(levels), width: 2, height: 1 });

  it("is the median of each pixel, so that who passes by is not in it", () => {
    const maker = new ReferencePicture();
    for (const levels of [
      [10, 250],
      [12, 251],
      [255, 252],
      [11, 0],
      [10, 251],
    ]) {
      maker.push(picture(...levels));
    }
    // 10, 10, 11, 12, 255 and 0, 250, 251, 251, 252.
    expect(maker.finish()).toEqual(picture(11, 251));
  });

  it("is the picture itself if there is one", () => {
    const maker = new ReferencePicture();
    maker.push(picture(0, 255));
    expect(maker.finish()).toEqual(picture(0, 255));
  });

  it("needs pictures, all of one size", () => {
    const maker = new ReferencePicture();
    expect(() => maker.finish()).toThrow("at least one picture");
    maker.push(picture(1, 2));
    expect(() => maker.push({ data: new Uint8Array(4), width: 2, height: 2 })).toThrow(InputError);
  });
});
