import { expect, test } from "vitest";
import { changeLine, eventLine, readable } from "../../../src/cli/terminal/event_lines.js";
import type { CameraEvent } from "../../../src/server/records.js";

const event: CameraEvent = {
  ...{ id: "a", camera: "front", kind: "anomaly", start: "2026-11-30T14:29:41.008Z", end: "2026-11-30T14:29:43.508Z" },
  ...{ threshold: 0.45, peak: { time: "2026-11-30T14:29:41.708Z", level: 0.9173 }, zones: ["door", "path"] },
  clip: "clips/front/2026-11-30/a.mp4",
};
const options = { data: "sdmae-data", isUtc: true };

test("an event is a line with its day, duration, peak, zones and clip", () => {
  expect(eventLine(event, options)).toBe(
    "Mon 2026-11-30 14:29:41 UTC  front         anomaly           2.5 s  0.917 of 0.450  door, path  sdmae-data/clips/front/2026-11-30/a.mp4",
  );
  expect(eventLine(event, { ...options, deleted: new Set(["a"]) })).toMatch(
    / {2}door, path {2}\(the clip was deleted\)$/,
  );
  const long = { ...event, end: "2026-11-30T15:34:41.008Z" };
  expect(eventLine(long, options)).toContain(" 1 h 5 min ");
});

test("an event that has not ended, and says why, is marked", () => {
  const offline: CameraEvent = {
    ...{ id: "b", camera: "back", kind: "offline", start: "2026-11-30T14:00:00.000Z", zones: [] },
    ...{ text: "it does\nnot answer", silent: true, feedback: "normal" },
  };
  expect(eventLine(offline, options)).toMatch(/back +offline +goes on +it does not answer {2}silent {2}normal$/);
});

test("a change has its own time, and says what became of the event", () => {
  const at = { time: "2026-12-01T00:00:00.000Z", event };
  expect(changeLine({ change: "new", ...at }, options)).toMatch(/^Tue 2026-12-01 00:00:00 UTC {2}front +anomaly +new /);
  expect(changeLine({ change: "end", ...at }, options)).toMatch(/ anomaly +2\.5 s /);
});

test("times are local by default", () => {
  expect(readable(new Date(2026, 6, 4, 1, 2, 3).toISOString(), false)).toBe("Sat 2026-07-04 01:02:03");
  expect(readable("a\ttime", false)).toBe("a time");
});
