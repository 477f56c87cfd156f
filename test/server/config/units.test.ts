import { describe, expect, it } from "vitest";
import { parseBytes, parseDuration } from "../../../src/server/config/units.js";

describe("parseDuration", () => {
  it.each([
    ["500 ms", 0.5],
    ["2 s", 2],
    ["2s", 2],
    ["0.5 s", 0.5],
    ["300 ms", 0.3],
    ["5 min", 300],
    ["2 h", 7200],
    ["0 s", 0],
    [1.5, 1.5],
    [0, 0],
  ])("reads %j as %d seconds", (value, seconds) => {
    expect(parseDuration(value)).toBe(seconds);
  });

  it.each([
    "",
    "2",
    "s",
    "2 sec",
    "2 m",
    "2  s",
    " 2 s",
    "2 s ",
    "-2 s",
    "1e3 s",
    ".5 s",
    "2 S",
    "2 s 5 ms",
    -1,
    Number.NaN,
  ])("refuses %j", (value) => {
    expect(parseDuration(value)).toBeUndefined();
  });
});

describe("parseBytes", () => {
  it.each([
    ["20 GB", 20_000_000_000],
    ["200MB", 200_000_000],
    ["1.5 TB", 1_500_000_000_000],
    ["2.3 MB", 2_300_000],
    ["4 kB", 4000],
    ["4 KB", 4000],
    ["12 B", 12],
    [1024, 1024],
  ])("reads %j as %d bytes", (value, bytes) => {
    expect(parseBytes(value)).toBe(bytes);
  });

  it.each(["", "20", "20 GiB", "20 gb", "20 G", "GB", "-1 GB", -1])("refuses %j", (value) => {
    expect(parseBytes(value)).toBeUndefined();
  });
});
