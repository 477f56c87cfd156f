import { expect, test } from "vitest";
import { paperFrameScore } from "../../../src/detector/frame_score.js";
import { settled } from "../../../src/server/camera/thresholds.js";

const how = { ...paperFrameScore, scoring: "top-anomaly" } as const;

test("a calibration finds thresholds from all that was seen, in each mode with a minute of it", () => {
  const blocks = Array.from({ length: 24 }, (_, i) => i / 100);
  const seen = { seconds: 120, blocks, median: 0.05, mapHigh: 0.2 };
  const old = {
    threshold: 0.9,
    normal: 0.1,
    alarmsPerDay: 1,
    extrapolation: 1,
    seconds: 60,
    mapHigh: 1,
    minutes: [0.1],
  };
  const brief = { ...seen, seconds: 10, blocks: [0.1, 0.2] };
  const modes = settled({ day: { seen, state: old }, infrared: { seen: brief } }, 1440, { frameScore: how });
  // 1440 a day are one a minute: two in these two minutes.
  expect(modes.day?.state).toEqual({
    ...{ threshold: expect.closeTo((0.21 + 0.22) / 2, 9), normal: 0.05, alarmsPerDay: 1440, extrapolation: 0.5 },
    ...{ seconds: 120, mapHigh: 0.2, minutes: [0.11, 0.23] },
  });
  expect(modes.infrared).toEqual({ seen: brief });
  expect(settled({ day: { seen: brief, state: old } }, 1, { frameScore: how }).day?.state).toBe(old);
});
