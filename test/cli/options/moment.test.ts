import { describe, expect, it } from "vitest";
import { momentOf } from "../../../src/cli/options/moment.js";
import { InputError } from "../../../src/errors.js";

const now = Date.UTC(2026, 10, 30, 14, 15);
const local = (text: string) => momentOf("--since", text, false, now);
const utc = (text: string) => momentOf("--since", text, true, now).toISOString();

describe("a moment", () => {
  it.each([
    ["90s", "2026-11-30T14:13:30.000Z"],
    ["90m", "2026-11-30T12:45:00.000Z"],
    ["24H", "2026-11-29T14:15:00.000Z"],
    ["24h", "2026-11-29T14:15:00.000Z"],
    ["7d", "2026-11-23T14:15:00.000Z"],
  ])("may be so long ago: %s", (text, iso) => {
    expect(local(text).toISOString()).toBe(iso);
  });

  it("is a local date or time, unless UTC is asked for", () => {
    expect(local("2026-03-05")).toEqual(new Date(2026, 2, 5));
    expect(local("2026-03-05T07:08")).toEqual(new Date(2026, 2, 5, 7, 8));
    expect(local("2026-03-05 07:08:09")).toEqual(new Date(2026, 2, 5, 7, 8, 9));
    expect(utc("2026-03-05")).toBe("2026-03-05T00:00:00.000Z");
    expect(utc("2026-03-05 07:08")).toBe("2026-03-05T07:08:00.000Z");
  });

  it("may be the beginning of today or yesterday", () => {
    const day = new Date(now);
    expect(local("today")).toEqual(new Date(day.getFullYear(), day.getMonth(), day.getDate()));
    expect(local("Yesterday")).toEqual(new Date(day.getFullYear(), day.getMonth(), day.getDate() - 1));
    expect(utc("yesterday")).toBe("2026-11-29T00:00:00.000Z");
  });

  it("may name its zone", () => {
    for (const text of ["2026-03-05T07:08:09.5Z", "2026-03-05T08:08:09.5+01:00", "2026-03-05T01:38:09.500-0530"]) {
      expect(local(text).toISOString()).toBe("2026-03-05T07:08:09.500Z");
    }
  });

  it.each([
    ...["", "lately", "5", "24", "24x", "-3h", "1.5h", "99999999999d", "999999999d", "2026", "2026-11", "2026-13-01"],
    ...["2026-02-30", "2026-11-30T25:00", "2026-11-30T14", "2026-11-30T14:60", "2026-11-30T14:15+25:00", "2026-11-30Z"],
    ...["front 3", "30.11.2026", "2026-11-30\nT"],
  ])("is not %j", (text) => {
    expect(() => local(text)).toThrow(InputError);
    expect(() => local(text)).toThrow(/^--since ".*": give a date, a date and time, or how long ago: /);
  });
});
