import { describe, expect, it } from "vitest";
import { checkTrainingConfig } from "../../src/train/config.js";
import { smallTraining, trainingPresets } from "../../src/train/presets.js";

describe("small training", () => {
  const sizeFor = (height: number, width: number) => {
    const { size } = smallTraining(trainingPresets.folder, { height, width });
    return `${size.height}x${size.width}`;
  };

  it("has about 128x192 pixels at the aspect ratio of the videos, in whole patches", () => {
    // The root of 24,576 pixels times height / width, in patches of 16: 8, 7.3, 8.5, 13.1, 9.8.
    expect(sizeFor(240, 360)).toBe("128x192");
    expect(sizeFor(1080, 1920)).toBe("112x192");
    expect(sizeFor(576, 768)).toBe("128x176");
    expect(sizeFor(1920, 1080)).toBe("208x112");
    expect(sizeFor(500, 500)).toBe("160x160");
  });

  it("never has less than two patches a side, and squeezes what is very wide", () => {
    // 2 · 24,576 / 32 = 1536.
    expect(sizeFor(16, 4000)).toBe("32x1536");
  });

  it("can be trained with each layout's preset, at any size of the videos", () => {
    const videos = [
      [240, 360],
      [1080, 1920],
      [576, 768],
      [480, 640],
      [1920, 1080],
      [96, 128],
      [500, 500],
    ];
    for (const preset of Object.values(trainingPresets)) {
      for (const [height, width] of videos) {
        expect(() => checkTrainingConfig(smallTraining(preset, { height, width }))).not.toThrow();
      }
    }
  });
});
