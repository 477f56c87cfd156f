import { expect, test } from "vitest";
import { heatmap } from "../../../src/report/evaluation/heatmap.js";

/** Plotly's sampling of Matplotlib's plasma at 0, 1/9, … 1. */
const plasma = "0d0887 46039f 7201a8 9c179e bd3786 d8576b ed7953 fb9f3a fdca26 f0f921".split(" ");

const row = (values: number[], low: number, high: number) => {
  const { width, height, rgba } = heatmap(
    { rows: 1, columns: values.length, data: Float32Array.from(values) },
    low,
    high,
  );
  expect([width, height]).toEqual([values.length, 1]);
  return values.map((_, i) => [...rgba.subarray(i * 4, i * 4 + 4)]);
};

/** CIE lightness of an 8-bit sRGB colour. */
function lightness(rgb: number[]): number {
  const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  const y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return y > 216 / 24389 ? 116 * Math.cbrt(y) - 16 : (y * 24389) / 27;
}

test("the ramp is plasma", () => {
  const pixels = row(
    plasma.map((_, i) => 2 + (i + (i === 0 ? 1e-4 : 0)) / 9),
    2,
    3,
  );
  for (const [i, hex] of plasma.entries()) {
    const expected = [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
    for (const [c, value] of expected.entries()) {
      expect(Math.abs(pixels[i][c] - value), `colour ${i}, channel ${c}`).toBeLessThanOrEqual(6);
    }
    expect(pixels[i][3]).toBe(Math.round((255 * i) / 9));
  }
});

test("lightness and opacity rise with the value", () => {
  const pixels = row(
    Array.from({ length: 100 }, (_, i) => i + 1),
    0,
    100,
  );
  for (let i = 1; i < pixels.length; i++) {
    expect(lightness(pixels[i].slice(0, 3))).toBeGreaterThan(lightness(pixels[i - 1].slice(0, 3)) - 0.2);
    expect(pixels[i][3]).toBeGreaterThan(pixels[i - 1][3]);
  }
  expect(lightness(pixels[99].slice(0, 3)) - lightness(pixels[0].slice(0, 3))).toBeGreaterThan(70);
});

test("low values and NaN are transparent, values beyond the end have the last colour", () => {
  expect(row([-5, 1, Number.NaN, 2, 7, Infinity], 1, 2)).toEqual([
    [0, 0, 0, 0],
    [0, 0, 0, 0],
    [0, 0, 0, 0],
    [0xf0, 0xf9, 0x21, 255],
    [0xf0, 0xf9, 0x21, 255],
    [0xf0, 0xf9, 0x21, 255],
  ]);
  // In a flat range values are transparent or opaque.
  expect(row([1, 1.5], 1, 1).map((pixel) => pixel[3])).toEqual([0, 255]);
});

test("rows come one after the other", () => {
  const { width, height, rgba } = heatmap({ rows: 2, columns: 3, data: Float32Array.of(0, 0, 0, 0, 1, 0) }, 0, 1);
  expect([width, height, rgba.length]).toEqual([3, 2, 24]);
  expect([...rgba].map((value, i) => (value === 255 && i % 4 === 3 ? i : 0)).filter(Boolean)).toEqual([19]);
});
