import { describe, expect, it } from "vitest";
import { buildForegroundLibrary, type LibraryClip } from "../../../src/data/anomalies/library.js";
import { footOf, heightAt, usualPeople } from "../../../src/data/anomalies/usual_person.js";
import { InputError } from "../../../src/errors.js";
import { type Block, walk, walkingBlocks } from "../../support/walkers.js";

describe("the library", () => {
  it("finds moving objects and their places in all three frames", async () => {
    const { clips } = await buildForegroundLibrary([walk("a", 1.5)], { cropBytes: 1e6 });
    const [clip] = clips as [LibraryClip];
    expect([clip.frameCount, clip.gray, clip.background.data[(40 * 120 + 60) * 3] >> 2]).toEqual([40, true, 30]);
    expect(clip.objects.length).toBeGreaterThan(20);
    for (const { frame, boxes, crop } of clip.objects) {
      for (const [i, box] of boxes.entries()) {
        const x = 20 + Math.round(1.5 * (frame + 3 * (i - 1))) + 5;
        expect(Math.abs(box.x - x)).toBeLessThanOrEqual(1);
        expect(Math.abs(box.y - 42)).toBeLessThanOrEqual(1);
        expect([box.rx >= 5 && box.rx <= 7.5, box.ry >= 12 && box.ry <= 14.5]).toEqual([true, true]);
        // The crop shows the object there.
        const image = crop!.frames[3 * i];
        const inCrop = ((42 - crop!.y) * image.width + (x - crop!.x)) * 3;
        expect(image.data[inCrop]).toBe(20);
        expect(crop!.background.data[inCrop]).toBeGreaterThan(100);
      }
    }
  });

  it("keeps as many crops as fit", async () => {
    const all = (await buildForegroundLibrary([walk("a", 1.5)], { cropBytes: 1e9 })).clips[0].objects;
    const size = all.reduce((sum, { crop }) => sum + 8 * crop!.background.data.length, 0);
    const half = (await buildForegroundLibrary([walk("a", 1.5)], { cropBytes: size / 2 })).clips[0].objects;
    expect(half.length).toBe(Math.floor(all.length / 2));
    // At least one, so that there is somebody to paste.
    const one = (await buildForegroundLibrary([walk("a", 1.5)], { cropBytes: 1 })).clips[0].objects;
    expect(one.length).toBe(1);
    expect(all).toContainEqual(one[0]);
  });

  it("refuses videos in which nothing moves", async () => {
    await expect(buildForegroundLibrary([walk("a", 0)])).rejects.toThrow(InputError);
    await expect(buildForegroundLibrary([walk("a", 0), walk("b", 0)])).rejects.toThrow(
      /^no moving foreground was found in the 2 /,
    );
  });

  it("finds the same in light that drifts by 5 % to both sides, with the least threshold", async () => {
    const block: Block = { start: 20, top: 30, wide: 10, tall: 24, speed: 1.5 };
    const clipIn = async (light: (frame: number) => number) =>
      (await buildForegroundLibrary([walkingBlocks("a", [block], { light })])).clips[0];
    const steady = await clipIn(() => 1);
    const drifting = await clipIn((frame) => 0.95 + (0.1 * frame) / 39);
    for (const { low, high } of [steady, drifting]) {
      expect(low / 1.2).toBeCloseTo(14, 10);
      expect(high / 2.6).toBeCloseTo(14, 10);
    }
    expect(steady.objects.length).toBe(34);
    expect(drifting.objects).toEqual(steady.objects);
    // Nothing is cut out of frames in far brighter light, nor out of windows that need them.
    const flash = await clipIn((frame) => (frame >= 18 && frame < 21 ? 1.5 : 1));
    const isNear = (frame: number) => [-3, 0, 3].some((offset) => [18, 19, 20].includes(frame + offset));
    expect(flash.objects.map(({ frame }) => frame)).toEqual(
      steady.objects.map(({ frame }) => frame).filter((frame) => !isNear(frame)),
    );
  });

  it("takes the people of another clip, at its scale, where nobody moves", async () => {
    const { clips } = await buildForegroundLibrary([walk("a", 1.5), walk("still", 0, { width: 240, height: 160 })]);
    const { usual } = clips[0];
    expect([clips[1].objects, usual.stride > 0.1]).toEqual([[], true]);
    expect(clips[1].usual).toEqual({ ...usual, height: 2 * usual.height, foot: 2 * usual.foot });
  });

  describe("in a view with perspective", () => {
    const size = { width: 230, height: 120 };
    /** Somebody who stands at a row. Those of the view are 0.3 times as tall as their row. */
    const person = (foot: number, start: number, tall: number): Block => {
      return { start, top: foot - tall, wide: 4 + Math.floor(tall / 8), tall, speed: 1.5 };
    };
    const rows = [30, 60, 80, 110];
    const view = rows.map((foot, i) => person(foot, i % 2 === 0 ? 10 : 80, Math.round(0.3 * foot)));
    // Two pixels around somebody are taken for foreground: the mean of 5×5 pixels.
    const objectsAt = ({ objects }: LibraryClip, foot: number) =>
      objects.filter(({ boxes }) => Math.abs(footOf(boxes[1]) - foot - 2) < 2);
    const clipWith = async (...others: readonly Block[]) =>
      (await buildForegroundLibrary([walkingBlocks("view", [...view, ...others], size)])).clips[0];
    const plain = clipWith();

    it("keeps people near and far, and knows how tall they are where they stand", async () => {
      const { objects, usual } = await plain;
      for (const foot of rows) {
        expect(objectsAt(await plain, foot).length, `foot at ${foot}`).toBe(34);
        expect(heightAt(usual, foot + 2), `foot at ${foot}`).toBeCloseTo(0.3 * foot + 4, 1);
      }
      expect(objects.length).toBe(4 * 34);
      expect(usualPeople(objects)).toEqual({ usual, alike: objects });
    });

    it("leaves out who is too small or too large for the place, though others elsewhere are as tall", async () => {
      // Beside the nearest stands somebody as tall as the farthest.
      const small = await clipWith(person(106, 150, 9));
      expect(objectsAt(small, 106)).toEqual([]);
      expect(small.objects).toEqual((await plain).objects);
      // Near the farthest stands somebody as tall as the nearest.
      const large = await clipWith(person(40, 150, 33));
      expect(objectsAt(large, 40)).toEqual([]);
      expect(large.objects).toEqual((await plain).objects);
      // At their own places both are kept.
      const both = await clipWith(person(30, 150, 9), person(110, 150, 33));
      expect(rows.map((foot) => objectsAt(both, foot).length)).toEqual([68, 34, 34, 68]);
    });
  });
});
