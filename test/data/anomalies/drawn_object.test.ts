import { mat2d } from "gl-matrix";
import { describe, expect, it } from "vitest";
import { type DrawnKind, trainingObjects, validationObjects } from "../../../src/data/anomalies/drawn_kinds.js";
import {
  type DrawingStyle,
  type DrawnClip,
  drawnForeground,
  drawObject,
  drawObjects,
} from "../../../src/data/anomalies/drawn_object.js";
import { keptCrop, type LibraryClip, type MovingObject } from "../../../src/data/anomalies/library.js";
import { pasteLayer, toCrop } from "../../../src/data/anomalies/paste.js";
import type { BgrImage } from "../../../src/data/resize.js";
import { Draw } from "../../../src/data/scene/draw.js";
import { type Bgr, clipOf, flat, type Walker } from "../../support/walkers.js";

const kinds: readonly DrawnKind[] = [...trainingObjects, ...validationObjects];
const size = { width: 120, height: 80 };
const walker: Walker = { frame: 10, x: 60, y: 42, rx: 5, ry: 12, speed: 1, color: [20, 20, 20] };

/** People of a clip, drawn on a background of this colour; 14 pixels high, to be quick. */
const styleOf = (clip: LibraryClip, background: Bgr, gray: boolean): DrawingStyle => ({
  ...{ background, gray, personHeight: 14 },
  person: (draw) => {
    const object = draw.pick(clip.objects);
    return { object, crop: object.crop!, clip };
  },
});
const grayClip = clipOf("gray", { ...size, background: [120, 120, 120] }, [walker, { ...walker, speed: -1 }]);
const colorClip = clipOf("colour", { ...size, background: [100, 140, 120] }, [{ ...walker, color: [20, 60, 200] }]);
const gray = styleOf(grayClip, [120, 120, 120], true);
const color = styleOf(colorClip, [120, 120, 120], false);
/** Here the people have almost the colour of the background that objects are drawn on. */
const hidden = styleOf(grayClip, [22, 22, 22], true);
const seeds = [1, 2, 3];

/** How far each pixel's colour is from the background's, in grey levels. */
function contrastsOf({ data }: BgrImage, background: Bgr): number[] {
  return Array.from({ length: data.length / 3 }, (_, i) =>
    Math.max(...background.map((value, c) => Math.abs(data[3 * i + c] - value))),
  );
}

/** Comparing buffers is much quicker than `toEqual`. */
const pixelsOf = (images: readonly BgrImage[]) => Buffer.concat(images.map(({ data }) => data));

describe("drawObject", () => {
  it("draws every kind inside its box, in seven frames", () => {
    for (const kind of kinds) {
      for (const seed of seeds) {
        const { frames, background, box } = drawObject(kind, new Draw(seed), gray);
        const { width, height } = background;
        expect(background.data).toEqual(flat(width, height, 120).data);
        expect([box.x - box.rx >= 0, box.x + box.rx <= width], kind).toEqual([true, true]);
        expect([box.y - box.ry >= 0, box.y + box.ry <= height], kind).toEqual([true, true]);
        expect(frames.length).toBe(7);
        for (const frame of frames) {
          expect([frame.width, frame.height]).toEqual([width, height]);
          let [inside, outside] = [0, 0];
          for (const [i, contrast] of contrastsOf(frame, gray.background).entries()) {
            if (contrast === 0) continue;
            const [x, y] = [(i % width) + 0.5, Math.floor(i / width) + 0.5];
            if (Math.abs(x - box.x) <= box.rx && Math.abs(y - box.y) <= box.ry) inside++;
            else outside++;
          }
          expect(inside, `${kind}, seed ${seed}`).toBeGreaterThan(12);
          expect(outside, `${kind}, seed ${seed}`).toBeLessThanOrEqual(0.05 * inside);
        }
      }
    }
  });

  it("draws gray objects for gray videos, colour ones for others", () => {
    const isColored = ({ data }: BgrImage) => data.some((value, i) => i % 3 < 2 && value !== data[i + 1]);
    for (const kind of kinds) {
      for (const seed of seeds) {
        expect(drawObject(kind, new Draw(seed), gray).frames.some(isColored), kind).toBe(false);
        expect(drawObject(kind, new Draw(seed), color).frames.every(isColored), kind).toBe(true);
      }
    }
  });

  it("draws nothing that pasting would take for background, even if people have its colour", () => {
    const withoutPeople: readonly DrawnKind[] = ["box", "disc", "shape", "animal", "pole"];
    for (const [name, style] of Object.entries({ gray, color, hidden })) {
      for (const kind of kinds) {
        const seed = kind.length;
        // People have soft edges: there, three pixels count as the edge.
        const edge = withoutPeople.includes(kind) ? 0 : 3;
        const { frames, background } = drawObject(kind, new Draw(seed), style);
        const { width, height } = background;
        let inside = 0;
        for (const frame of frames) {
          const contrasts = contrastsOf(frame, style.background);
          const isDrawn = (x: number, y: number) => {
            for (let dy = -edge; dy <= edge; dy++) {
              for (let dx = -edge; dx <= edge; dx++) if (contrasts[(y + dy) * width + x + dx] === 0) return false;
            }
            return true;
          };
          for (let y = edge; y < height - edge; y++) {
            for (let x = edge; x < width - edge; x++) {
              if (!isDrawn(x, y)) continue;
              inside++;
              expect(contrasts[y * width + x], `${name}: ${kind} at ${x}, ${y}`).toBeGreaterThan(drawnForeground.high);
            }
          }
        }
        expect(inside, `${name}: ${kind}`).toBeGreaterThan(7 * 12);
      }
    }
  });

  it("draws the same for the same seed, and something else for another", () => {
    for (const kind of kinds) {
      const [one, same, other] = [1, 1, 2].map((seed) => drawObject(kind, new Draw(seed), gray));
      expect(same.box).toEqual(one.box);
      expect(pixelsOf(same.frames).equals(pixelsOf(one.frames)), kind).toBe(true);
      expect(pixelsOf(other.frames).equals(pixelsOf(one.frames)), kind).toBe(false);
    }
  });

  it("moves legs and wheels from frame to frame", () => {
    for (const kind of ["animal", "disc", "shape"] as const) {
      const { frames } = drawObject(kind, new Draw(1), gray);
      expect(frames[1].data, kind).not.toEqual(frames[3].data);
    }
  });

  it("lets people face right, wherever they walked, and stand on the ground", () => {
    for (const speed of [1, -1]) {
      const clip = clipOf("one", { ...size, background: [120, 120, 120] }, [
        { ...walker, speed, front: [240, 240, 240] },
      ]);
      for (const frame of drawObject("crouched", new Draw(3), styleOf(clip, [120, 120, 120], true)).frames) {
        const { width, height } = frame;
        const of = (wanted: (value: number) => boolean) =>
          Array.from({ length: width * height }, (_, i) => i).filter((i) => wanted(frame.data[3 * i]));
        const mean = (pixels: readonly number[]) => pixels.reduce((sum, i) => sum + (i % width), 0) / pixels.length;
        const [bright, dark] = [of((value) => value > 200), of((value) => value < 40)];
        expect(mean(bright) - mean(dark), `speed ${speed}`).toBeGreaterThan(5);
        // Six pixels are below the ground.
        const lowest = Math.floor(Math.max(...bright, ...dark) / width);
        expect(Math.abs(height - 6 - 1 - lowest)).toBeLessThanOrEqual(2);
      }
    }
  });
});

/** The part of a sheet's frame where an object's image stands. */
function partOf({ frames }: DrawnClip, { frame, crop }: MovingObject, offset: number): Uint8Array {
  const sheet = frames[frame + offset];
  const { x, y, background } = crop!;
  const { width, height } = background;
  const data = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    const from = ((y + row) * sheet.width + x) * 3;
    data.set(sheet.data.subarray(from, from + 3 * width), 3 * width * row);
  }
  return data;
}

describe("drawObjects", () => {
  const clips = [grayClip, clipOf("other", { ...size, background: [100, 100, 100] }, [])];
  const options = { kinds: trainingObjects, count: 21, seed: 5, cropOf: keptCrop };
  const drawn = drawObjects({ clips }, options);

  it("lays objects out on sheets: apart from each other, and where their boxes say", async () => {
    const { clip, frames } = await drawn;
    expect([clip.width, clip.height, clip.frameCount]).toEqual([120, 80, frames.length]);
    expect(clip.objects.length).toBeGreaterThan(10);
    const taken = frames.map(() => new Uint8Array(120 * 80));
    for (const object of clip.objects) {
      expect(object.frame % 7).toBe(3);
      const { x, y, background, frames: own } = object.crop!;
      const { width, height } = background;
      expect([x >= 0, y >= 0, x + width <= 120, y + height <= 80]).toEqual([true, true, true, true]);
      const [box] = object.boxes;
      expect(object.boxes).toEqual([box, box, box]);
      expect([x <= box.x - box.rx, box.x + box.rx <= x + width]).toEqual([true, true]);
      expect([y <= box.y - box.ry, box.y + box.ry <= y + height]).toEqual([true, true]);
      for (const [i, image] of own.entries()) {
        const part = partOf(await drawn, object, i - 3);
        expect(Buffer.compare(part, image.data), object.drawn).toBe(0);
        for (let row = y; row < y + height; row++) {
          const here = taken[object.frame + i - 3].subarray(row * 120 + x, row * 120 + x + width);
          expect(here.includes(1), `${object.drawn} overlaps another object`).toBe(false);
          here.fill(1);
        }
      }
    }
    // Nothing else is drawn.
    const [value] = clip.background.data;
    for (const [sheet, { data }] of frames.entries()) {
      expect(data.every((own, i) => own === value || taken[sheet][Math.floor(i / 3)] === 1)).toBe(true);
    }
  });

  it("pastes an object from its sheet as it pastes it alone: none reaches into another's window", async () => {
    // Vehicles up to 115 pixels wide, side by side: their windows reach 14 pixels further.
    const wide = clipOf("wide", { width: 480, height: 160, background: [120, 120, 120] }, [walker]);
    const kinds = ["vehicle", "pole"] as const;
    const { clip, frames } = await drawObjects({ clips: [wide] }, { ...options, kinds, count: 16 });
    for (const object of clip.objects) {
      const crop = object.crop!;
      // In its own place, half as large.
      const layer = { frame: 0, affine: mat2d.fromScaling(mat2d.create(), [2, 2]), box: object.boxes[1], plain: false };
      const look = { gain: [1, 1, 1], bias: 0, ...drawnForeground } as const;
      const sheet = { frame: frames[object.frame], background: clip.background };
      const alone = { frame: crop.frames[3], background: crop.background };
      const got = pasteLayer(flat(240, 80, 200), sheet, layer, look);
      const want = pasteLayer(flat(240, 80, 200), alone, toCrop(layer, crop), look);
      expect(got.mask.includes(255), object.drawn).toBe(true);
      expect(Buffer.compare(got.frame.data, want.frame.data), object.drawn).toBe(0);
      expect(Buffer.compare(got.mask, want.mask), object.drawn).toBe(0);
    }
  });

  it("takes the mean background, the usual height of people, and kinds in turn", async () => {
    // In the second clip, which is twice as high, the same people would be 12 pixels high.
    const tall = { ...walker, ry: 20 };
    const people = [
      clipOf("a", { width: 240, height: 160, background: [100, 100, 100] }, [{ ...walker, ry: 6 }, tall]),
      clipOf("b", { width: 240, height: 320, background: [140, 120, 100] }, [{ ...walker, ry: 24 }]),
    ];
    const kinds = ["pole", "animal", "box"] as const;
    const { clip } = await drawObjects({ clips: people }, { ...options, kinds, count: 30 });
    // The second background has twice as many pixels: (100 + 2 · 140) / 3, and so on.
    expect([...clip.background.data.subarray(0, 3)]).toEqual([127, 113, 100]);
    expect([clip.low, clip.high, clip.gray]).toEqual([3, 9, false]);
    expect(clip.objects.map(({ drawn: kind }) => kind)).toEqual(Array.from({ length: 30 }, (_, i) => kinds[i % 3]));
    // The heights are 12, 24 and 40: usual is 24. A pole is 1.1 to 1.6 times as high, and two
    // pixels are around it.
    const heights = clip.objects.flatMap(({ drawn: kind, boxes }) => (kind === "pole" ? [2 * boxes[1].ry - 4] : []));
    expect(Math.min(...heights) / 48).toBeGreaterThanOrEqual(1.1);
    expect(Math.max(...heights) / 48).toBeLessThanOrEqual(1.6);
    expect(Math.max(...heights) - Math.min(...heights)).toBeGreaterThan(5);
    // Objects are drawn twice as large as they are pasted, and all for the same height.
    expect(clip.usual).toEqual({ height: 48, foot: 0, slope: 0, stride: 0 });
  });

  it("leaves out objects that are larger than a sheet", async () => {
    const narrow = clipOf("narrow", { width: 48, height: 80, background: [120, 120, 120] }, [walker]);
    // A vehicle is at least as wide as a person is high: 48 pixels here, and 12 around it. The
    // largest disc is 0.64 times as wide.
    const kinds = ["vehicle", "disc"] as const;
    const { clip } = await drawObjects({ clips: [narrow] }, { ...options, kinds, count: 12 });
    expect(clip.objects.map(({ drawn: kind }) => kind)).toEqual(Array(6).fill("disc"));
    const none = await drawObjects({ clips: [narrow] }, { ...options, kinds: ["vehicle"], count: 4 });
    expect([none.clip.objects, none.frames, none.clip.frameCount]).toEqual([[], [], 0]);
  });

  it("draws the same for the same seed, and something else for another", async () => {
    const boxesOf = ({ clip }: DrawnClip) => clip.objects.map(({ frame, boxes }) => [frame, boxes[1]]);
    const again = await drawObjects({ clips }, options);
    expect(boxesOf(again)).toEqual(boxesOf(await drawn));
    expect(pixelsOf(again.frames).equals(pixelsOf((await drawn).frames))).toBe(true);
    const other = await drawObjects({ clips }, { ...options, seed: 6 });
    expect(pixelsOf(other.frames).equals(pixelsOf(again.frames))).toBe(false);
  });
});
