import { describe, expect, it } from "vitest";
import { Random } from "../support/numbers.js";
import { loadSet, noise } from "../support/training_set.js";

describe("training set", () => {
  it("finds neighbours by frame number; a missing one is replaced by the frame itself", async () => {
    const random = new Random(1);
    const other = noise(random, "a", { height: 8, width: 8 }, [0, 1]).video;
    const set = await loadSet([other, noise(random, "b", { height: 8, width: 8 }, [2, 3, 5, 6, 9]).video], "none");
    const clip = set.clips[1]!;
    expect(clip.first).toBe(2);
    const of = (position: number) => set.framesOf(clip, position);
    // Of frame 2, the neighbours 5 and 3 exist, −1 and 1 do not.
    expect(of(0)).toEqual({ frames: [2, 2, 4], before: 2, after: 3 });
    expect(of(2)).toEqual({ frames: [2, 4, 4], before: 4, after: 5 });
    expect(of(3)).toEqual({ frames: [3, 5, 6], before: 4, after: 5 });
    expect(of(4)).toEqual({ frames: [5, 6, 6], before: 6, after: 6 });
  });

  it("refuses what it cannot learn from", async () => {
    const random = new Random(2);
    const own = noise(random, "v", { height: 8, width: 8 }, [0, 1, 2]);
    const short = noise(random, "short", { height: 8, width: 8 }, [0, 1]);
    await expect(loadSet([], "none")).rejects.toThrow("noise has no training videos");
    await expect(loadSet([own.video], "files")).rejects.toThrow("noise has no train/frames_abnormal");
    const abnormal = { frames: short.video.open, masks: own.video.open };
    await expect(loadSet([{ ...own.video, abnormal }], "files")).rejects.toThrow(
      "v has 3 frames and 2 abnormal frames",
    );
  });
});
