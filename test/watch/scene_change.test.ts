import { beforeAll, describe, expect, it } from "vitest";
import { createScene } from "../../src/data/scene/scene.js";
import { InputError } from "../../src/errors.js";
import { type LumaPicture, lumaPicture } from "../../src/watch/luma.js";
import { DayOrInfrared, SceneChange } from "../../src/watch/scene_change.js";

const [width, height, fps] = [96, 54, 5];
/** 20 s of a drawn street with people. */
let street: LumaPicture[];
/** A frame of it, in colour. */
let frame: Uint8Array;

beforeAll(() => {
  const video = createScene({ seed: 5, width, height, fps, view: "close" }).video({
    ...{ index: 0, frames: 100, anomalies: "none", density: 2 },
  });
  const frames = Array.from({ length: 100 }, (_, i) => video.render(i).image);
  frame = frames[0];
  street = frames.map((image) => lumaPicture(image, width, height, width, height));
});

const limited = (level: number) => Math.max(0, Math.min(255, Math.round(level)));
/** A picture in another light. */
const lit = (picture: LumaPicture, gain: number, offset = 0): LumaPicture => ({
  ...picture,
  data: picture.data.map((level) => limited(gain * level + offset)),
});
const flat = (level: number): LumaPicture => ({ data: new Uint8Array(width * height).fill(level), width, height });

/** The street for some seconds, forwards and backwards again, changed by a function of time. */
function* video(seconds: number, change: (picture: LumaPicture, time: number) => LumaPicture, rate = fps) {
  for (let i = 0; i < seconds * rate; i++) {
    const at = Math.round((i * fps) / rate) % 198;
    yield { time: i / rate, picture: change(street[at < 100 ? at : 198 - at], i / rate) };
  }
}

/** All that is said about a video. */
function events(frames: Iterable<{ time: number; picture: LumaPicture }>, watcher = new SceneChange()) {
  const found: [string, number][] = [];
  for (const { time, picture } of frames) {
    const what = watcher.push(picture, time);
    if (what) found.push([what, time]);
  }
  return found;
}

describe("a change of the whole picture", () => {
  it.each<[string, number, number]>([
    ["half the light", 0.5, 0],
    ["twice the light", 2, 0],
    ["60 gray levels more", 1, 60],
    ["60 gray levels less", 1, -60],
  ])("begins with the frame that has %s, and ends when the picture was stable for 3 s", (_, gain, offset) => {
    const found = events(video(30, (picture, time) => (time >= 10 ? lit(picture, gain, offset) : picture)));
    expect(found.map(([what]) => what)).toEqual(["begin", "end"]);
    expect(found[0][1]).toBe(10);
    // The reference follows within a second or two, then the picture is stable.
    expect(found[1][1]).toBeGreaterThan(13);
    expect(found[1][1]).toBeLessThanOrEqual(15);
  });

  it("is seen at one frame per second as well", () => {
    const found = events(video(30, (picture, time) => (time >= 10 ? lit(picture, 0.5) : picture), 1));
    expect(found[0]).toEqual(["begin", 10]);
    expect(found.map(([what]) => what)).toEqual(["begin", "end"]);
  });

  it("is the light that comes back after 8 s of darkness, too", () => {
    const isDark = (time: number) => time >= 10 && time < 18;
    const found = events(video(30, (picture, time) => (isDark(time) ? lit(picture, 0.5) : picture)));
    expect(found.map(([what]) => what)).toEqual(["begin", "end", "begin", "end"]);
    expect(found[2][1]).toBe(18);
  });

  it("goes on while the light goes on and off, as one change", () => {
    const isDark = (time: number) => time >= 10 && time < 16 && time % 2 < 1;
    const watcher = new SceneChange();
    const found = events(
      video(30, (picture, time) => (isDark(time) ? lit(picture, 0.4) : picture)),
      watcher,
    );
    expect(found.map(([what]) => what)).toEqual(["begin", "end"]);
    // The light comes back for good at 15.
    expect(found[1][1]).toBeGreaterThanOrEqual(18);
    expect(watcher.isChanging).toBe(false);
  });

  it("may come again", () => {
    const night = (time: number) => time >= 10 && time < 30;
    const found = events(video(50, (picture, time) => (night(time) ? lit(picture, 0.5) : picture)));
    expect(found.map(([what]) => what)).toEqual(["begin", "end", "begin", "end"]);
    expect([found[0][1], found[2][1]]).toEqual([10, 30]);
  });

  it("ends after a minute at the latest, and does not begin again before the picture was stable", () => {
    const flash = (time: number) => time >= 10 && time < 200 && Math.round(time * fps) % 10 === 0;
    const flashing = video(230, (picture, time) => (flash(time) || time >= 220 ? lit(picture, 3, 40) : picture));
    const found = events(flashing);
    expect(found.slice(0, 3).map(([what, time]) => [what, Math.round(time)])).toEqual([
      ["begin", 10],
      ["end", 70],
      ["begin", 220],
    ]);
  });
});

describe("no change of the whole picture", () => {
  it("is people who walk, in any frame rate", () => {
    expect(events(video(40, (picture) => picture))).toEqual([]);
    expect(events(video(40, (picture) => picture, 1))).toEqual([]);
  });

  it("is dusk", () => {
    expect(events(video(120, (picture, time) => lit(picture, 1 - time / 130)))).toEqual([]);
  });

  it("is a cloud that takes 3 s to take a third of the light", () => {
    const cloud = (time: number) => 1 - 0.3 * Math.min(1, Math.max(0, (time - 10) / 3));
    expect(events(video(30, (picture, time) => lit(picture, cloud(time))))).toEqual([]);
  });

  it.each([1, 2, 4, 8])("is a bus that covers 60 %% of the picture, and passes in %d s", (seconds) => {
    const bus = (picture: LumaPicture, time: number): LumaPicture => {
      // As long as 60 % of the width, and as high as the picture.
      const from = ((time - 10) / seconds) * 1.6 * width - 0.6 * width;
      const covers = (x: number) => x >= from && x < from + 0.6 * width;
      return { ...picture, data: picture.data.map((level, i) => (covers(i % width) ? 250 : level)) };
    };
    expect(events(video(20, bus))).toEqual([]);
  });

  it("is a lorry that covers 60 % of the picture for a while", () => {
    const lorry = (picture: LumaPicture, time: number): LumaPicture => {
      const isThere = time >= 10 && time < 40;
      return { ...picture, data: picture.data.map((level, i) => (isThere && i % width < 0.6 * width ? 20 : level)) };
    };
    expect(events(video(50, lorry))).toEqual([]);
  });

  it("is noise in the dark", () => {
    // 0, 6 or 12 of 255, in turns.
    const noise = (time: number): LumaPicture => ({
      ...flat(0),
      data: flat(0).data.map((_, i) => 6 * ((i * 7 + time * fps * 5) % 3)),
    });
    expect(events(video(20, (_, time) => noise(time)))).toEqual([]);
  });

  it("is the first picture, or a jump of a tenth", () => {
    expect(events([flat(100), flat(110), flat(100)].map((picture, time) => ({ picture, time })))).toEqual([]);
  });

  it("can be said of a picture that is too small", () => {
    const tiny: LumaPicture = { data: new Uint8Array(64), width: 8, height: 8 };
    expect(() => new SceneChange().push(tiny, 0)).toThrow(InputError);
  });
});

describe("infrared", () => {
  /** A frame without colour. */
  const gray = () => frame.map((_, i) => frame[i - (i % 3)]);

  it("is a frame without colour", () => {
    const modeOf = (bgr: Uint8Array) => new DayOrInfrared().push(bgr, 0);
    expect(modeOf(frame)).toBe("day");
    expect(modeOf(gray())).toBe("infrared");
    // Rounding of a codec: one level in one channel.
    expect(modeOf(gray().map((level, i) => limited(level + (i % 3 === 0 ? 1 : 0))))).toBe("infrared");
    expect(modeOf(new Uint8Array(0))).toBe("infrared");
  });

  it("begins and ends after 3 s of frames of the other kind", () => {
    const watcher = new DayOrInfrared();
    const modes = Array.from({ length: 30 }, (_, time) => watcher.push(time >= 10 && time < 20 ? gray() : frame, time));
    expect(modes.indexOf("infrared")).toBe(13);
    expect(modes.lastIndexOf("infrared")).toBe(22);
    expect(modes.filter((mode) => mode === "infrared")).toHaveLength(10);
  });

  it("does not begin for a few gray frames", () => {
    const watcher = new DayOrInfrared();
    const modes = Array.from({ length: 30 }, (_, time) => watcher.push(time % 4 < 2 ? frame : gray(), time));
    expect(new Set(modes)).toEqual(new Set(["day"]));
  });

  it("goes on for frames with a little colour", () => {
    const faint = (chroma: number) => gray().map((_, i) => 100 + (i % 3 === 2 ? chroma : 0));
    const watcher = new DayOrInfrared();
    expect(watcher.push(faint(2), 0)).toBe("infrared");
    expect([1, 5, 9].map((time) => watcher.push(faint(4), time))).toEqual(["infrared", "infrared", "infrared"]);
    expect([10, 12, 14].map((time) => watcher.push(faint(6), time))).toEqual(["infrared", "infrared", "day"]);
    expect([20, 25, 30].map((time) => watcher.push(faint(4), time))).toEqual(["day", "day", "day"]);
  });

  it("is all the time what a camera without colour sees", () => {
    const watcher = new DayOrInfrared();
    expect([0, 5, 10].map((time) => watcher.push(gray(), time))).toEqual(["infrared", "infrared", "infrared"]);
  });
});
