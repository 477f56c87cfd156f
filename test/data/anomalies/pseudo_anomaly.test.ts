import { mat2d } from "gl-matrix";
import { describe, expect, it } from "vitest";
import { parseSafetensors } from "../../../src/checkpoint/safetensors.js";
import {
  buildForegroundLibrary,
  type ForegroundLibrary,
  type LibraryClip,
} from "../../../src/data/anomalies/library.js";
import { pasteFor, pasteLayer, toView } from "../../../src/data/anomalies/paste.js";
import { drawDecoy, drawPseudoAnomaly, pseudoAnomalyDefaults } from "../../../src/data/anomalies/pseudo_anomaly.js";
import { coveredValues, cutObject, pasteCutOut } from "../../../src/data/anomalies/ubnormal.js";
import { resizeBilinear } from "../../../src/data/resize.js";
import { uniformGenerator } from "../../../src/random.js";
import { fixture } from "../../support/fixtures.js";
import { pathOf, sizeOf, wayOf } from "../../support/insertions.js";
import { clipOf, drawnClipOf, fill, flat, type Walker, walk } from "../../support/walkers.js";

describe("resizeBilinear", () => {
  const { tensors } = parseSafetensors(fixture("preprocess.safetensors"), "preprocess.safetensors");
  const { shape, data } = tensors.get("bgr.image")!;
  for (const size of ["24x30", "32x64", "320x640"]) {
    it(`gives OpenCV's result at ${size}`, () => {
      const [height, width] = size.split("x").map(Number);
      const image = { height: shape[0], width: shape[1], data: data as Uint8Array };
      const want = tensors.get(`bgr.resized_${size}`)!.data;
      const got = resizeBilinear(image, { height, width }).data;
      expect(got.length).toBe(want.length);
      expect(got.filter((value, i) => value !== want[i]).length).toBe(0);
    });
  }
});

describe("the UBnormal procedure", () => {
  it("cuts out an object of 800 values or more; its annotation may be larger than the frame", () => {
    const frame = flat(30, 20, 77);
    const numbers = { width: 32, height: 21, data: new Uint8Array(32 * 21) };
    // 267 pixels are 801 values; one pixel less is 798.
    for (let i = 0; i < 267; i++) numbers.data[Math.floor(i / 30) * 32 + (i % 30)] = 4;
    numbers.data[31] = 4;
    numbers.data[20 * 32] = 4;
    const cut = cutObject(frame, numbers, 4);
    expect(coveredValues(cut!.mask)).toBe(801);
    expect(cut!.mask.data[266 * 3]).toBe(255);
    expect([cut!.cutOut.data[266 * 3], cut!.cutOut.data[267 * 3]]).toEqual([77, 0]);
    numbers.data[0] = 5;
    expect(cutObject(frame, numbers, 4)).toBeUndefined();
  });

  it("pastes in grayscale, blurred, saturating; soft values of the mask also hide the frame", () => {
    const cutOut = fill(flat(5, 5, 0), [2, 2, 3, 3], 40, 200, 120);
    const mask = fill(flat(5, 5, 0), [2, 2, 3, 3], 1, 1, 1);
    // libpng's luma: (3737·40 + 19234·200 + 9797·120) >> 15, then a 3×3 kernel (1 2 1)²/16.
    const luma = (3737 * 40 + 19234 * 200 + 9797 * 120) >> 15;
    const share = (weight: number) => (luma * weight + 8) >> 4;
    const { data } = pasteCutOut(flat(5, 5, 250), mask, cutOut);
    const at = (x: number, y: number) => data[(y * 5 + x) * 3 + 1];
    expect([at(2, 2), at(1, 2), at(1, 1), at(0, 0)]).toEqual([share(4), 255, Math.min(255, 250 + share(1)), 250]);
    const dark = pasteCutOut(flat(5, 5, 10), mask, cutOut).data;
    expect([dark[(2 * 5 + 1) * 3], dark[(3 * 5 + 3) * 3]]).toEqual([10 + share(2), 10 + share(1)]);
  });

  it("reflects at the border without repeating it", () => {
    const cutOut = fill(flat(3, 3, 0), [1, 0, 2, 1], 160, 160, 160);
    const { data } = pasteCutOut(flat(3, 3, 0), flat(3, 3, 0), cutOut);
    expect([data[3], data[0], data[12]]).toEqual([(160 * 4 + 8) >> 4, (160 * 4 + 8) >> 4, (160 * 2 + 8) >> 4]);
  });
});

describe("pasteLayer", () => {
  const look = { gain: [1, 1, 1], bias: 0, low: 10, high: 20 } as const;
  const background = flat(40, 30, 100);
  const block = fill(flat(40, 30, 100), [10, 8, 20, 22], 30, 40, 50);
  const box = { x: 15, y: 15, rx: 8, ry: 10 };

  it("moves a whole object without its surroundings", () => {
    // Five to the right, two up.
    const affine = mat2d.fromTranslation(mat2d.create(), [-5, 2]);
    const { frame, mask } = pasteLayer(
      flat(40, 30, 200),
      { frame: block, background },
      { affine, box, plain: false },
      look,
    );
    const at = (x: number, y: number) => Array.from(frame.data.subarray((y * 40 + x) * 3, (y * 40 + x) * 3 + 3));
    for (let y = 0; y < 30; y++) {
      for (let x = 0; x < 40; x++) {
        const [dx, dy] = [Math.min(x - 15, 24 - x), Math.min(y - 6, 19 - y)];
        // The outermost pixels blend a little; corners are rounded.
        if (Math.min(dx, dy) >= 1 && dx + dy >= 3) {
          expect([mask[y * 40 + x], ...at(x, y)]).toEqual([255, 30, 40, 50]);
        } else if (Math.min(dx, dy) < -2) {
          expect([mask[y * 40 + x], ...at(x, y)]).toEqual([0, 200, 200, 200]);
        } else if (Math.min(dx, dy) < 0) {
          // No rim: what remains of the source's background becomes the frame's.
          expect(mask[y * 40 + x]).toBe(0);
          for (const value of at(x, y)) expect(value).toBe(200);
        }
      }
    }
  });

  it("scales, mirrors and recolours", () => {
    const affine = mat2d.invert(
      mat2d.create(),
      // Twice as large and mirrored, around the middle of both.
      mat2d.fromValues(-2, 0, 0, 2, 40 + 2 * 15, 30 - 2 * 15),
    ) as mat2d;
    const { frame, mask } = pasteLayer(
      flat(80, 60, 0),
      { frame: block, background },
      { affine, box, plain: false },
      { ...look, gain: [2, 1, 0.5], bias: 5 },
    );
    const middle = (30 * 80 + 40) * 3;
    expect(Array.from(frame.data.subarray(middle, middle + 3))).toEqual([65, 45, 30]);
    const covered = mask.reduce((count, value) => count + value / 255, 0);
    expect(covered / (4 * 10 * 14)).toBeGreaterThan(0.9);
    expect(covered / (4 * 10 * 14)).toBeLessThan(1.1);
  });

  it("pastes all of a plain window; the mask is its foreground", () => {
    const dark = flat(40, 30, 60);
    const { frame, mask } = pasteLayer(
      dark,
      { frame: block, background },
      { affine: mat2d.create(), box, plain: true },
      look,
    );
    const at = (x: number, y: number) => [frame.data[(y * 40 + x) * 3], mask[y * 40 + x]];
    expect([at(15, 15), at(8, 15), at(15, 6), at(2, 2), at(30, 15)]).toEqual([
      [30, 255],
      [100, 0],
      [100, 0],
      [60, 0],
      [60, 0],
    ]);
  });
});

const size = { width: 120, height: 80, background: [120, 120, 120] } as const;
const walker: Walker = { frame: 10, x: 60, y: 42, rx: 5, ry: 12, speed: 1, color: [20, 20, 20] };

describe("drawDecoy", () => {
  it("lets somebody of another clip walk as people do there", async () => {
    const scene = clipOf("scene", size, [walker]);
    // In the other clip, which is twice as large, he walks three pixels a frame.
    const large = { width: 240, height: 160, background: [120, 120, 120] } as const;
    const other = clipOf("other", large, [{ ...walker, ry: 20, rx: 10, speed: 3 }]);
    const random = uniformGenerator(3);
    const paces: number[] = [];
    for (let i = 0; i < 100; i++) {
      const decoy = drawDecoy(random, { clips: [scene, other] }, { clip: 0, frame: 20 })!;
      expect([decoy.kind, decoy.source, decoy.frame]).toEqual(["decoy", other, 20]);
      // People of the scene are 24 pixels high, those of the other clip 40.
      expect(sizeOf(decoy)).toBeGreaterThanOrEqual(0.6 * 0.95 - 1e-5);
      expect(sizeOf(decoy)).toBeLessThanOrEqual(0.6 * 1.05 + 1e-5);
      const [dx, dy] = wayOf(decoy);
      expect(Math.abs(dy)).toBeLessThan(1e-4);
      expect(Math.sign(dx)).toBe(Math.sign(decoy.layer(0).affine[0]));
      paces.push(Math.abs(dx) / (3 * 3 * sizeOf(decoy)));
      expect([-3, 0, 3].map((offset) => decoy.layer(offset).frame)).toEqual([7, 10, 13]);
      expect(Math.max(...decoy.gain)).toBeLessThanOrEqual(1.08);
      expect(Math.abs(decoy.bias)).toBeLessThanOrEqual(6);
    }
    expect(Math.min(...paces)).toBeGreaterThanOrEqual(0.9 - 1e-4);
    expect(Math.max(...paces)).toBeLessThanOrEqual(1.1 + 1e-4);
    expect(Math.max(...paces) - Math.min(...paces)).toBeGreaterThan(0.15);
    expect(drawDecoy(random, { clips: [{ ...scene, objects: [] }] }, { clip: 0, frame: 20 })).toBeUndefined();
  });
});

describe("drawPseudoAnomaly", () => {
  const options = pseudoAnomalyDefaults;
  const library = buildForegroundLibrary([walk("a", 1.5), walk("b", -0.4)]);
  const draws = async (speedup: number, seed = 1) => {
    const random = uniformGenerator(seed);
    const clips = await library;
    return Array.from(
      { length: 40 },
      () => drawPseudoAnomaly(random, clips, { clip: 0, frame: 20 }, { ...options, speedup })!,
    );
  };

  it("gives the same for the same random numbers", async () => {
    const view = { height: 64, width: 96 };
    const slots = {
      frame: (clip: LibraryClip, frame: number) => (clip.name === "a" ? frame : 100 + frame),
      background: () => 7,
    };
    const packed = async (seed: number) => (await draws(0.5, seed)).map((anomaly) => pasteFor(anomaly, view, slots));
    expect(await packed(3)).toEqual(await packed(3));
    expect(await packed(3)).not.toEqual(await packed(4));
    expect((await draws(0.5)).filter(({ kind }) => kind === "speedup").length).toBeGreaterThan(8);
  });

  it("draws cut-outs of other clips, which move as far and are as large as requested", async () => {
    const { clips } = await library;
    for (const anomaly of await draws(0)) {
      expect([anomaly.kind, anomaly.source]).toEqual(["cutout", clips[1]]);
      const layers = [-3, 0, 3].map((offset) => anomaly.layer(offset));
      const way = Math.hypot(...wayOf(anomaly)) / 80;
      expect(way).toBeGreaterThan(options.shift[0] - 1e-4);
      expect(way).toBeLessThan(options.shift[1] + 1e-4);
      expect(layers.map(({ frame }) => frame - anomaly.object.frame)).toEqual([-3, 0, 3]);
      const { affine } = layers[1];
      const size = sizeOf(anomaly);
      expect(size).toBeGreaterThan(0.9 - 1e-4);
      expect(size).toBeLessThan(2.2 + 1e-4);
      expect(Math.abs(Math.atan(affine[1] / affine[0]))).toBeLessThan((options.rotation * Math.PI) / 180 + 1e-4);
      // Gray footage stays gray.
      expect(new Set(anomaly.gain).size).toBe(1);
      // It keeps walking beyond the three frames, within seven.
      for (let o = anomaly.first; o <= anomaly.last; o++) {
        expect(Math.abs(anomaly.layer(o).frame - anomaly.object.frame)).toBeLessThanOrEqual(3);
      }
    }
  });

  it("draws speed-ups with outer frames t ∓ 3k, in a window that holds the whole way", async () => {
    const speeds = new Set<number>();
    for (const anomaly of await draws(1)) {
      expect(anomaly.kind).toBe("speedup");
      const [before, now, after] = [-3, 0, 3].map((offset) => anomaly.layer(offset));
      const k = (20 - before.frame) / 3;
      speeds.add(k);
      expect([now.frame, after.frame]).toEqual([20, 20 + 3 * k]);
      const { box } = now;
      for (const frame of [before.frame, after.frame]) {
        const x = 20 + 1.5 * frame + 5;
        expect(Math.abs(x - box.x)).toBeLessThan(box.rx);
      }
    }
    expect([...speeds].sort()).toEqual([2, 3, 4, 5]);
  });

  it("draws falling pieces of other clips, as small and as fast as requested", async () => {
    const { clips } = await library;
    const random = uniformGenerator(9);
    const shift = [0.1, 0.3] as const;
    const thrown = { ...options, speedup: 0.25, pieces: 0.5, shift };
    const draws = Array.from(
      { length: 200 },
      () => drawPseudoAnomaly(random, { clips }, { clip: 0, frame: 20 }, thrown)!,
    );
    const pieces = draws.filter(({ kind }) => kind === "piece");
    expect(pieces.length).toBeGreaterThan(80);
    expect(pieces.length).toBeLessThan(120);
    expect(draws.filter(({ kind }) => kind === "speedup").length).toBeGreaterThan(30);
    expect(draws.filter(({ kind }) => kind === "cutout").length).toBeGreaterThan(30);
    const ways: number[] = [];
    for (const piece of pieces) {
      const { source, object, layer } = piece;
      expect(source).toBe(clips[1]);
      const own = object.boxes[1];
      const { box, plain } = layer(0);
      expect([box.rx, plain]).toEqual([box.ry, false]);
      expect(box.ry / own.ry).toBeGreaterThan(options.pieceSize[0] - 1e-6);
      expect(box.ry / own.ry).toBeLessThan(options.pieceSize[1] + 1e-6);
      // Its middle lies on the object.
      expect(Math.abs(box.x - own.x)).toBeLessThan(own.rx);
      expect(Math.abs(box.y - own.y)).toBeLessThan(own.ry);
      const [before, now, after] = pathOf(piece, [-3, 0, 3]);
      const velocity = [(after[0] - before[0]) / 2, (after[1] - before[1]) / 2] as const;
      const way = Math.hypot(...velocity) / 80;
      expect(way).toBeGreaterThan(0.5 * shift[0] - 1e-4);
      expect(way).toBeLessThan(shift[1] + 1e-4);
      ways.push(Math.atan2(velocity[1], velocity[0]));
      // It accelerates downwards, but not sideways.
      const fall = after[1] - 2 * now[1] + before[1];
      expect(fall).toBeGreaterThan(-1e-3);
      expect(fall / 80).toBeLessThan(0.4 * shift[1] + 1e-4);
      expect(Math.abs(after[0] - 2 * now[0] + before[0])).toBeLessThan(1e-3);
    }
    // In all directions: there are some in all four quarters.
    expect(new Set(ways.map((angle) => Math.floor(angle / (Math.PI / 2)))).size).toBe(4);
    // Anywhere from the upper border to the ground, on the whole width.
    const ground = Math.max(...clips[0].objects.map(({ boxes: [, { y, ry }] }) => y + ry));
    const centres = pieces.map((piece) => pathOf(piece, [0])[0]);
    for (const [along, end] of [
      [centres.map(([x]) => x), clips[0].width],
      [centres.map(([, y]) => y), ground],
    ] as const) {
      expect(Math.min(...along)).toBeLessThan(0.1 * end);
      expect(Math.min(...along)).toBeGreaterThan(-1e-3);
      expect(Math.max(...along)).toBeGreaterThan(0.9 * end);
      expect(Math.max(...along)).toBeLessThan(end + 1e-3);
    }
  });

  it("moves cut-outs relative to their own walk, pieces and drawn objects relative to the usual one", async () => {
    const { clips } = await library;
    const random = uniformGenerator(10);
    const drawn = drawnClipOf(size, ["box"], walker);
    const byWalk = { ...options, speedup: 0, drawn: 0.3, pieces: 0.4, walk: [2, 3] as const };
    // How far people of the scene walk in three frames, all in the same row: "a" walks by 1.5
    // pixels a frame. Cut-outs are of "b", which walks by 0.4.
    const walks = clips[0].objects.map(({ boxes }) => Math.abs(boxes[2].x - boxes[0].x) / 2);
    const usual = walks.sort((a, b) => a - b)[walks.length >> 1];
    expect(Math.abs(usual - 4.5)).toBeLessThanOrEqual(0.5);
    const kinds = new Set<string>();
    for (let i = 0; i < 100; i++) {
      const anomaly = drawPseudoAnomaly(random, { clips, drawn }, { clip: 0, frame: 20 }, byWalk)!;
      kinds.add(anomaly.kind);
      const way = Math.hypot(...wayOf(anomaly));
      const [before, , after] = anomaly.object.boxes;
      const own = (sizeOf(anomaly) * Math.hypot(after.x - before.x, after.y - before.y)) / 2;
      const ranges: Record<string, [number, number]> = {
        ...{ cutout: [2 * own, 3 * own], piece: [usual, 3 * usual], drawn: [0, 3 * usual] },
      };
      const [least, most] = ranges[anomaly.kind];
      expect(way, anomaly.kind).toBeGreaterThan(least - 1e-3);
      expect(way, anomaly.kind).toBeLessThan(most + 1e-3);
    }
    expect([...kinds].sort()).toEqual(["cutout", "drawn", "piece"]);
  });

  it("draws a cut-out if t − 3k does not exist: of another clip, or of the only one", async () => {
    const { clips } = await library;
    const random = uniformGenerator(1);
    const draw = (all: readonly LibraryClip[]) =>
      drawPseudoAnomaly(random, { clips: all }, { clip: 0, frame: 4 }, { ...options, speedup: 1 });
    expect(draw(clips)).toMatchObject({ kind: "cutout", source: { name: "b" } });
    expect(draw(clips.slice(0, 1))).toMatchObject({ kind: "cutout", source: { name: "a" } });
    // Others have nothing to cut out.
    const empty = { ...clips[1], objects: [] };
    expect(draw([clips[0], empty])).toMatchObject({ kind: "cutout", source: { name: "a" } });
    expect(draw([empty, empty])).toBeUndefined();
  });

  it("draws the kinds in the shares asked for", async () => {
    const { clips } = await library;
    const random = uniformGenerator(5);
    const drawn = drawnClipOf(size, ["box"], walker);
    const shares = { ...options, speedup: 0.2, drawn: 0.3, pieces: 0.1, frozen: 0.25 };
    const count = 2000;
    const countsOf = (library: ForegroundLibrary, how = shares) => {
      const counts = { speedup: 0, drawn: 0, piece: 0, frozen: 0, cutout: 0, decoy: 0 };
      for (let i = 0; i < count; i++) counts[drawPseudoAnomaly(random, library, { clip: 0, frame: 20 }, how)!.kind]++;
      return counts;
    };
    const expectShares = (counts: Record<string, number>, wanted: Record<string, number>) => {
      for (const [kind, share] of Object.entries(wanted)) {
        // Four standard deviations.
        const deviation = 4 * Math.sqrt(count * share * (1 - share));
        expect(Math.abs(counts[kind] - count * share), kind).toBeLessThanOrEqual(deviation);
      }
    };
    // Of the 40 % that remain, a quarter is frozen.
    const wanted = { speedup: 0.2, drawn: 0.3, piece: 0.1, frozen: 0.1, cutout: 0.3, decoy: 0 };
    expectShares(countsOf({ clips, drawn }), wanted);
    // Without drawn objects, cut-outs stand in.
    const without = { ...wanted, drawn: 0, frozen: 0.25 * 0.7, cutout: 0.75 * 0.7 };
    expectShares(countsOf({ clips }), without);
    expectShares(countsOf({ clips, drawn: { ...drawn, objects: [] } }), without);
    expectShares(countsOf({ clips, drawn }, { ...shares, speedup: 0, drawn: 1, pieces: 0 }), { drawn: 1 });
  });

  it("draws frozen people at about the speed of a walk, and drawn objects of another scale", async () => {
    const { clips } = await library;
    const random = uniformGenerator(6);
    const drawn = drawnClipOf(size, ["box"], walker);
    const how = { ...options, speedup: 0, drawn: 0.5, frozen: 1, scale: [0.9, 1.1] } as const;
    // All objects of a clip are about as high.
    const heights = clips[0].objects.map(({ boxes }) => 2 * boxes[1].ry).sort((a, b) => a - b);
    const people = heights[heights.length >> 1];
    const kinds = new Set<string>();
    for (let i = 0; i < 200; i++) {
      const anomaly = drawPseudoAnomaly(random, { clips, drawn }, { clip: 0, frame: 20 }, how)!;
      kinds.add(anomaly.kind);
      const way = Math.hypot(...wayOf(anomaly));
      const shown = new Set([-7, -3, 0, 2, 3].map((offset) => anomaly.layer(offset).frame));
      if (anomaly.kind === "frozen") {
        expect([anomaly.source, [...shown]]).toEqual([clips[1], [anomaly.object.frame]]);
        const [before, , after] = anomaly.object.boxes;
        const pace = way / ((sizeOf(anomaly) * Math.hypot(after.x - before.x, after.y - before.y)) / 2);
        expect(pace).toBeGreaterThanOrEqual(0.7 - 1e-4);
        expect(pace).toBeLessThanOrEqual(2 + 1e-4);
      } else {
        expect([anomaly.source, shown.size > 2]).toEqual([drawn, true]);
        expect(way / 80).toBeLessThanOrEqual(options.shift[1] + 1e-5);
        // Drawn for people of 48 pixels, pasted 0.8 to 1.6 times as large as those of the scene.
        expect(sizeOf(anomaly)).toBeGreaterThanOrEqual((0.8 * people) / 48 - 1e-5);
        expect(sizeOf(anomaly)).toBeLessThanOrEqual((1.6 * people) / 48 + 1e-5);
      }
    }
    expect([...kinds].sort()).toEqual(["drawn", "frozen"]);
  });

  it("means the same in resized frames", async () => {
    const [anomaly] = await draws(0);
    const layer = anomaly.layer(0);
    const view = toView(layer, anomaly.scene, anomaly.source, { height: 40, width: 240 });
    // The scene's pixel (30, 50) of 120×80 is (60, 25) in the view. The source is scaled alike.
    const at = ({ affine: m }: { affine: mat2d }, x: number, y: number) => [
      m[0] * x + m[2] * y + m[4],
      m[1] * x + m[3] * y + m[5],
    ];
    const [x, y] = at(layer, 30, 50);
    const [vx, vy] = at(view, 60, 25);
    expect(Math.abs(vx - 2 * x)).toBeLessThan(1e-3);
    expect(Math.abs(vy - y / 2)).toBeLessThan(1e-3);
    expect(view.box.rx).toBeCloseTo(2 * layer.box.rx);
  });
});
