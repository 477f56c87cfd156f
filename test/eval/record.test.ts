import { describe, expect, it } from "vitest";
import { serializeSafetensors } from "../../src/checkpoint/safetensors.js";
import type { TokenMaps } from "../../src/detector/token_maps.js";
import { decodeRecord, encodeRecord, type VideoRecord } from "../../src/eval/record.js";
import { Random } from "../support/numbers.js";

const random = new Random(3);
const maps = (student: boolean): TokenMaps => ({
  rows: 2,
  columns: 3,
  student: random.floats(6),
  target: random.floats(6),
  anomaly: random.floats(6),
  motion: random.floats(6),
  movingAnomaly: random.floats(6),
  largestMotion: random.floats(6),
  ...(student && { cleaned: random.floats(6) }),
  visible: Uint8Array.of(1, 0, 1, 1, 0, 0),
});

describe("a video's record", () => {
  for (const student of [true, false]) {
    it(`is read back unchanged${student ? "" : ", of a model without a student"}`, () => {
      const record: VideoRecord = {
        width: 51,
        height: 37,
        frames: [4, 5, 9],
        tokens: [0, 1, 2].map(() => maps(student)),
      };
      expect(decodeRecord(encodeRecord(record, { model: "x" }), "r")).toEqual(record);
      const timed = { ...record, times: [0, 0.1, 0.5] };
      expect(decodeRecord(encodeRecord(timed, {}), "r")).toEqual(timed);
    });
  }

  it("is refused if the file is something else or cut off", () => {
    const bytes = encodeRecord({ width: 8, height: 8, frames: [0], tokens: [maps(true)] }, {});
    expect(() => decodeRecord(bytes.subarray(0, bytes.length - 9), "cut.safetensors")).toThrow("cut.safetensors");
    const other = serializeSafetensors(new Map([["a", { dtype: "F32", shape: [1], data: Float32Array.of(1) }]]));
    expect(() => decodeRecord(other, "other.safetensors")).toThrow("other.safetensors is not a record of scores");
  });
});
