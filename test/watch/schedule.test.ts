import { describe, expect, it } from "vitest";
import { InputError } from "../../src/errors.js";
import { localTime, parseSchedule } from "../../src/watch/schedule.js";

const days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/** A moment such as "mon 08:00". */
function moment(text: string) {
  const [day, hour, minute] = text.split(/[ :]/);
  return { day: days.indexOf(day), minute: 60 * Number(hour) + Number(minute) };
}

/** Which of some moments a schedule holds. */
const on = (schedule: string, moments: string[]) =>
  moments.filter((text) => parseSchedule(schedule).isOn(moment(text)));

describe("a schedule", () => {
  it("is on from the first minute of a time to the last before its end", () => {
    const moments = ["mon 07:59", "mon 08:00", "mon 17:59", "mon 18:00"];
    expect(on("mon 08:00-18:00", moments)).toEqual(["mon 08:00", "mon 17:59"]);
  });

  it("has ranges of days and several times", () => {
    const noon = days.map((day) => `${day} 11:00`);
    expect(on("mon-fri 08:00-18:00, sat 10:00-12:00", noon)).toEqual(noon.slice(0, 6));
    expect(on("mon-fri 08:00-18:00, sat 10:00-12:00", ["fri 12:30", "sat 12:30"])).toEqual(["fri 12:30"]);
    expect(on("sat-mon 08:00-18:00", noon)).toEqual(["mon 11:00", "sat 11:00", "sun 11:00"]);
    expect(on("mon wed-thu 08:00-18:00", noon)).toEqual(["mon 11:00", "wed 11:00", "thu 11:00"]);
    expect(on("mon 08:00-10:00, mon 12:00-14:00", ["mon 09:00", "mon 11:00", "mon 13:00"])).toEqual([
      "mon 09:00",
      "mon 13:00",
    ]);
  });

  it("goes over midnight if a time ends before it begins", () => {
    const moments = ["sun 21:59", "sun 22:00", "mon 00:00", "mon 05:59", "mon 06:00"];
    expect(on("22:00-06:00", moments)).toEqual(["sun 22:00", "mon 00:00", "mon 05:59"]);
    // The night belongs to the day on which it begins: Sunday's ends on Monday.
    expect(on("sun 22:00-06:00", moments)).toEqual(["sun 22:00", "mon 00:00", "mon 05:59"]);
    expect(on("mon 22:00-06:00", [...moments, "mon 22:00", "tue 05:59"])).toEqual(["mon 22:00", "tue 05:59"]);
  });

  it("has whole days from 00:00 to 24:00, and times up to 24:00", () => {
    const moments = ["fri 23:59", "sat 00:00", "sat 23:59", "sun 00:00"];
    expect(on("sat 00:00-24:00", moments)).toEqual(["sat 00:00", "sat 23:59"]);
    expect(on("sat 20:00-24:00", moments)).toEqual(["sat 23:59"]);
    expect(on("sat 20:00-00:00", moments)).toEqual(["sat 23:59"]);
    expect(on("00:00-24:00", moments)).toEqual(moments);
  });

  it("is always or never on", () => {
    const week = days.flatMap((day) => [`${day} 00:00`, `${day} 23:59`]);
    expect(on("always", week)).toEqual(week);
    expect(on(" Never ", week)).toEqual([]);
  });

  it("may be written with full names, capitals, one digit and spaces", () => {
    const moments = ["mon 08:00", "wed 08:00", "thu 08:00"];
    expect(on("Monday - Wednesday  8:00 - 9:30 ", moments)).toEqual(["mon 08:00", "wed 08:00"]);
  });

  it.each([
    ["", "the schedule is empty"],
    ["  ", "the schedule is empty"],
    ["mon 08:00-18:00,", "empty entry"],
    ["mon", '"mon" has no time'],
    // Not all of Monday, and 8 to 18 on Wednesday.
    ["mon, wed 08:00-18:00", '"mon" has no time'],
    ["08:00", "needs a time from … to"],
    ["08:00-10:00-12:00", "needs a time from … to"],
    ["08:00-25:00", 'has the time "25:00"'],
    ["08:00-24:01", 'has the time "24:01"'],
    ["08:60-09:00", 'has the time "08:60"'],
    ["8-18", 'has the time "8"'],
    ["24:00-06:00", "begins at 24:00"],
    ["08:00-08:00", "ends when it begins"],
    ["mo 08:00-18:00", 'has the day "mo"'],
    ["mon-wed-fri 08:00-18:00", 'has the days "mon-wed-fri"'],
    ["08:00-18:00 mon", '"08:00-18:00 mon" has no time'],
    ["always, mon 08:00-18:00", '"always" stands alone'],
    ["mon never", '"mon never" stands alone'],
    // Which days has the second time?
    ["mon-fri 08:00-12:00, 13:00-17:00", '"13:00-17:00" names no days'],
    ["constructor 08:00-18:00", 'has the day "constructor"'],
  ])("is refused if it is written %j", (text, message) => {
    expect(() => parseSchedule(text)).toThrow(InputError);
    expect(() => parseSchedule(text)).toThrow(message);
  });
});

describe("local time", () => {
  it("has the day of the week from Monday, and the minute of the day", () => {
    // 1 January 2024 was a Monday.
    expect(localTime(new Date("2024-01-01T00:00:00Z"), "UTC")).toEqual({ day: 0, minute: 0 });
    expect(localTime(new Date("2024-01-07T23:59:59Z"), "UTC")).toEqual({ day: 6, minute: 1439 });
  });

  it("is that of the time zone, where the day may be another", () => {
    const newYear = new Date("2024-01-01T02:15:00Z");
    expect(localTime(newYear, "America/New_York")).toEqual({ day: 6, minute: 21 * 60 + 15 });
    expect(localTime(newYear, "Asia/Kolkata")).toEqual({ day: 0, minute: 7 * 60 + 45 });
  });

  it("jumps with the clock", () => {
    // On 31 March 2024, a Sunday, Berlin's clocks went from 02:00 to 03:00 at 01:00 UTC.
    expect(localTime(new Date("2024-03-31T00:59:00Z"), "Europe/Berlin")).toEqual({ day: 6, minute: 119 });
    expect(localTime(new Date("2024-03-31T01:00:00Z"), "Europe/Berlin")).toEqual({ day: 6, minute: 180 });
  });

  it("is the system's without a time zone", () => {
    const date = new Date(2024, 4, 15, 13, 7); // a Wednesday
    expect(localTime(date)).toEqual({ day: 2, minute: 13 * 60 + 7 });
  });

  it("is refused for a time zone that does not exist", () => {
    expect(() => localTime(new Date(), "Mars/Olympus")).toThrow(InputError);
  });
});
