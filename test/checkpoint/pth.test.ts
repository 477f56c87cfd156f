import { describe, expect, it } from "vitest";
import { parsePth } from "../../src/checkpoint/pth.js";
import { archive, digest, microDigest, py } from "../support/checkpoint.js";
import { fixture } from "../support/fixtures.js";
import { inputErrorOf } from "../support/refusal.js";

describe("checkpoints of the original code", () => {
  // From torch.load (PyTorch 2.13); sums are in float64.
  const cases = [
    { file: "tiny-checkpoint-best.pth", tensors: 192, all: "2b5d36acc683d942", sum: -1.2847522143509877, epoch: 173 },
    { file: "tiny-checkpoint-best-student.pth", tensors: 192, all: "ceef51e07817be11", sum: 3.451933869124673 },
    { file: "tiny-patch8.pth", tensors: 192, all: "27a24ae9ba223dce", sum: -7.0213865547695775 },
    { file: "full-patch16.pth", tensors: 260, all: "0af767c6c6ec58d6", sum: 3.779533163656785, epoch: 1 },
  ];
  for (const { file, tensors: count, all, sum, epoch } of cases) {
    it(`give every value: ${file}`, () => {
      const { tensors, ...rest } = parsePth(fixture(file), file);
      expect(tensors.size).toBe(count);
      const patches = tensors.get("patch_embed.proj.weight")!.data as Float32Array;
      expect(patches.reduce((a, b) => a + b, 0)).toBeCloseTo(sum, 9);
      expect(tensors.get("blocks.0.attn.conv_proj_q.bn.num_batches_tracked")).toEqual({
        dtype: "I64",
        shape: [],
        data: BigInt64Array.of(137n),
      });
      expect(digest(tensors)).toBe(all);
      if (epoch !== undefined) expect(rest.epoch).toBe(epoch);
    });
  }

  it("give plain settings from the pickled ConfigDict", () => {
    const { args } = parsePth(fixture("tiny-checkpoint-best.pth"), "best");
    expect(args.get("mask_ratio")).toBe(0.5);
    expect(args.get("input_size")).toEqual([320, 640]);
    expect(args.get("abnormal_score_func")).toEqual(["L2", "L2"]);
    expect(args.get("norm_pix_loss")).toBe(false);
    expect(args.get("_locked")).toBeUndefined();
  });

  it("open within a second at full size", () => {
    const bytes = fixture("full-patch16.pth");
    const start = performance.now();
    parsePth(bytes, "full");
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe("views and element types", () => {
  // PyTorch's values, printed by test/fixtures/checkpoint/make.py.
  const rows = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];
  const transposed = [0, 6, 12, 18, 1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23];
  const permuted = [0, 4, 8, 12, 16, 20, 1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22, 3, 7, 11, 15, 19, 23];
  const expected: [string, string, number[], ArrayLike<number | bigint>][] = [
    ["whole", "F32", [4, 6], Float32Array.from(rows)],
    ["transposed", "F32", [6, 4], Float32Array.from(transposed)],
    ["column", "F32", [4], Float32Array.of(2, 8, 14, 20)],
    ["offset", "F32", [4], Float32Array.of(5, 6, 7, 8)],
    ["every_second", "F32", [3, 4], Float32Array.of(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23)],
    ["permuted", "F32", [4, 2, 3], Float32Array.from(permuted)],
    ["expanded", "F32", [2, 3], Float32Array.of(3, 3, 3, 4, 4, 4)],
    ["parameter", "F32", [2], Float32Array.of(1.5, -2.5)],
    ["scalar", "I64", [], BigInt64Array.of(7n)],
    ["empty", "F32", [0, 3], new Float32Array(0)],
    ["half", "F32", [5], Float32Array.of(1, -2.5, 65504, 2 ** -24, 0)],
    ["half_transposed", "F32", [3, 2], Float32Array.of(0, 3, 1, 4, 2, 5)],
    ["bfloat16", "F32", [4], Float32Array.of(1, -2.5, 3.00405527047391e38, 1.0010069081221042e-38)],
    ["double", "F32", [2], Float32Array.of(0.1, -0.001)],
    ["int32", "I32", [2], Int32Array.of(-1, 2147483647)],
    ["int16", "I16", [2], Int16Array.of(-2, 300)],
    ["int8", "I8", [2], Int8Array.of(-128, 127)],
    ["uint8", "U8", [2], Uint8Array.of(0, 255)],
    ["bool", "BOOL", [3], Uint8Array.of(1, 0, 1)],
    ["uint16", "U16", [2], Uint16Array.of(1, 65535)],
  ];
  for (const file of ["views.pth", "views-protocol4.pth", "views-deflated.pth"]) {
    it(`are all read from ${file}`, () => {
      const { tensors } = parsePth(fixture(`checkpoint/${file}`), file);
      expect([...tensors.keys()].sort()).toEqual(expected.map(([name]) => name).sort());
      for (const [name, dtype, shape, data] of expected) {
        expect(tensors.get(name), name).toEqual({ dtype, shape, data });
      }
    });
  }

  it("share no memory, although they share a storage", () => {
    const { tensors } = parsePth(fixture("checkpoint/views.pth"), "views");
    (tensors.get("whole")!.data as Float32Array)[5] = -1;
    expect(tensors.get("offset")!.data[0]).toBe(5);
  });

  it("are also copied from a Node Buffer, aligned or not", () => {
    const bytes = fixture("checkpoint/views.pth");
    for (let shift = 0; shift < 4; shift++) {
      const buffer = Buffer.from(new ArrayBuffer(bytes.length + shift), shift);
      buffer.set(bytes);
      const { tensors } = parsePth(buffer, "views");
      buffer.fill(0);
      for (const [name, dtype, shape, data] of expected) {
        expect(tensors.get(name), name).toEqual({ dtype, shape, data });
      }
    }
  });
});

describe("the reader ignores", () => {
  for (const protocol of [2, 5]) {
    it(`settings of unknown classes, pickled with protocol ${protocol}`, () => {
      const file = `checkpoint/micro-foreign-args-protocol${protocol}.pth`;
      const { tensors, args, epoch } = parsePth(fixture(file), file);
      expect(digest(tensors)).toBe(microDigest);
      expect(epoch).toBe(7);
      expect(Object.fromEntries(args)).toEqual({
        mask_ratio: 0.25,
        masking_method: "grad_masking_v1",
        input_size: [160, 320],
        abnormal_score_func: "L1",
        norm_pix_loss: true,
        use_only_masked_tokens_ab: true,
        dataset: "shanghai",
        negative: -(2 ** 40),
        size: [1, 2],
        // A set, whose order depends on Python's hashes.
        names: expect.arrayContaining(["a", "b"]),
      });
    });
  }

  it("prototypes: __proto__ is a key like any other", () => {
    const evil = py.dict(["polluted", "\x88"]);
    const args = py.dict(["__proto__", evil], ["constructor", py.text("c")], ["mask_ratio", py.int(0)]);
    const model = py.dict(["w", py.tensor(py.storage("0", 1), [1], [1])]);
    const bytes = archive(py.pickle(py.dict(["model", model], ["args", args])), { 0: new Uint8Array(4) });
    const parsed = parsePth(bytes, "x");
    expect([...parsed.args]).toEqual([
      ["constructor", "c"],
      ["mask_ratio", 0],
    ]);
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
    expect(Object.getPrototypeOf(parsed.args)).toBe(Map.prototype);
  });

  it("an optimiser whose storages are missing", () => {
    const state = py.dict(["exp_avg", py.tensor(py.storage("9", 1), [1], [1])]);
    const model = py.dict(["w", py.tensor(py.storage("0", 1), [1], [1])]);
    const bytes = archive(py.pickle(py.dict(["model", model], ["optimizer", state])), { 0: new Uint8Array(4) });
    expect([...parsePth(bytes, "x").tensors.keys()]).toEqual(["w"]);
  });
});

describe("a file without a dictionary of tensors", () => {
  const cases: [string, Uint8Array, string][] = [
    [
      "the legacy format",
      fixture("checkpoint/legacy.pth"),
      "x.pth: in torch.save's legacy format from before PyTorch 1.6; load it in PyTorch 1.6 or later and torch.save it again",
    ],
    [
      "a pickled module",
      fixture("checkpoint/whole-module.pth"),
      'x.pth: holds a whole Python object ("torch.nn.modules.linear.Linear") instead of a dictionary of tensors; save its state_dict()',
    ],
    [
      "a sparse tensor",
      fixture("checkpoint/sparse.pth"),
      'x.pth: "sparse" in its dictionary of tensors is of the unsupported kind "torch._utils._rebuild_sparse_tensor"',
    ],
    [
      "complex numbers",
      fixture("checkpoint/complex.pth"),
      'x.pth: tensor "complex" has the element type "ComplexFloatStorage", which is not supported',
    ],
    ["an empty file", new Uint8Array(0), "x.pth: the file is empty"],
    ["a bare pickle", py.pickle(py.none), "x.pth: a bare Python pickle, not a checkpoint of torch.save"],
    ["a few bytes", Uint8Array.of(0x50, 0x4b, 3), "x.pth: 3 bytes, too few for a checkpoint; was it cut off?"],
    [
      "random bytes",
      Uint8Array.from({ length: 1000 }, (_, i) => (i * i) >> 3),
      "x.pth: neither safetensors nor a checkpoint of torch.save (a zip archive); it is damaged or something else",
    ],
    ["a list", archive(py.pickle("]")), "x.pth: does not hold a dictionary of tensors"],
    ["nothing", archive(py.pickle("}")), "x.pth: holds no tensors"],
    [
      "a number among tensors",
      archive(py.pickle(py.dict(["model", py.dict(["w\n\x1b", py.int(1)])]))),
      'x.pth: "w\\u{a}\\u{1b}" in its dictionary of tensors is not a tensor',
    ],
    [
      "a list as model",
      archive(py.pickle(py.dict(["model", "]"]))),
      'x.pth: its "model" is not a dictionary of tensors',
    ],
    [
      "TorchScript",
      archive(py.pickle("}"), {}, { "archive/constants.pkl": py.pickle("N") }),
      "x.pth: a TorchScript program, not a checkpoint; torch.save its state_dict() instead",
    ],
    [
      "big-endian data",
      archive(py.pickle("}"), {}, { "archive/byteorder": new TextEncoder().encode("big") }),
      'x.pth: byte order "big" is not supported; only "little" is',
    ],
    [
      "another zip archive",
      archive(py.pickle("}"), {}, { "other/data.pkl": py.pickle("}") }),
      "x.pth: not a PyTorch checkpoint: a zip archive with 2 data.pkl files instead of one",
    ],
  ];
  for (const [what, bytes, message] of cases) {
    it(`is refused: ${what}`, () => expect(inputErrorOf(() => parsePth(bytes, "x.pth"))).toBe(message));
  }
});
