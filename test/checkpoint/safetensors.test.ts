import { describe, expect, it } from "vitest";
import { parseSafetensors, serializeSafetensors } from "../../src/checkpoint/safetensors.js";
import type { StoredTensor } from "../../src/checkpoint/tensor.js";
import { float32ToBfloat16, float32ToHalf, halfToFloat32 } from "../../src/half.js";
import { fixture } from "../support/fixtures.js";
import { inputErrorOf } from "../support/refusal.js";

/** The tensors that test/fixtures/checkpoint/make.py gave to the safetensors library. */
const types: Record<string, StoredTensor> = {
  half: { dtype: "F16", shape: [5], data: Float32Array.of(1, -2.5, 65504, 2 ** -24, 0) },
  bfloat16: { dtype: "BF16", shape: [4], data: Float32Array.of(1, -2.5, 3.00405527047391e38, 1.0010069081221042e-38) },
  double: { dtype: "F64", shape: [2], data: Float64Array.of(0.1, -0.001) },
  float: { dtype: "F32", shape: [2, 2], data: Float32Array.of(0.5, -1, 3, 0.001) },
  int32: { dtype: "I32", shape: [2], data: Int32Array.of(-1, 2147483647) },
  int16: { dtype: "I16", shape: [2], data: Int16Array.of(-2, 300) },
  int8: { dtype: "I8", shape: [2], data: Int8Array.of(-128, 127) },
  uint8: { dtype: "U8", shape: [2], data: Uint8Array.of(0, 255) },
  bool: { dtype: "BOOL", shape: [3], data: Uint8Array.of(1, 0, 1) },
  uint16: { dtype: "U16", shape: [2], data: Uint16Array.of(1, 65535) },
  scalar: { dtype: "I64", shape: [], data: BigInt64Array.of(7n) },
  empty: { dtype: "F32", shape: [0, 3], data: new Float32Array(0) },
};

/** A file with this header and zeros as data. */
function file(header: unknown, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

describe("parseSafetensors", () => {
  it("reads every type of a file that the safetensors library wrote", () => {
    const { metadata, tensors } = parseSafetensors(fixture("checkpoint/types.safetensors"), "types");
    expect(metadata).toEqual({ "made by": "make.py", note: "café" });
    expect(Object.fromEntries(tensors)).toEqual(types);
  });

  it("reads bytes that are not aligned in memory", () => {
    const bytes = fixture("checkpoint/types.safetensors");
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(Object.fromEntries(parseSafetensors(shifted.subarray(1), "types").tensors)).toEqual(types);
  });

  const f32 = (begin: number, end: number, shape: unknown = [(end - begin) / 4]) => ({
    dtype: "F32",
    shape,
    data_offsets: [begin, end],
  });
  const lengthOnly = (length: bigint, total: number) => {
    const bytes = new Uint8Array(total);
    new DataView(bytes.buffer).setBigUint64(0, length, true);
    return bytes;
  };
  const cases: [string, Uint8Array, string][] = [
    ["too few bytes", new Uint8Array(7).fill(1), "7 bytes are too few for a header"],
    [
      "a huge header",
      lengthOnly(2n ** 63n, 16),
      "header length 9223372036854775808 is over the format's limit of 100000000",
    ],
    ["a header past the end", lengthOnly(9n, 16), "its header needs 9 bytes, but 8 are there; was it cut off?"],
    ["broken JSON", file("{nonsense", 0), "its header is not valid JSON"],
    ["deeply nested JSON", file("[".repeat(1_000_000), 0), "its header is not valid JSON"],
    ["invalid UTF-8", lengthOnly(1n, 9).fill(0xff, 8), "its header is not valid JSON"],
    ["a list", file([], 0), "its header is not a JSON object"],
    ["an entry that is a number", file({ a: 1 }, 0), 'the header\'s entry "a" is not an object'],
    ["metadata that is not text", file({ __metadata__: { a: 1 } }, 0), 'metadata "a" is not a string'],
    [
      "an unknown type",
      file({ a: { ...f32(0, 4), dtype: "F8_E4M3" } }, 4),
      'tensor "a" has the unknown element type "F8_E4M3"',
    ],
    [
      "an inherited type",
      file({ a: { ...f32(0, 4), dtype: "toString" } }, 4),
      'tensor "a" has the unknown element type "toString"',
    ],
    ["no shape", file({ a: f32(0, 4, 1) }, 4), 'tensor "a" has no shape'],
    ["a negative size", file({ a: f32(0, 4, [-1, -1]) }, 4), 'tensor "a" has an impossible shape'],
    ["a size beyond 2^53", file({ a: f32(0, 4, [2 ** 40, 2 ** 40]) }, 4), 'tensor "a" has an impossible shape'],
    ["no offsets", file({ a: { dtype: "F32", shape: [1] } }, 4), 'tensor "a" has no data_offsets of two whole numbers'],
    ["fractional offsets", file({ a: f32(0, 4.5, [1]) }, 8), 'tensor "a" has no data_offsets of two whole numbers'],
    [
      "offsets past the end",
      file({ a: f32(0, 4), b: f32(4, 12) }, 8),
      "its tensors need 12 bytes of data, but 8 are there; was it cut off?",
    ],
    [
      "offsets before the beginning",
      file({ a: f32(-4, 4) }, 8),
      'tensor "a" lies at bytes -4 to 4, outside the data (8 bytes)',
    ],
    ["offsets reversed", file({ a: f32(8, 4, [1]) }, 8), 'tensor "a" lies at bytes 8 to 4, outside the data (8 bytes)'],
    ["a wrong size", file({ a: f32(0, 8, [3]) }, 8), 'tensor "a", F32 [3], needs 12 bytes but has 8'],
    ["an overlap", file({ a: f32(0, 8), b: f32(4, 12) }, 12), 'tensor "b" overlaps another'],
    ["a gap", file({ a: f32(0, 4), b: f32(8, 12) }, 12), "bytes 4 to 8 of the data belong to no tensor"],
    ["data left over", file({ a: f32(0, 4) }, 5), "bytes 4 to 5 of the data belong to no tensor"],
    [
      "a name with control characters",
      file({ "a\n\u001b[31m": 1 }, 0),
      'the header\'s entry "a\\u{a}\\u{1b}[31m" is not an object',
    ],
  ];
  for (const [what, bytes, message] of cases) {
    it(`refuses ${what}`, () => {
      expect(inputErrorOf(() => parseSafetensors(bytes, "x.safetensors"))).toBe(
        `x.safetensors: not a valid safetensors file: ${message}`,
      );
    });
  }

  it("refuses a truncated file", () => {
    const bytes = fixture("checkpoint/types.safetensors");
    expect(inputErrorOf(() => parseSafetensors(bytes.subarray(0, bytes.length - 1), "x"))).toMatch(
      / bytes of data, but \d+ are there; was it cut off\?$/,
    );
  });

  it("treats __proto__ like any other name", () => {
    const { tensors, metadata } = parseSafetensors(
      file(`{"__metadata__":{"__proto__":"m"},"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
      "x",
    );
    expect([...tensors.keys()]).toEqual(["__proto__"]);
    expect(Object.entries(metadata)).toEqual([["__proto__", "m"]]);
  });
});

describe("serializeSafetensors", () => {
  it("writes the format, byte for byte", () => {
    const bytes = serializeSafetensors(
      new Map<string, StoredTensor>([
        ["b", { dtype: "U8", shape: [1], data: Uint8Array.of(9) }],
        ["a", { dtype: "F16", shape: [2], data: Float32Array.of(1, -2) }],
      ]),
      { k: "v" },
    );
    const header =
      '{"__metadata__":{"k":"v"},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
    const expected = [padded.length, 0, 0, 0, 0, 0, 0, 0, ...new TextEncoder().encode(padded)];
    expect([...bytes]).toEqual([...expected, 0x00, 0x3c, 0x00, 0xc0, 9]);
  });

  it("keeps every type", () => {
    const bytes = serializeSafetensors(new Map(Object.entries(types)), { "made by": "test" });
    const { metadata, tensors } = parseSafetensors(bytes, "x");
    expect(Object.fromEntries(tensors)).toEqual(types);
    expect(metadata).toEqual({ "made by": "test" });
  });

  it("refuses data that does not fill its shape", () => {
    const tensor: StoredTensor = { dtype: "F32", shape: [3], data: new Float32Array(2) };
    expect(() => serializeSafetensors(new Map([["a", tensor]]))).toThrow(
      'tensor "a", F32 [3], needs 12 bytes but has 8',
    );
    expect(() => serializeSafetensors(new Map([["__metadata__", tensor]]))).toThrow("cannot be named __metadata__");
  });
});

describe("16-bit floats", () => {
  const values = Float32Array.of(
    ...[1 / 3, 0.1, 65519.99, 65520, 2 ** -25, 2 ** -25 * 1.0001, 2 ** -24 * 1.5, 2 ** -14 - 2 ** -25, 1 + 2 ** -11],
    ...[1 + 3 * 2 ** -11, -3.3, 1e-9, 2049, 2051],
  );

  it("are rounded like NumPy's float16", () => {
    expect([...float32ToHalf(values)]).toEqual([
      ...[0x3555, 0x2e66, 0x7bff, 0x7c00, 0x0, 0x1, 0x2, 0x400, 0x3c00, 0x3c02, 0xc29a, 0x0, 0x6800, 0x6802],
    ]);
  });

  it("are rounded like PyTorch's bfloat16", () => {
    expect([...float32ToBfloat16(values)]).toEqual([
      ...[0x3eab, 0x3dcd, 0x4780, 0x4780, 0x3300, 0x3300, 0x33c0, 0x3880, 0x3f80, 0x3f80, 0xc053, 0x3089, 0x4500],
      0x4500,
    ]);
  });

  it("survive the conversion to float32 and back, all 65,536", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    const floats = halfToFloat32(all);
    const back = float32ToHalf(floats);
    const lost = [...all].filter((bits, i) => !Number.isNaN(floats[i]) && back[i] !== bits);
    expect(lost).toEqual([]);
    expect([...floats].filter(Number.isNaN).length).toBe(2 * 1023);
    expect(Number.isNaN(halfToFloat32(float32ToHalf(Float32Array.of(Number.NaN)))[0])).toBe(true);
  });
});
