import { describe, expect, it } from "vitest";
import { severalViews, UsualPicture, type ViewedVideo } from "../../src/train/views.js";
import type { LumaPicture } from "../../src/watch/luma.js";
import { Random } from "../support/numbers.js";
import { viewOf } from "../support/views.js";

const [width, height] = [96, 54];

const video = (name: string, picture: LumaPicture): ViewedVideo => ({ name, picture });

describe("views of training videos", () => {
  it("are one if the videos are of one camera, by day, by night and at dusk", () => {
    const noise = new Random(9).bytes(width * height);
    const night = (gray: number, x: number, y: number) => 0.3 * gray + (noise[y * width + x] % 5);
    const shadow = (gray: number, x: number) => (x % 40 < 16 ? 0.5 * gray : gray);
    const videos = [video("day", viewOf(1)), video("night", viewOf(1, night)), video("dusk", viewOf(1, shadow))];
    expect(severalViews(videos)).toBeUndefined();
    expect(severalViews([...videos, video("day again", viewOf(1))])).toBeUndefined();
  });

  it("are named if they are several", () => {
    const videos = [
      ...[video("a.mp4", viewOf(1)), video("b.mp4", viewOf(2)), video("c.mp4", viewOf(1))],
      ...[video("d.mp4", viewOf(3)), ...[4, 5, 6].map((i) => video(`${i}.mp4`, viewOf(1)))],
    ];
    expect(severalViews(videos)).toBe(
      "the training videos show 3 views (a.mp4, c.mp4, 4.mp4, 5.mp4 and 1 more; b.mp4; d.mp4), " +
        "but a model is for one camera that does not move: train one for each view",
    );
    const many = Array.from({ length: 20 }, (_, i) => video(`${i}`, viewOf(i)));
    expect(severalViews(many)).toMatch(/^the training videos show over 8 views \(0; 1; 2; 3; 4; 5; 6; 7; 8\), /);
  });

  it("are not told apart by pictures without edges", () => {
    const dark: LumaPicture = { data: new Uint8Array(width * height).fill(3), width, height };
    expect(severalViews([video("dark", dark), video("a", viewOf(1)), video("dark too", dark)])).toBeUndefined();
    expect(severalViews([video("a", viewOf(1)), video("dark", dark), video("b", viewOf(2))])).toMatch(
      / 2 views \(a; b\), /,
    );
  });
});

it("makes the usual picture without what walks through it", () => {
  const size = { width: 192, height: 128 };
  const usual = new UsualPicture({ frameCount: 40 });
  for (let index = 0; index < 40; index++) {
    // A block walks over a plain wall.
    const data = new Uint8Array(3 * size.width * size.height).fill(90);
    for (let y = 40; y < 80; y++)
      for (let x = 4 * index; x < 4 * index + 12; x++) data.fill(250, 3 * (y * 192 + x), 3 * (y * 192 + x) + 3);
    usual.add({ data, ...size, index, number: index });
  }
  expect([...new Set(usual.finish().data)]).toEqual([90]);
});
