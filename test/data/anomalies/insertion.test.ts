import { mat2d } from "gl-matrix";
import { describe, expect, it } from "vitest";
import {
  type CutOutForm,
  type Insertion,
  insertCutOut,
  insertTimeWindow,
} from "../../../src/data/anomalies/insertion.js";
import { uniformGenerator } from "../../../src/random.js";
import { pathOf, sizeOf, wayOf } from "../../support/insertions.js";
import { clipOf, type Walker } from "../../support/walkers.js";

const size = { width: 120, height: 80, background: [120, 120, 120] } as const;
const walker: Walker = { frame: 10, x: 33, y: 42, rx: 5, ry: 12, speed: 1, color: [20, 20, 20] };
const scene = clipOf("scene", size, [walker]);
const other = clipOf("other", size, [{ ...walker, speed: -0.5 }]);

describe("a window of another time", () => {
  const insert = (frame: number, rate: number, clip = scene) =>
    insertTimeWindow(
      uniformGenerator(1),
      clip,
      frame,
      () => rate,
      (offset, speed) => offset * speed,
    );

  it("holds the way that the object goes, and lasts as long as the clip allows", () => {
    const { first, last, layer, source } = insert(11, 2)!;
    expect(source).toBe(scene);
    // Eleven frames before it exist: five times two. One frame after its own, the object is a pixel
    // further.
    expect([first, last]).toEqual([-5, 5]);
    const { box, affine, plain } = layer(0);
    expect(box).toEqual({ x: 34, y: 42, rx: 1.2 * 5 + 1 * 2 * 5, ry: 1.2 * 12 });
    expect([plain, [...affine]]).toEqual([true, [...mat2d.create()]]);
    for (let offset = -5; offset <= 5; offset++) expect(layer(offset).frame).toBe(11 + 2 * offset);
    // At most 20 frames before and after, however long the clip is.
    const long = clipOf("long", size, [{ ...walker, frame: 100 }], 200);
    expect([insert(100, 3, long)!.first, insert(100, 3, long)!.last]).toEqual([-6, 6]);
  });

  it("needs something that moves within three frames, and three frames at its speed", () => {
    expect(insert(13, 1)).toBeDefined();
    expect(insert(14, 1)).toBeUndefined();
    expect(insert(7, 2)).toBeDefined();
    expect(insert(6, 1)).toBeUndefined();
    // Frame 8 has eight frames before it, and 3 · 3 are needed.
    expect(insert(8, 3)).toBeUndefined();
    const ending = clipOf("ending", size, [{ ...walker, frame: 32 }], 38);
    expect(insert(31, 2, ending)).toBeDefined();
    expect(insert(32, 2, ending)).toBeUndefined();
  });
});

describe("a cut-out", () => {
  const form: CutOutForm = {
    ...{ scale: [0.5, 1.5], speed: { walk: [2, 3] }, veer: 0, rotation: 0, gain: [1, 1], bias: 0 },
  };
  const draws = (changed: Partial<CutOutForm> = {}, from = other): Insertion[] => {
    const random = uniformGenerator(7);
    const what = { source: from, object: from.objects[0] };
    return Array.from({ length: 60 }, () => insertCutOut(random, scene, 20, what, { ...form, ...changed }));
  };

  it("walks as fast as asked for, in units of its own walk and size, where it faces", () => {
    const paces = draws().map((insertion) => {
      const [dx, dy] = wayOf(insertion);
      // The original walks to the left. If it is mirrored, it walks to the right.
      const { affine } = insertion.layer(0);
      expect(Math.sign(dx)).toBe(-Math.sign(affine[0]));
      expect(Math.abs(dy)).toBeLessThan(1e-4);
      // It walks 1.5 pixels in three frames, times its size.
      return Math.abs(dx) / (1.5 * sizeOf(insertion));
    });
    expect(Math.min(...paces)).toBeGreaterThanOrEqual(2 - 1e-4);
    expect(Math.max(...paces)).toBeLessThanOrEqual(3 + 1e-4);
    expect(Math.max(...paces) - Math.min(...paces)).toBeGreaterThan(0.8);
  });

  it("moves a share of the frame's height if asked for that, and leaves its direction by few degrees", () => {
    const angles = draws({ speed: { shift: [0.05, 0.1] }, veer: 15 }).map((insertion) => {
      const [dx, dy] = wayOf(insertion);
      expect(Math.hypot(dx, dy) / 80).toBeGreaterThanOrEqual(0.05 - 1e-5);
      expect(Math.hypot(dx, dy) / 80).toBeLessThanOrEqual(0.1 + 1e-5);
      return (Math.atan(dy / dx) * 180) / Math.PI;
    });
    expect(Math.max(...angles.map(Math.abs))).toBeLessThanOrEqual(15 + 1e-3);
    expect(Math.max(...angles) - Math.min(...angles)).toBeGreaterThan(15);
  });

  it("walks through seven frames to and fro; a frozen one shows one frame all the time", () => {
    const [walking] = draws();
    const shown = Array.from({ length: 25 }, (_, i) => walking.layer(i - 12).frame - 10);
    // A triangle wave that equals the offset from −3 to 3.
    const wave = [0, 1, 2, 3, 2, 1, 0, -1, -2, -3, -2, -1];
    expect(shown).toEqual([...wave, ...wave, 0]);
    for (const frozen of draws({ still: true })) {
      expect(frozen.last - frozen.first).toBeGreaterThan(6);
      for (let offset = frozen.first; offset <= frozen.last; offset++) {
        expect(frozen.layer(offset)).toMatchObject({ frame: 10, box: other.objects[0].boxes[1], plain: false });
      }
    }
  });

  it("of a drawn object moves where it faces, though its boxes stand still", () => {
    const [object] = clipOf("drawn", size, [{ ...walker, speed: 0 }]).objects;
    const drawn = { ...clipOf("drawn", size, []), objects: [{ ...object, drawn: "vehicle" as const }] };
    const all = draws({ speed: { shift: [0.02, 0.1] } }, drawn);
    for (const insertion of all) {
      const [dx] = wayOf(insertion);
      expect(Math.sign(dx)).toBe(Math.sign(insertion.layer(0).affine[0]));
    }
    const mirrored = all.filter(({ layer }) => layer(0).affine[0] < 0).length;
    expect([mirrored > 15, mirrored < 45]).toEqual([true, true]);
  });

  it("is visible as long as its middle is in the frame, for 24 frames at most", () => {
    const ends = new Set<number>();
    for (const insertion of draws({ speed: { walk: [3, 8] } })) {
      const { first, last } = insertion;
      const isInside = (offset: number) => {
        const [[x, y]] = pathOf(insertion, [offset]);
        return x > 0 && y > 0 && x < 120 && y < 80;
      };
      for (let offset = first; offset <= last; offset++) expect(isInside(offset) || offset === 0).toBe(true);
      expect(first === -24 || !isInside(first - 1)).toBe(true);
      expect(last === 24 || !isInside(last + 1)).toBe(true);
      ends.add(first).add(last);
    }
    expect([ends.has(-24) || ends.has(24), ends.size > 8]).toEqual([true, true]);
  });

  it("is not higher than half the frame", () => {
    // 24 pixels of 80: at most 1.67 times as large.
    const sizes = draws({ scale: [1.5, 3] }).map(sizeOf);
    expect(Math.max(...sizes)).toBeCloseTo(40 / 24, 5);
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(1.5 - 1e-5);
  });

  it("keeps gray videos gray, and tints colour ones", () => {
    const gains = (from: typeof scene) =>
      draws({ gain: [0.5, 1.5], bias: 10 }, from).map(({ gain }) => new Set(gain).size);
    expect(new Set(gains(other))).toEqual(new Set([1]));
    const color = clipOf("colour", { ...size, background: [90, 120, 150] }, [walker]);
    // The scene is gray, so what is pasted there must be gray as well.
    expect(new Set(gains(color))).toEqual(new Set([1]));
    const random = uniformGenerator(1);
    const { gain, bias } = insertCutOut(
      random,
      color,
      20,
      { source: color, object: color.objects[0] },
      {
        ...form,
        ...{ gain: [0.5, 1.5], bias: 10 },
      },
    );
    expect(new Set(gain).size).toBe(3);
    expect(Math.max(...gain) / Math.min(...gain)).toBeLessThan(1.15 / 0.85);
    expect(Math.abs(bias)).toBeLessThanOrEqual(10);
  });
});
