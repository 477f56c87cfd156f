import { expect, test } from "vitest";
import { InputError } from "../../../src/errors.js";
import { framesWithNeighbour, type OrderOptions, orderFrames } from "../../../src/node/media/frame_order.js";

/** Name, number and time of each frame; names are given in no order. */
const ordered = (names: string[], options?: OrderOptions) =>
  orderFrames("folder", [...names].reverse(), options).frames.map(({ name, number, time }) => [name, number, time]);
const inOrder = (names: string[], times?: number[]) => names.map((name, i) => [name, i, times?.[i]]);

test("numbers without a gap are kept, whatever else the names hold", () => {
  const names = ["cam2-20240501_9.png", "cam2-20240501_10.png", "cam2-20240501_11.png"];
  expect(ordered(names).map(([, number]) => number)).toEqual([9, 10, 11]);
  expect(orderFrames("folder", names)).toMatchObject({ step: 1, notes: [] });
});

// Times are worked out by hand from the names.
test.each([
  ["Unix seconds and a fraction", ["1700000000.5.png", "1700000001.25.png", "1700000001.3.png"], [0, 0.75, 0.8]],
  [
    "a camera's name before them",
    ["a-1700000000.9-x9.jpg", "a-1700000001.1-x2.jpg", "a-1700000001.2-x5.jpg"],
    [0, 0.2, 0.3],
  ],
  ["Unix milliseconds", ["1700000000950.png", "1700000001000.png", "1700000001075.png"], [0, 0.05, 0.125]],
  ["nanoseconds, too large for a number", ["1403636579763555584.png", "1403636579813555456.png"], [0, 0.049999872]],
  ["ISO 8601", ["2024-05-01T23-59-58Z.png", "2024-05-02T00-00-03Z.png", "2024-05-02T00-01-00Z.png"], [0, 5, 62]],
  ["digits only, with milliseconds", ["20240501100059900.jpg", "20240501100100100.jpg"], [0, 0.2]],
  ["date and time apart", ["c_20240501_095959.png", "c_20240501_100004.png", "c_20240501_100010.png"], [0, 5, 11]],
])("names that are times give order and times: %s", (_, names, times) => {
  expect(ordered(names)).toEqual(inOrder(names, times));
  expect(orderFrames("folder", names).notes[0]).toMatch(/the names are times; frames are in the order of the times/);
});

test("a second that occurs twice keeps the order of the names", () => {
  const names = ["2024-05-01_10-00-59_1.png", "2024-05-01_10-00-59_2.png", "2024-05-01_10-01-04_1.png"];
  expect(ordered(names)).toEqual(inOrder(names, [0, 0, 5]));
});

test("a clock without a date is a time if the last numbers are not in order", () => {
  const names = ["10-00-50.png", "10-01-05.png", "10-01-20.png"];
  expect(ordered(names)).toEqual(inOrder(names, [0, 15, 30]));
  // Scene, clip and frame: in order, so they are numbers.
  expect(ordered(["01_01_03.png", "01_01_05.png"])).toEqual([
    ["01_01_03.png", 3, undefined],
    ["01_01_05.png", 5, undefined],
  ]);
});

test("last numbers in another order than the names, repeated or too large: the whole names give the order", () => {
  for (const [names, why] of [
    [["frame_2_rf.81.png", "frame_9_rf.7.png", "frame_10_rf.33.png"], "that run in another order"],
    [["f1_take2.png", "f2_take2.png", "f10_take2.png"], "that occur more than once"],
    [["f1_99999999999999999999.png", "f2_11111111111111111111.png"], "that are too large"],
  ] as const) {
    expect(ordered([...names])).toEqual(inOrder([...names]));
    expect(orderFrames("folder", names).notes).toEqual([
      expect.stringMatching(`^folder: the names end in numbers ${why}.*; frames are in the order of the whole names`),
    ]);
  }
});

test("two videos in one folder are refused, one counter behind two labels is not", () => {
  expect(() => orderFrames("folder", ["a_1.png", "a_2.png", "b_1.png"])).toThrow(InputError);
  expect(ordered(["normal_5.png", "abnormal_6.png"]).map(([name]) => name)).toEqual(["normal_5.png", "abnormal_6.png"]);
});

test("order and step can be named", () => {
  const names = ["b_1.png", "a_8.png", "a_16.png"];
  expect(ordered(names, { order: "name" }).map(([name]) => name)).toEqual(["a_8.png", "a_16.png", "b_1.png"]);
  const clocks = ["10-00-50.png", "10-01-05.png"];
  expect(ordered(clocks, { order: "number" })).toEqual([
    ["10-01-05.png", 5, undefined],
    ["10-00-50.png", 50, undefined],
  ]);
  expect(orderFrames("folder", ["0.png", "8.png", "17.png"], { step: 8 }).step).toBe(8);
  expect(() => orderFrames("folder", ["3.png", "4.png"], { step: 8 })).toThrow(
    "folder: frames 3 and 4 are closer than the step, 8",
  );
});

test("a constant step of the numbers is found out, with gaps in it too", () => {
  const step = (...numbers: number[]) =>
    orderFrames(
      "folder",
      numbers.map((n) => `f${n}.png`),
    ).step;
  expect(step(0, 8, 16, 24)).toBe(8);
  expect(step(1, 3, 5, 11)).toBe(2);
  expect(step(0, 8, 17)).toBe(1);
  // One distance proves nothing.
  expect(step(3, 10)).toBe(1);
  expect(orderFrames("folder", ["0.png", "8.png", "16.png"]).notes).toEqual([
    "folder: frame numbers are 8 apart, so a frame's neighbours are those 8 before and after",
  ]);
});

test("frames with a neighbour are counted", () => {
  // 5, 6, 7 lie side by side; 10 is three after 7; 20 is alone.
  expect(framesWithNeighbour([5, 6, 7, 10, 20], 1)).toBe(4);
  expect(framesWithNeighbour([0, 8, 17, 25], 1)).toBe(0);
  expect(framesWithNeighbour([0, 8, 17, 25], 8)).toBe(4);
});
