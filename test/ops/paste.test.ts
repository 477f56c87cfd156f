import { describe, expect, it } from "vitest";
import { pasteLayer } from "../../src/data/anomalies/paste.js";
import type { BgrImage } from "../../src/data/resize.js";
import { type Paste, type PasteFrame, packPastes, pasteOp, pasteWords } from "../../src/ops/paste.js";
import { casesFor, evaluate, useGpu } from "../support/gpu.js";
import { packImages, packSamples, randomImage } from "../support/images.js";
import { Random } from "../support/numbers.js";

const gpu = useGpu();

/** An affine that turns and scales about the middle of an image, as gl-matrix has it. */
function turned(random: Random, { height, width }: { height: number; width: number }): number[] {
  const [angle, size] = [random.next() - 0.5, 0.4 + random.next()];
  const [c, s] = [size * Math.cos(angle), size * Math.sin(angle)];
  const flip = random.next() < 0.5 ? -1 : 1;
  const [x, y] = [width / 2 + 3 * random.next(), height / 2 - 2 * random.next()];
  return [flip * c, s, -s * flip, c, width / 2 - flip * c * x + s * flip * y, height / 2 - s * x - c * y];
}

/** Frames that are foreground here and there: a background with smooth blocks on it. */
function scene(random: Random, height: number, width: number) {
  const background = randomImage(random, height, width, 3);
  const data = Uint8Array.from(background.data, (v) => 100 + v / 8);
  const still = { ...background, data };
  const moving = Array.from({ length: 4 }, () => {
    const own = data.slice();
    const [x, y, value] = [random.integer(width / 2), random.integer(height / 2), random.integer(256)];
    for (let row = y; row < y + height / 2; row++) {
      for (let column = x; column < x + width / 2; column++) {
        for (let c = 0; c < 3; c++)
          own[(row * width + column) * 3 + c] = Math.min(255, value + 20 * c + ((row * column) % 9));
      }
    }
    return { ...background, data: own };
  });
  return [still, ...moving];
}

describe("paste, against the plain version", () => {
  for (const [height, width] of casesFor([
    [24, 36],
    [17, 130],
  ] as const)) {
    it(`${height}x${width}`, async () => {
      const random = new Random(height);
      const images = scene(random, height, width);
      const samples = [
        { previous: 1, current: 2, next: 3 },
        { previous: 4, current: 2, next: 1 },
        { previous: 3, current: 3, next: 2 },
        { previous: 2, current: 4, next: 1 },
      ];
      const layer = (slot: number, plain: boolean): PasteFrame => ({
        affine: turned(random, { height, width }).map(Math.fround),
        box: { x: width / 2, y: height / 2, rx: width / 3, ry: height / 3 },
        plain,
        slot,
      });
      const pastes: (Paste | undefined)[] = [
        {
          gain: [1.2, 0.8, 1],
          bias: 7,
          low: 10,
          high: 30,
          background: 0,
          layers: [layer(2, false), layer(3, false), layer(4, false)],
        },
        undefined,
        {
          gain: [1, 1, 1],
          bias: 0,
          low: 15,
          high: 40,
          background: 0,
          layers: [layer(1, true), layer(3, true), layer(1, false)],
        },
        {
          gain: [0.9, 1.1, 1],
          bias: -4,
          low: 10,
          high: 30,
          background: 0,
          normal: true,
          layers: [layer(3, false), layer(1, false), layer(4, true)],
        },
      ];
      const { pasted, targets } = await evaluate(gpu(), (bench) => {
        const frames = bench.input([images.length, height, width], packImages(images));
        const inputs = {
          frames,
          samples: bench.input([4, 8], packSamples(samples)),
          pastes: bench.input([4, pasteWords], packPastes(pastes)),
        };
        const [pasted, targets] = bench.graph.apply(pasteOp, inputs, {});
        return { pasted, targets };
      });

      const pixels = height * width;
      const bytes = (words: Float32Array | Uint32Array, image: number) =>
        new Uint8Array(Uint32Array.from(words.subarray(image * pixels, (image + 1) * pixels)).buffer);
      let changed = 0;
      for (const [b, sample] of samples.entries()) {
        const paste = pastes[b];
        for (const [t, slot] of [sample.previous, sample.current, sample.next].entries()) {
          const clean = images[slot] as BgrImage;
          const own = paste?.layers[t];
          const want = own
            ? pasteLayer(
                clean,
                { frame: images[own.slot], background: images[0] },
                { ...own, affine: own.affine as never },
                paste,
              )
            : { frame: clean, mask: new Uint8Array(pixels) };
          const got = bytes(pasted, 3 * b + t);
          const target = bytes(targets, b);
          let [worst, masksApart, covered] = [0, 0, 0];
          for (let i = 0; i < pixels; i++) {
            for (let c = 0; c < 3; c++) {
              worst = Math.max(worst, Math.abs(got[4 * i + c] - want.frame.data[3 * i + c]));
              if (want.frame.data[3 * i + c] !== clean.data[3 * i + c]) changed++;
              // What is pasted but normal belongs to the target.
              const wanted = paste?.normal ? got[4 * i + c] : clean.data[3 * i + c];
              if (t === 1) expect(target[4 * i + c]).toBe(wanted);
            }
            expect(got[4 * i + 3]).toBe(0);
            if (t !== 1) continue;
            covered += want.mask[i] / 255;
            const marked = want.mask[i] > 0 ? (paste?.normal ? 1 : 255) : 0;
            if (target[4 * i + 3] !== marked) masksApart++;
          }
          expect(worst, `sample ${b}, frame ${t}`).toBeLessThanOrEqual(1);
          // Half of a pixel covered, within a rounding.
          expect(masksApart).toBeLessThanOrEqual(1);
          if (t === 1) expect(covered > 10).toBe(paste !== undefined);
        }
      }
      expect(changed).toBeGreaterThan(pixels);
    });
  }

  it("pastes several objects into a sample, later ones over earlier ones", async () => {
    const [height, width] = [24, 36];
    const random = new Random(11);
    const images = scene(random, height, width);
    const layers = () => {
      const layer = (slot: number): PasteFrame => ({
        affine: turned(random, { height, width }).map(Math.fround),
        box: { x: width / 2, y: height / 2, rx: width / 3, ry: height / 3 },
        plain: false,
        slot,
      });
      return [layer(2), layer(3), layer(4)] as const;
    };
    const look = { gain: [1.1, 0.9, 1], bias: 3, low: 10, high: 30, background: 0 } as const;
    const decoy: Paste = { ...look, normal: true, layers: layers() };
    const odd: Paste = { ...look, bias: -9, layers: layers() };
    const { pasted, targets } = await evaluate(gpu(), (bench) => {
      const inputs = {
        frames: bench.input([images.length, height, width], packImages(images)),
        samples: bench.input(
          [2, 8],
          packSamples([1, 2].map((slot) => ({ previous: slot, current: slot, next: slot }))),
        ),
        pastes: bench.input([4, pasteWords], packPastes([decoy, odd, undefined, odd])),
      };
      const [pasted, targets] = bench.graph.apply(pasteOp, inputs, {});
      return { pasted, targets };
    });
    const paste = (frame: BgrImage, { layers, ...how }: Paste) =>
      pasteLayer(frame, { frame: images[layers[1].slot], background: images[0] }, layers[1] as never, how);
    const below = paste(images[1] as BgrImage, decoy);
    const wanted = [
      { ...paste(below.frame, odd), clean: below.frame, decoy: below.mask },
      { ...paste(images[2] as BgrImage, odd), clean: images[2], decoy: new Uint8Array(height * width) },
    ];
    let [hidden, masksApart] = [0, 0];
    for (const [b, { frame, mask, clean, decoy: under }] of wanted.entries()) {
      for (let i = 0; i < height * width; i++) {
        const [shown, target] = [pasted, targets].map(
          (words, k) => words[(k === 0 ? 3 * b + 1 : b) * height * width + i],
        );
        for (let c = 0; c < 3; c++) {
          // Each object adds a rounding.
          expect(Math.abs(((shown >> (8 * c)) & 255) - frame.data[3 * i + c])).toBeLessThanOrEqual(2);
          expect(Math.abs(((target >> (8 * c)) & 255) - clean.data[3 * i + c])).toBeLessThanOrEqual(1);
        }
        const marked = mask[i] > 0 ? 255 : under[i] > 0 ? 1 : 0;
        if (target >>> 24 !== marked) masksApart++;
        if (mask[i] > 0 && under[i] > 0) hidden++;
      }
    }
    expect(masksApart).toBeLessThanOrEqual(2);
    expect(hidden).toBeGreaterThan(10);
  });
});
