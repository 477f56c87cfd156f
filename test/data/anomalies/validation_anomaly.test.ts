import { describe, expect, it } from "vitest";
import { validationObjects } from "../../../src/data/anomalies/drawn_kinds.js";
import type { Insertion } from "../../../src/data/anomalies/insertion.js";
import type { ForegroundLibrary } from "../../../src/data/anomalies/library.js";
import {
  drawValidationAnomaly,
  type ValidationKind,
  validationKinds,
} from "../../../src/data/anomalies/validation_anomaly.js";
import { uniformGenerator } from "../../../src/random.js";
import { sizeOf, wayOf } from "../../support/insertions.js";
import { clipOf, drawnClipOf, type Walker } from "../../support/walkers.js";

const size = { width: 200, height: 160, background: [120, 120, 120] } as const;
/** 24 of 160 pixels high, so that one may become 2.2 times as large. */
const walker: Walker = { frame: 30, x: 80, y: 82, rx: 5, ry: 12, speed: 1, color: [20, 20, 20] };
const scene = clipOf("scene", size, [walker], 60);
const other = clipOf("other", size, [{ ...walker, speed: -0.5 }], 60);
const drawn = drawnClipOf(size, validationObjects, { ...walker, ry: 20 }, 24);
const library: ForegroundLibrary = { clips: [scene, other], drawn };
const place = { clip: 0, frame: 30 };

const draws = (kind: ValidationKind, seed = 1, count = 40): Insertion[] => {
  const random = uniformGenerator(seed);
  return Array.from({ length: count }, () => drawValidationAnomaly(kind, random, library, place)!);
};
/** How fast it walks, in units of the original's walk: 1.5 pixels in three frames. */
const paceOf = (insertion: Insertion) => Math.hypot(...wayOf(insertion)) / (1.5 * sizeOf(insertion));
const range = (values: readonly number[]) => [Math.min(...values), Math.max(...values)] as const;

function expectWithin(values: readonly number[], least: number, most: number): void {
  const [from, to] = range(values);
  expect(from).toBeGreaterThanOrEqual(least - 1e-4);
  expect(to).toBeLessThanOrEqual(most + 1e-4);
  // They spread over most of it.
  expect(to - from).toBeGreaterThanOrEqual(0.6 * (most - least));
}

/** Frames that are shown at offsets, relative to the middle frame of scene or object. */
const shownAt = ({ layer, frame }: Insertion, offsets: readonly number[]) =>
  offsets.map((offset) => layer(offset).frame - frame);
const offsets = Array.from({ length: 13 }, (_, i) => i - 6);

describe("kinds of time: a window of the scene", () => {
  const expectWindow = ({ source, layer, first, last, gain, bias }: Insertion) => {
    expect([source, layer(0).plain, gain, bias]).toEqual([scene, true, [1, 1, 1], 0]);
    expect(last).toBe(-first);
  };

  it("speed-up: time runs two or three times as fast", () => {
    const rates = new Set<number>();
    for (const insertion of draws("speed-up")) {
      expectWindow(insertion);
      const rate = insertion.layer(1).frame - 30;
      rates.add(rate);
      // Up to 20 frames before and after.
      expect(insertion.last).toBe(Math.floor(20 / rate));
      expect(shownAt(insertion, offsets)).toEqual(offsets.map((offset) => rate * offset));
    }
    expect([...rates].sort()).toEqual([2, 3]);
  });

  it("stop: the window shows its middle frame all the time", () => {
    const [insertion] = draws("stop");
    expectWindow(insertion);
    expect(insertion.last).toBe(20);
    expect(shownAt(insertion, offsets)).toEqual(Array(13).fill(0));
  });

  it("backwards: what comes later is shown earlier", () => {
    const [insertion] = draws("backwards");
    expectWindow(insertion);
    expect(shownAt(insertion, [-20, -3, -1, 0, 1, 3, 20])).toEqual([20, 3, 1, 0, -1, -3, -20]);
  });

  it("loop: six frames again and again", () => {
    const [insertion] = draws("loop");
    expectWindow(insertion);
    expect(shownAt(insertion, offsets)).toEqual([-3, -2, -1, 0, 1, 2, -3, -2, -1, 0, 1, 2, -3]);
    // It stays within the clip where only three frames come before.
    const early = clipOf("early", size, [{ ...walker, frame: 3 }], 60);
    const tight = drawValidationAnomaly("loop", uniformGenerator(1), { clips: [early] }, { clip: 0, frame: 3 })!;
    for (let offset = tight.first; offset <= tight.last; offset++) {
      expect(tight.layer(offset).frame).toBeGreaterThanOrEqual(0);
    }
  });

  it("are absent if nothing moves there", () => {
    for (const kind of ["speed-up", "stop", "backwards", "loop"] as const) {
      const at = (frame: number) => drawValidationAnomaly(kind, uniformGenerator(1), library, { clip: 0, frame });
      expect([kind, at(33) === undefined, at(34) === undefined]).toEqual([kind, false, true]);
    }
  });
});

describe("kinds of people: somebody of another clip", () => {
  const expectPerson = ({ source, layer }: Insertion) => expect([source, layer(0).plain]).toEqual([other, false]);
  const walking = [0, 1, 2, 3, 2, 1, 0];

  it("fast: moves two to four times as far as he walked", () => {
    const all = draws("fast");
    all.forEach(expectPerson);
    expectWithin(all.map(paceOf), 2.2, 4);
    expectWithin(all.map(sizeOf), 0.9, 1.1);
    expect(shownAt(all[0], [0, 1, 2, 3, 4, 5, 6])).toEqual(walking);
  });

  it("odd-size: far smaller or larger, at the speed of its own walk", () => {
    const all = draws("odd-size");
    all.forEach(expectPerson);
    const sizes = all.map(sizeOf);
    expectWithin(
      sizes.filter((one) => one < 1),
      0.35,
      0.55,
    );
    expectWithin(
      sizes.filter((one) => one >= 1),
      1.7,
      2.2,
    );
    expectWithin(all.map(paceOf), 0.9, 1.2);
  });

  it("odd-look: far darker or brighter, else as people are", () => {
    const all = draws("odd-look");
    all.forEach(expectPerson);
    for (const { gain } of all) expect(new Set(gain).size).toBe(1);
    const [dark, bright] = [all.filter(({ gain }) => gain[0] < 1), all.filter(({ gain }) => gain[0] >= 1)];
    const gains = (some: readonly Insertion[]) => some.map(({ gain }) => gain[0]);
    expectWithin(gains(dark), 0.3, 0.5);
    expectWithin(gains(bright), 1.8, 2.4);
    for (const { bias } of dark) expect(Math.abs(bias)).toBe(0);
    expectWithin(
      bright.map(({ bias }) => bias),
      -30,
      30,
    );
    expectWithin(all.map(paceOf), 0.9, 1.2);
    expectWithin(all.map(sizeOf), 0.9, 1.1);
  });

  it("gliding: moves as people walk, without moving the legs", () => {
    const all = draws("gliding");
    all.forEach(expectPerson);
    expectWithin(all.map(paceOf), 0.9, 1.6);
    for (const insertion of all) expect(shownAt(insertion, offsets)).toEqual(Array(13).fill(0));
  });

  it("thrown: a small piece of somebody, which flies, falls and turns", () => {
    const all = draws("thrown");
    all.forEach(expectPerson);
    const halves = all.map(({ layer }) => {
      const { rx, ry } = layer(0).box;
      expect(rx).toBe(ry);
      return ry / 12;
    });
    expectWithin(halves, 0.15, 0.4);
    // People of the scene are as large as those of the other clip.
    for (const insertion of all) expect(sizeOf(insertion)).toBeCloseTo(1, 5);
    // They walk three pixels in three frames.
    const paces = all.map((insertion) => Math.hypot(...wayOf(insertion)) / 3);
    expectWithin(paces, 0.5 * 3, 8);
    expect(Math.max(...paces)).toBeGreaterThan(7.5);
    // The affine's rotation changes from frame to frame.
    const angleOf = ({ layer }: Insertion, offset: number) =>
      Math.atan2(layer(offset).affine[1], layer(offset).affine[0]);
    expect(all.filter((one) => Math.abs(angleOf(one, 3) - angleOf(one, 0)) > 0.05).length).toBeGreaterThan(30);
  });
});

describe("kinds of drawn objects", () => {
  for (const [kind, what] of [
    ["trolley", "trolley"],
    ["scooter", "scooter"],
    ["animal", "animal"],
    ["crouched", "crouched"],
    ["standing", "pole"],
  ] as const) {
    it(`${kind}: a ${what}, about as large as people are, ${kind === "standing" ? "which stands" : "which moves"}`, () => {
      const all = draws(kind);
      for (const { source, object, layer } of all) {
        expect([source, object.drawn, layer(0).plain]).toEqual([drawn, what, false]);
      }
      // They are drawn twice as large as people.
      expectWithin(all.map(sizeOf), 0.45, 0.6);
      // People of the scene walk three pixels in three frames.
      const paces = all.map((insertion) => Math.hypot(...wayOf(insertion)) / 3);
      if (kind === "standing") expect(Math.max(...paces)).toBeLessThan(1e-6);
      else expectWithin(paces, 0.8, 2.2);
      for (const insertion of all) {
        if (kind === "standing") continue;
        expect(Math.sign(wayOf(insertion)[0])).toBe(Math.sign(insertion.layer(0).affine[0]));
      }
    });
  }

  it("are absent if none was drawn", () => {
    for (const kind of ["trolley", "scooter", "animal", "crouched", "standing"] as const) {
      const of = (own: ForegroundLibrary) => drawValidationAnomaly(kind, uniformGenerator(1), own, place);
      expect([of({ clips: library.clips }), of({ ...library, drawn: { ...drawn, objects: [] } })]).toEqual([
        undefined,
        undefined,
      ]);
    }
  });
});

describe("every kind", () => {
  it("is the same for the same random numbers, and another one for others", () => {
    const shown = (kind: ValidationKind, seed: number) =>
      draws(kind, seed, 6).map(({ layer, gain, bias, first, last }) => {
        return { layers: [-3, 0, 3].map(layer), gain, bias, first, last };
      });
    for (const kind of validationKinds) {
      expect(shown(kind, 2), kind).toEqual(shown(kind, 2));
      // One thing moves in the scene: a window there has nothing to be drawn but its speed.
      if (!["stop", "backwards", "loop"].includes(kind)) expect(shown(kind, 3), kind).not.toEqual(shown(kind, 2));
    }
  });

  it("takes people of the scene itself if there is no other clip, and none if nobody is there", () => {
    const kinds = ["fast", "odd-size", "odd-look", "gliding", "thrown"] as const;
    const alone = kinds.map(
      (kind) => drawValidationAnomaly(kind, uniformGenerator(1), { clips: [scene] }, place)?.source,
    );
    expect(alone).toEqual(kinds.map(() => scene));
    const empty = { clips: [{ ...scene, objects: [] }] };
    for (const kind of kinds) expect(drawValidationAnomaly(kind, uniformGenerator(1), empty, place)).toBeUndefined();
  });
});
