import { mat2d } from "gl-matrix";
import { describe, expect, it } from "vitest";
import {
  type CutOutForm,
  type Insertion,
  insertCutOut,
  insertPiece,
  insertTimeWindow,
  type PieceForm,
} from "../../../src/data/anomalies/insertion.js";
import type { LibraryClip } from "../../../src/data/anomalies/library.js";
import { uniformGenerator } from "../../../src/random.js";
import { pathOf, sizeOf, wayOf } from "../../support/insertions.js";
import { clipOf, drawnClipOf, type Walker } from "../../support/walkers.js";

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
    const drawn = drawnClipOf(size, ["vehicle"], walker);
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

describe("in a scene with perspective", () => {
  const large = { width: 240, height: 160, background: [120, 120, 120] } as const;
  /** People are 12 pixels tall if their feet are at row 40, and a pixel more every five rows. */
  const tallAt = (foot: number) => 12 + 0.2 * (foot - 40);
  const rows = [40, 60, 80, 100, 120, 140];
  /** All walk an eighth of their height in three frames. */
  const people = rows.map((foot, i): Walker => {
    const ry = tallAt(foot) / 2;
    return { frame: 10, x: 40 + 30 * i, y: foot - ry, rx: 4, ry, speed: tallAt(foot) / 24, color: [20, 20, 20] };
  });
  const view = clipOf("view", large, people);
  const again = clipOf("again", large, people);
  const [far] = again.objects;
  const near = again.objects[5];
  /** The same view, in which one may only stand where this one stands. */
  const onlyAt = (index: number): LibraryClip => ({ ...view, objects: [view.objects[index]] });
  const range = (values: readonly number[]) => [Math.min(...values), Math.max(...values)];
  /** All lie between two values, and fill most of what is between. */
  const expectSpread = (values: readonly number[], least: number, most: number) => {
    const [from, to] = range(values);
    expect(from).toBeGreaterThanOrEqual(least - 1e-4);
    expect(to).toBeLessThanOrEqual(most + 1e-4);
    expect(to - from).toBeGreaterThan(0.8 * (most - least));
  };
  /** The same view, twice as large, in which nobody moves. */
  const empty: LibraryClip = {
    ...clipOf("empty", { width: 480, height: 320, background: [120, 120, 120] }, []),
    usual: { height: 44, foot: 180, slope: 0.2, stride: 1 / 8 },
  };

  it("has people as tall as they are where they stand", () => {
    const { height, foot, slope, stride } = view.usual;
    for (const [got, want] of [
      [height, 22],
      [foot, 90],
      [slope, 0.2],
      [stride, 1 / 8],
    ])
      expect(got).toBeCloseTo(want, 10);
  });

  describe("a cut-out", () => {
    const plain: CutOutForm = {
      ...{ scale: [1, 1], speed: { walk: [1, 1] }, veer: 0, rotation: 0, gain: [1, 1], bias: 0 },
    };
    /** Insertions, and the rows that their feet are at. */
    const draws = (
      scene: LibraryClip,
      source: LibraryClip,
      object = source.objects[0],
      changed: Partial<CutOutForm> = {},
    ) => {
      const random = uniformGenerator(11);
      return Array.from({ length: 80 }, () => {
        const insertion = insertCutOut(random, scene, 20, { source, object }, { ...plain, ...changed });
        const [size, way] = [sizeOf(insertion), Math.hypot(...wayOf(insertion))];
        const foot = pathOf(insertion, [0])[0][1] + size * object.boxes[1].ry;
        return { foot, size, way };
      });
    };

    it("from far away is pasted near as tall as people are there, and walks accordingly", () => {
      for (const { foot, size, way } of draws(onlyAt(5), again, far)) {
        // Feet stand up to a twentieth of the frame's height above or below.
        expect(Math.abs(foot - 140)).toBeLessThanOrEqual(8 + 1e-4);
        expect(size).toBeCloseTo(tallAt(foot) / 12, 4);
        expect(size).toBeGreaterThan(2.5);
        // It walks 1.5 pixels in three frames.
        expect(way).toBeCloseTo(1.5 * size, 4);
      }
      // The other way round, it is far smaller.
      for (const { foot, size, way } of draws(onlyAt(0), again, near)) {
        expect(Math.abs(foot - 40)).toBeLessThanOrEqual(8 + 1e-4);
        expect(size).toBeCloseTo(tallAt(foot) / 32, 4);
        expect(size).toBeLessThan(0.45);
        expect(way).toBeCloseTo(4 * size, 4);
      }
    });

    it("fits every place, with its scale and walk on top of that", () => {
      const all = draws(view, again, again.objects[2], { scale: [0.5, 1.5], speed: { walk: [2, 3] } });
      // It was cut out at row 80, where people are 20 pixels tall, and walks 2.5 pixels.
      const scales = all.map(({ foot, size }) => (20 * size) / tallAt(foot));
      const paces = all.map(({ size, way }) => way / (2.5 * size));
      expectSpread(scales, 0.5, 1.5);
      expectSpread(paces, 2, 3);
      const [highest, lowest] = range(all.map(({ foot }) => foot));
      expect([highest < 45, lowest > 135]).toEqual([true, true]);
    });

    it("keeps its share if it was unusually tall where it was cut out", () => {
      const giant = clipOf("giant", large, [...people, { ...people[0], y: 40 - 9, ry: 9 }]);
      const [, , , , , , object] = giant.objects;
      expect(giant.usual.slope).toBeCloseTo(0.2, 10);
      // 18 pixels instead of 12.
      for (const { foot, size } of draws(onlyAt(3), giant, object)) {
        expect(18 * size).toBeCloseTo(1.5 * tallAt(foot), 3);
      }
    });

    it("of another view is as tall as people of the scene", () => {
      // There, people are 24 pixels tall everywhere, on frames half as high.
      for (const { foot, size, way } of draws(view, other)) {
        expect(size).toBeCloseTo(tallAt(foot) / 24, 4);
        expect(way).toBeCloseTo(1.5 * size, 4);
      }
    });

    it("is as large in a scene without objects as people would be", () => {
      const all = draws(empty, again, again.objects[3]);
      for (const { foot, size, way } of all) {
        // Its own place, at row 100 of 160, and a twentieth of the height around.
        expect(Math.abs(foot - 200)).toBeLessThanOrEqual(16 + 1e-4);
        // People there are 24 pixels tall, and in the scene twice as tall in the same place.
        expect(size).toBeCloseTo((2 * tallAt(foot / 2)) / 24, 4);
        expect(way).toBeCloseTo(3 * size, 4);
      }
      expect(range(all.map(({ size }) => size))[1]).toBeGreaterThan(2.05);
    });

    it("of a drawn object is as tall as people times its scale, and as fast as they usually walk", () => {
      const drawn = drawnClipOf(large, ["trolley"], { ...walker, ry: 20 }, 30);
      const all = draws(view, drawn, drawn.objects[0], { scale: [0.8, 1.6], speed: { walk: [0.5, 2] } });
      // It is drawn for people of 60 pixels. People walk an eighth of their height.
      const scales = all.map(({ foot, size }) => (60 * size) / tallAt(foot));
      const paces = all.map(({ foot, way }) => way / (tallAt(foot) / 8));
      expectSpread(scales, 0.8, 1.6);
      expectSpread(paces, 0.5, 2);
    });
  });

  describe("a piece", () => {
    const thrown: PieceForm = {
      ...{ pieceSize: [0.2, 0.4], speed: { walk: [3, 8] }, where: "near", gain: [1, 1], bias: 0 },
    };
    const draws = (
      scene: LibraryClip,
      source: LibraryClip,
      object = source.objects[0],
      changed: Partial<PieceForm> = {},
    ) => {
      const random = uniformGenerator(12);
      return Array.from({ length: 80 }, () =>
        insertPiece(random, scene, 20, { source, object }, { ...thrown, ...changed }),
      );
    };
    const waysOf = (all: readonly Insertion[]) => range(all.map((piece) => Math.hypot(...wayOf(piece))));

    it("of somebody far away is as large near as one cut out there, and as fast", () => {
      const all = draws(onlyAt(5), again, far);
      for (const piece of all) {
        // People are 12 pixels tall where it is cut out, and 32 where it flies.
        expect(sizeOf(piece)).toBeCloseTo(32 / 12, 4);
        const { rx, ry } = piece.layer(0).box;
        expect(rx).toBe(ry);
        expect([ry >= 0.2 * 6, ry <= 0.4 * 6]).toEqual([true, true]);
        // The way that it falls is at most 0.4 times the greatest speed.
        const [[, before], [, now], [, after]] = pathOf(piece, [-3, 0, 3]);
        expect(after - 2 * now + before).toBeGreaterThan(-1e-3);
        expect(after - 2 * now + before).toBeLessThan(0.4 * 8 * 4 + 1e-3);
      }
      // People there walk four pixels in three frames.
      const [slowest, fastest] = waysOf(all);
      expect(slowest).toBeGreaterThanOrEqual(0.5 * 3 * 4 - 1e-3);
      expect(fastest).toBeLessThanOrEqual(8 * 4 + 1e-3);
      expect(fastest - slowest).toBeGreaterThan(0.8 * (8 - 1.5) * 4);
      // Far away they walk 1.5 pixels, and are 12 pixels tall.
      const there = draws(onlyAt(0), again, near);
      for (const piece of there) expect(sizeOf(piece)).toBeCloseTo(12 / 32, 4);
      expect(waysOf(there)[0]).toBeGreaterThanOrEqual(0.5 * 3 * 1.5 - 1e-3);
      expect(waysOf(there)[1]).toBeLessThanOrEqual(8 * 1.5 + 1e-3);
    });

    it("moves a share of the frame's height if asked for that, wherever it is", () => {
      for (const index of [0, 5]) {
        const [slowest, fastest] = waysOf(draws(onlyAt(index), again, far, { speed: { shift: [0.05, 0.1] } }));
        expect(slowest).toBeGreaterThanOrEqual(0.5 * 0.05 * 160 - 1e-3);
        expect(fastest).toBeLessThanOrEqual(0.1 * 160 + 1e-3);
        expect(fastest - slowest).toBeGreaterThan(0.8 * 0.075 * 160);
      }
    });

    it("is as large in a scene without objects as people would be", () => {
      const all = draws(empty, again, again.objects[3]);
      for (const piece of all) expect(sizeOf(piece)).toBeCloseTo(2, 4);
      // At row 100 of 160, people walk three pixels in three frames: six in the scene.
      expect(waysOf(all)[0]).toBeGreaterThanOrEqual(0.5 * 3 * 6 - 1e-3);
      expect(waysOf(all)[1]).toBeLessThanOrEqual(8 * 6 + 1e-3);
    });
  });
});
