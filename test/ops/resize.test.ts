import { beforeAll, describe, expect, it } from "vitest";
import { parseSafetensors, type Safetensors } from "../../src/checkpoint/safetensors.js";
import { frameRing } from "../../src/ops/frame_ring.js";
import { interpolationTable, noSlot, rawSlotWords } from "../../src/ops/resize.js";
import { fixture } from "../support/fixtures.js";
import { evaluate, useGpu } from "../support/gpu.js";
import { packSamples, randomImage, rawSlots } from "../support/images.js";
import { Random } from "../support/numbers.js";
import { type Image, motionGradient, resize } from "../support/reference.js";

const gpu = useGpu();

/** Interleaved bytes of a packed image. */
function unpack(words: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(words.length * 3);
  let fourth = 0;
  for (let i = 0; i < words.length; i++) {
    for (let c = 0; c < 3; c++) bytes[i * 3 + c] = words[i] >>> (8 * c);
    fourth |= words[i] >>> 24;
  }
  expect(fourth).toBe(0);
  return bytes;
}

/** Resizes frames of one size on the GPU, and the motion gradient of each pair of them. */
async function resizeAll(
  images: readonly Image[],
  height: number,
  width: number,
  pairs: readonly { before: number; after: number }[] = [{ before: 0, after: 0 }],
): Promise<{ frames: Uint8Array[]; gradients: Uint8Array[] }> {
  const { resized, gradient } = await evaluate(gpu(), (bench) => {
    const source = { height: images[0].height, width: images[0].width };
    const ring = frameRing(bench.graph, source, { height, width }, images.length, images.length);
    bench.keep(ring.raw, rawSlots(images, rawSlotWords(source)));
    bench.keep(
      ring.slots,
      Uint32Array.from(images, (_, i) => i),
    );
    const samples = bench.input([pairs.length, 8], packSamples(pairs));
    return { resized: ring.resized, gradient: ring.motionGradient(samples) };
  });
  const split = (words: Float32Array | Uint32Array, count: number) =>
    Array.from({ length: count }, (_, i) => unpack(words.subarray(i * height * width, (i + 1) * height * width)));
  return { frames: split(resized, images.length), gradients: split(gradient, pairs.length) };
}

/** How many values differ, and by how much at most. */
function differences(got: Uint8Array, want: Uint8Array): { count: number; largest: number } {
  expect(got.length).toBe(want.length);
  let [count, largest] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    const d = Math.abs(got[i] - want[i]);
    if (d > 0) count++;
    largest = Math.max(largest, d);
  }
  return { count, largest };
}

function expectOpenCv(got: Uint8Array, want: Uint8Array): void {
  expect(differences(got, want)).toEqual({ count: 0, largest: 0 });
}

describe("resize, against OpenCV", () => {
  let file: Safetensors;
  beforeAll(() => {
    file = parseSafetensors(fixture("preprocess.safetensors"), "preprocess.safetensors");
  });

  const tensor = (name: string) => {
    const { shape, data } = file.tensors.get(name)!;
    return { shape: [...shape] as number[], data: data as Uint8Array };
  };

  for (const size of ["24x30", "32x64", "320x640"]) {
    it(`48x86 in color to ${size}`, async () => {
      const [height, width] = size.split("x").map(Number) as [number, number];
      const { shape, data } = tensor("bgr.image");
      const image = { height: shape[0], width: shape[1], channels: 3, data };
      const { frames } = await resizeAll([image], height, width);
      expectOpenCv(frames[0], tensor(`bgr.resized_${size}`).data);
    });
  }

  // Five gray frames, three at a time as the channels of one image.
  for (const size of ["160x320", "240x352", "256x384", "320x640"]) {
    it(`240x360 in gray to ${size}`, async () => {
      const [height, width] = size.split("x").map(Number) as [number, number];
      const { data } = tensor("gray.frames_prev_cur_next_m1_p1");
      const want = tensor(`gray.resized_${size}`).data;
      const mix = (planes: Uint8Array, plane: number, first: number) =>
        Uint8Array.from({ length: plane * 3 }, (_, i) => planes[(first + (i % 3)) * plane + Math.floor(i / 3)]);
      for (const first of [0, 2]) {
        const image = { height: 240, width: 360, channels: 3, data: mix(data, 240 * 360, first) };
        const { frames } = await resizeAll([image], height, width);
        expectOpenCv(frames[0], mix(want, height * width, first));
      }
    });
  }

  it("the motion gradient at its source's size, exactly", async () => {
    const { data } = tensor("gray.frames_prev_cur_next_m1_p1");
    const pixels = 240 * 360;
    const images = [3, 4].map((frame) => ({
      height: 240,
      width: 360,
      channels: 3,
      data: Uint8Array.from({ length: pixels * 3 }, (_, i) => data[frame * pixels + Math.floor(i / 3)]),
    }));
    const { gradients } = await resizeAll(images, 240, 360, [{ before: 0, after: 1 }]);
    const want = tensor("gray.motion_gradient").data;
    const got = Uint8Array.from({ length: pixels }, (_, i) => gradients[0][i * 3]);
    expect(differences(got, want)).toEqual({ count: 0, largest: 0 });
  });
});

describe("resize, against real arithmetic", () => {
  for (const { from, to } of [
    { from: [1, 1], to: [8, 16] },
    { from: [1, 7], to: [8, 8] },
    { from: [9, 5], to: [16, 24] },
    { from: [33, 101], to: [32, 64] },
    { from: [64, 65], to: [16, 16] },
    { from: [10, 13], to: [10, 13] },
  ] as const) {
    it(`${from.join("x")} to ${to.join("x")}`, async () => {
      const random = new Random(from[0] * 1000 + to[1]);
      const images = Array.from({ length: 3 }, () => randomImage(random, from[0], from[1], 3));
      const pairs = [
        { before: 0, after: 2 },
        { before: 1, after: 1 },
      ];
      const { frames, gradients } = await resizeAll(images, to[0], to[1], pairs);
      // Weights of 11 bits: within half a level of rounding, and a little.
      const check = (got: Uint8Array, image: Image) => {
        const want = resize(image, to[0], to[1]);
        const worst = want.reduce((a, v, i) => Math.max(a, Math.abs(got[i] - v)), 0);
        expect(worst).toBeLessThan(0.8);
      };
      images.forEach((image, i) => {
        check(frames[i], image);
      });
      check(gradients[0], motionGradient(images[0], images[2]));
      expect(gradients[1].every((v) => v === 0)).toBe(true);
      if (from.join() === to.join()) expect(Array.from(frames[1])).toEqual(Array.from(images[1].data));
    });
  }

  it.each([1, 2, 4])("leaves unlisted slots alone, with %i at once", async (perStep) => {
    const random = new Random(9);
    const images = Array.from({ length: 4 }, () => randomImage(random, 8, 8, 3));
    const before = Uint32Array.from({ length: 4 * 64 }, () => random.integer(2 ** 24));
    const { resized } = await evaluate(gpu(), (bench) => {
      const size = { height: 8, width: 8 };
      const ring = frameRing(bench.graph, size, size, 4, perStep);
      bench.keep(ring.raw, rawSlots(images, rawSlotWords(size)));
      bench.keep(ring.slots, Uint32Array.of(2, 0, noSlot, noSlot));
      bench.keep(bench.graph.tensors.find((t) => t.name === "frames")!, before);
      return { resized: ring.resized };
    });
    for (let slot = 0; slot < 4; slot++) {
      const got = resized.subarray(slot * 64, (slot + 1) * 64);
      if (slot % 2 === 0) expect(Array.from(unpack(got))).toEqual(Array.from(images[slot].data));
      else expect(Array.from(got)).toEqual(Array.from(before.subarray(slot * 64, (slot + 1) * 64)));
    }
  });

  it("has tables whose neighbours lie inside the image", () => {
    for (const [source, size] of [
      [1, 5],
      [2, 640],
      [360, 640],
      [1920, 640],
      [7, 7],
    ] as const) {
      for (const axis of ["x", "y"] as const) {
        const table = interpolationTable(source, size, axis);
        expect(table.length).toBe(size);
        for (const [i, entry] of table.entries()) {
          // The mix of two neighbours, each clamped to the image, is the clamped position.
          const position = Math.min(Math.max((i + 0.5) * (source / size) - 0.5, 0), source - 1);
          const [right, weight] = [entry & 0xffff, (entry >>> 16) / 2048];
          expect(right).toBeLessThanOrEqual(source);
          const [x0, x1] = [Math.max(right, 1) - 1, Math.min(right, source - 1)];
          expect(Math.abs(x0 + (x1 - x0) * weight - position)).toBeLessThan(1 / 2048);
        }
      }
    }
  });
});
