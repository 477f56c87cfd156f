import { describe, expect, it } from "vitest";
import { PickleGlobal, PickleObject, type PickleValue } from "../../src/checkpoint/pickle.js";
import { PickleFloat, PickleTuple, writePickle } from "../../src/checkpoint/pickle_write.js";
import { hex, sha } from "../support/checkpoint.js";

describe("writePickle", () => {
  const list: PickleValue[] = [1];
  const self: PickleValue[] = [];
  self.push(self);
  const ordered = new PickleObject(new PickleGlobal("collections", "OrderedDict"), []);
  ordered.items.set("a", 1).set("b", 2);
  const tuple = (...items: PickleValue[]) => new PickleTuple(items);
  const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);
  // From pickle.dumps(…, 2) of CPython 3.11; the last one is the start of its SHA-256.
  const cases: [string, PickleValue, string][] = [
    [
      "integers",
      [0, 255, 256, 65535, 65536, -1, 2 ** 31 - 1, -(2 ** 31)],
      "80025d7100284b004bff4d00014dffff4a000001004affffffff4affffff7f4a00000080652e",
    ],
    [
      "long integers",
      [2 ** 31, -(2 ** 31) - 1, 2 ** 39, 2n ** 63n, -(2n ** 63n)],
      "80025d7100288a0500000080008a05ffffff7fff8a060000000080008a090000000000000080008a080000000000000080652e",
    ],
    [
      "floats",
      [new PickleFloat(1), new PickleFloat(-0), 0.1, 1e-8],
      "80025d710028473ff0000000000000478000000000000000473fb999999999999a473e45798ee2308c3a652e",
    ],
    ["None and booleans", [null, true, false], "80025d7100284e8889652e"],
    [
      "text",
      ["a", "a", "\u00e9\u2200\u{1f600}", ""],
      "80025d710028580100000061710168015809000000c3a9e28880f09f9880710258000000007103652e",
    ],
    [
      "tuples",
      [tuple(), tuple(1), tuple(1, 2), tuple(1, 2, 3), tuple(1, 2, 3, 4)],
      "80025d710028294b018571014b014b028671024b014b024b03877103284b014b024b034b04747104652e",
    ],
    [
      "shared lists and dictionaries",
      [list, list, new Map(), new Map([["k", list]]), new Map<PickleValue, PickleValue>([["k", 1], [2, null]])], // biome-ignore format: compact
      "80025d7100285d71014b016168017d71027d710358010000006b71046801737d71052868044b014b024e75652e",
    ],
    [
      "an ordered dictionary",
      ordered,
      "800263636f6c6c656374696f6e730a4f726465726564446963740a7100295271012858010000006171024b0158010000006271034b02752e",
    ],
    ["a list that contains itself", self, "80025d71006800612e"],
    ["a long memo", [...upTo(300).map((i) => `${i}x`), "0x", "299x"], "a64f101511b9eff3"],
  ];
  for (const [what, value, expected] of cases) {
    it(`writes ${what} as Python does`, () => {
      const bytes = writePickle(value);
      expect(expected.length === 16 ? sha(bytes) : hex(bytes)).toBe(expected);
    });
  }

  it("refuses other values", () => {
    expect(() => writePickle([new Uint8Array(1)])).toThrow(TypeError);
  });
});
