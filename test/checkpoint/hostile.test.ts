import { zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { readPickle } from "../../src/checkpoint/pickle.js";
import { parsePth } from "../../src/checkpoint/pth.js";
import { parseSafetensors } from "../../src/checkpoint/safetensors.js";
import { ZipArchive } from "../../src/checkpoint/zip.js";
import { archive, py } from "../support/checkpoint.js";
import { fixture } from "../support/fixtures.js";
import { inputErrorOf } from "../support/refusal.js";

/** The message with which a checkpoint with this pickle is refused. */
function refusal(pickle: Uint8Array, storages: Record<string, Uint8Array> = {}): string {
  return inputErrorOf(() => parsePth(archive(pickle, storages), "x.pth"));
}

describe("a pickle that asks for harmful code", () => {
  it("is refused: os.system, as Python pickles it", () => {
    expect(inputErrorOf(() => parsePth(fixture("checkpoint/harm-os-system.pth"), "x.pth"))).toBe(
      'x.pth: refused: its pickle asks for "posix.system" (os.system), which no checkpoint needs (nothing was run)',
    );
  });

  const names: [string, string][] = [
    ["os", "system"],
    ["nt", "system"],
    ["builtins", "eval"],
    ["builtins", "getattr"],
    ["__builtin__", "exec"],
    ["subprocess", "Popen"],
    ["importlib", "import_module"],
    ["runpy", "_run_code"],
    ["collections", "namedtuple"],
    ["pathlib", "Path.unlink"],
    ["torch.serialization", "os.system"],
  ];
  for (const [module, name] of names) {
    it(`is refused: ${module}.${name}, called or only named`, () => {
      const message = `x.pth: refused: its pickle asks for "${module}.${name}"`;
      expect(refusal(py.pickle(py.dict(["args", py.call(py.global(module, name), py.text("id"))])))).toContain(message);
      expect(refusal(py.pickle(py.dict(["args", py.global(module, name)])))).toContain(message);
      // STACK_GLOBAL, protocol 4; INST, protocol 0.
      expect(refusal(py.pickle(`${py.text(module)}${py.text(name)}\x93`))).toContain(message);
      expect(refusal(py.pickle(`(${py.text("id")}i${module}\n${name}\n`))).toContain(message);
    });
  }
});

describe("tensors that reach outside their storage", () => {
  const storage = py.storage("0", 6);
  const zeros = { 0: new Uint8Array(24) };
  const model = (tensor: string) => py.pickle(py.dict(["model", py.dict(["w", tensor])]));

  it("are accepted if they end at its last value", () => {
    const bytes = archive(model(py.tensor(storage, [2, 2], [2, 1], 2)), zeros);
    expect(parsePth(bytes, "x").tensors.get("w")!.shape).toEqual([2, 2]);
  });

  const outside: [number[], number[], number, number][] = [
    [[7], [1], 0, 7],
    [[2, 3], [4, 1], 0, 7],
    [[1], [1], 6, 7],
    [[2, 2], [2_000_000_000, 2_000_000_000], 2_000_000_000, 6_000_000_001],
  ];
  for (const [size, stride, offset, need] of outside) {
    it(`are refused: sizes ${size}, strides ${stride}, offset ${offset}`, () => {
      expect(refusal(model(py.tensor(storage, size, stride, offset)), zeros)).toBe(
        `x.pth: tensor "w" reaches outside its storage: shape [${size.join(", ")}], strides [${stride.join(", ")}] and offset ${offset} need ${need} values, but it has 6`,
      );
    });
  }

  it("are refused: negative sizes, strides and offsets, and too few strides", () => {
    const message =
      'x.pth: tensor "w" has a damaged shape: sizes, strides and offset must be whole numbers from 0, with one stride per size';
    expect(refusal(model(py.tensor(storage, [-1], [1])), zeros)).toBe(message);
    expect(refusal(model(py.tensor(storage, [2], [-1], 3)), zeros)).toBe(message);
    expect(refusal(model(py.tensor(storage, [2], [1], -1)), zeros)).toBe(message);
    expect(refusal(model(py.tensor(storage, [2, 2], [1])), zeros)).toBe(message);
  });

  it("are refused if they unfold a small file to a huge one", () => {
    expect(refusal(model(py.tensor(storage, [1_000_000, 1_000_000], [0, 0])), zeros)).toBe(
      'x.pth: tensor "w" of shape [1000000, 1000000] is too large: the limit for all tensors together is 67108864 values',
    );
    const part = py.tensor(storage, [30_000_000], [0]);
    const entries = ["a", "b", "c"].map((name): [string, string] => [name, part]);
    expect(refusal(py.pickle(py.dict(...entries)), zeros)).toMatch(
      /^x\.pth: tensor "c" of shape \[30000000\] is too large/,
    );
  });

  it("are refused if the storage is missing or has another size", () => {
    expect(refusal(model(py.tensor(storage, [6], [1])))).toBe(
      'x.pth: the storage of tensor "w", entry "archive/data/0", is missing',
    );
    expect(refusal(model(py.tensor(storage, [2], [1])), { 0: new Uint8Array(20) })).toBe(
      'x.pth: the storage of tensor "w" has 20 bytes instead of 24',
    );
  });
});

describe("a damaged pickle", () => {
  const read = (codes: string) => {
    const bytes = Uint8Array.from(codes, (c) => c.charCodeAt(0));
    const persistent = () => null;
    return readPickle(bytes, "x.pth", { persistent, rebuild: () => undefined });
  };
  const cases: [string, string, string][] = [
    ["ends early", "\x80\x02X\x05\0\0\0ab", "it ends in the middle"],
    ["has no STOP", "\x80\x02N", "it ends in the middle"],
    ["has a byte string of negative length", "\x80\x02B\xfb\xff\xff\xff", "it ends in the middle"],
    ["has an unknown protocol", "\x80\x09N.", "unknown protocol 9"],
    ["has an unknown operation", "\x80\x02\xff.", "operation 0xff at byte 2 is unknown or not supported"],
    ["has an extension code", "\x80\x02\x82\x01.", "operation 0x82 at byte 2 is unknown or not supported"],
    ["pops too much", "\x80\x020.", "no mark on the stack"],
    ["stops with nothing", "\x80\x02.", "the stack is empty"],
    ["has no mark", "\x80\x02Nt.", "no mark on the stack"],
    ["recalls nothing", "\x80\x02h\x05.", "nothing was stored under 5"],
    ["appends to a number", "\x80\x02K\x01Na.", "items for something that is not a list"],
    ["sets items of a list", "\x80\x02]NNs.", "items for something that is not a dictionary"],
    ["has a key without a value", "\x80\x02}(Nu.", "a key without a value"],
    ["calls a string", "\x80\x02U\x01a)R.", "a call of something that is not a name"],
    ["calls with a number", "\x80\x02cm\nn\nK\x01R.", 'a call of "m.n" without a list of arguments'],
    ["gives a class attributes", "\x80\x02cm\nn\n}b.", "attributes for something that is not an object"],
    ["has an integer of 4 GB", "\x80\x02\x8b\xff\xff\xff\xff", "an integer of 4294967295 bytes"],
    ["has letters for an integer", "\x80\x02Iabc\n.", '"abc" is not an integer'],
    ["never ends", `\x80\x02${"N0".repeat(1_000_001)}.`, "more than 2000000 steps"],
    // list() copies a list of 1,000 items again and again.
    [
      "copies over and over",
      `\x80\x02](${"N".repeat(1000)}eq\0${"cbuiltins\nlist\nh\0\x85R0".repeat(3000)}.`,
      "more than",
    ],
  ];
  for (const [what, codes, message] of cases) {
    it(`is refused: it ${what}`, () => {
      const found = inputErrorOf(() => read(codes));
      expect(found.startsWith(`x.pth: its pickle cannot be read: ${message}`), found).toBe(true);
    });
  }

  it("cannot set the length of a list or the prototype of an object", () => {
    expect(read(`\x80\x02]}U\x06lengthJ\xff\xff\xff\x7fsb.`)).toEqual([]);
    expect(read("\x80\x02(U\x09__proto__]d.")).toEqual(new Map([["__proto__", []]]));
  });

  it("may hold integers of every form", () => {
    expect(read("\x80\x02(\x8a\x01\xff\x8a\x00\x8a\x02\x00\x80\x8a\x09\0\0\0\0\0\0\0\0\x01I-7\nL12L\nI01\nt.")).toEqual(
      [-1, 0, -32768, 18446744073709551616n, -7, 12, true],
    );
  });
});

describe("a damaged archive", () => {
  const whole = fixture("checkpoint/micro-bare.pth");
  const problem = (bytes: Uint8Array) => inputErrorOf(() => parsePth(bytes, "x.pth"));
  /** Where the directory's record of an entry begins in the archive. */
  const recordOf = (bytes: Uint8Array, entry: string) => Buffer.from(bytes).lastIndexOf(entry) - 46;

  it("is refused wherever it is cut off", () => {
    const cutOff = "x.pth: not a readable zip archive: it has no directory at its end; was it cut off?";
    for (const share of [0.001, 0.1, 0.5, 0.9, 0.999]) {
      expect(problem(whole.subarray(0, Math.floor(whole.length * share)))).toBe(cutOff);
    }
    expect(problem(whole.subarray(0, whole.length - 1))).toMatch(/^x\.pth: not a readable zip archive: /);
  });

  it("is refused if bytes in the middle are missing", () => {
    const gap = new Uint8Array(whole.length - 100);
    gap.set(whole.subarray(0, 9000));
    gap.set(whole.subarray(9100), 9000);
    expect(problem(gap)).toBe("x.pth: not a readable zip archive: its directory points outside the file");
  });

  it("is refused if one bit of a weight has changed", () => {
    const bytes = fixture("checkpoint/views.pth");
    const at = Buffer.from(bytes).indexOf(Buffer.from(Float32Array.of(21, 22, 23).buffer));
    expect(at).toBeGreaterThan(0);
    bytes[at + 2] ^= 4;
    expect(problem(bytes)).toBe('x.pth: not a readable zip archive: entry "views/data/0" fails its checksum');
  });

  // A compressed storage whose declared size is wrong.
  const bomb = (storageBytes: number, declaredBytes: number) => {
    const pickle = py.pickle(py.dict(["w", py.tensor(py.storage("0", declaredBytes / 4), [1], [1])]));
    const bytes = archive(pickle, { 0: new Uint8Array(storageBytes) }, {}, 6);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    view.setUint32(recordOf(bytes, "archive/data/0") + 24, declaredBytes, true);
    return bytes;
  };

  it("is refused if it unpacks to more than declared", () => {
    const bytes = bomb(40_000_000, 4000);
    expect(bytes.length).toBeLessThan(50_000);
    expect(problem(bytes)).toBe(
      'x.pth: not a readable zip archive: entry "archive/data/0" unpacks to more than the 4000 bytes that its directory says',
    );
  });

  it("is refused if it declares more than the limit", () => {
    expect(problem(bomb(4000, 3_000_000_000))).toBe(
      'x.pth: not a readable zip archive: entry "archive/data/0" would unpack to 3000000000 bytes; the limit for all compressed entries is 256 MiB',
    );
  });

  it("is refused if it unpacks to less than declared", () => {
    expect(problem(bomb(4000, 8000))).toBe(
      'x.pth: not a readable zip archive: entry "archive/data/0" has 4000 bytes, but its directory says 8000',
    );
  });

  const patched = (offset: number, value: number, size: 2 | 4) => {
    const bytes = archive(py.pickle(py.dict(["w", py.tensor(py.storage("0", 1), [1], [1])])), { 0: new Uint8Array(4) });
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const at = recordOf(bytes, "archive/data/0") + offset;
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    return bytes;
  };
  const entryCases: [string, Uint8Array, string][] = [
    [
      "an unknown compression",
      patched(10, 12, 2),
      'entry "archive/data/0" uses compression method 12; only store and deflate are supported',
    ],
    ["encryption", patched(8, 1, 2), 'entry "archive/data/0" is encrypted'],
    ["a header elsewhere", patched(42, 0xfffffff0, 4), 'entry "archive/data/0" is not where its directory says'],
    ["content past the end", patched(20, 100_000, 4), 'entry "archive/data/0" reaches past the end of the file'],
    ["a broken compressed entry", patched(10, 8, 2), 'entry "archive/data/0" cannot be inflated (unexpected EOF)'],
  ];
  for (const [what, bytes, message] of entryCases) {
    it(`is refused: ${what}`, () => expect(problem(bytes)).toBe(`x.pth: not a readable zip archive: ${message}`));
  }

  /**
   * The archive with all sizes, offsets and counts in ZIP64 records (APPNOTE 4.3.14, 4.3.15,
   * 4.5.3).
   */
  const zip64 = (bytes: Uint8Array) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const end = bytes.length - 22;
    const directoryAt = view.getUint32(end + 16, true);
    const parts: Uint8Array[] = [bytes.subarray(0, directoryAt)];
    let count = 0;
    for (let at = directoryAt; at < end; count++) {
      const headerBytes = 46 + view.getUint16(at + 28, true);
      const record = new Uint8Array(headerBytes + 28);
      record.set(bytes.subarray(at, at + headerBytes));
      const out = new DataView(record.buffer);
      out.setUint16(30, 28, true);
      out.setUint16(headerBytes, 1, true);
      out.setUint16(headerBytes + 2, 24, true);
      // In the extra field: unpacked size, packed size, offset.
      for (const [i, field] of [24, 20, 42].entries()) {
        out.setBigUint64(headerBytes + 4 + 8 * i, BigInt(view.getUint32(at + field, true)), true);
        out.setUint32(field, 0xffffffff, true);
      }
      parts.push(record);
      at += headerBytes + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    }
    const endAt = parts.reduce((sum, part) => sum + part.length, 0);
    const tail = new DataView(new ArrayBuffer(56 + 20 + 22));
    tail.setUint32(0, 0x06064b50, true);
    tail.setBigUint64(32, BigInt(count), true);
    tail.setBigUint64(48, BigInt(directoryAt), true);
    tail.setUint32(56, 0x07064b50, true);
    tail.setBigUint64(64, BigInt(endAt), true);
    tail.setUint32(76, 0x06054b50, true);
    tail.setUint16(86, 0xffff, true);
    tail.setUint32(92, 0xffffffff, true);
    return Buffer.concat([...parts, new Uint8Array(tail.buffer)]);
  };

  it("is not one in ZIP64, unless it declares too many entries", () => {
    const plain = archive(py.pickle(py.dict(["w", py.tensor(py.storage("0", 1), [1], [1])])), {
      0: new Uint8Array(Float32Array.of(2.5).buffer),
    });
    const big = zip64(plain);
    expect(parsePth(big, "x").tensors.get("w")!.data).toEqual(Float32Array.of(2.5));
    const tooMany = Buffer.from(big);
    tooMany.writeBigUInt64LE(2n ** 32n, big.length - 98 + 32);
    expect(problem(tooMany)).toBe("x.pth: not a readable zip archive: it has 4294967296 entries; the limit is 100000");
  });

  it("is refused if two entries have the same name", () => {
    const bytes = zipSync({ "a/data.pkl": py.pickle("}"), "b/data.pkl": py.pickle("N") }, { level: 0 });
    bytes[Buffer.from(bytes).lastIndexOf("b/data.pkl")] = "a".charCodeAt(0);
    expect(problem(bytes)).toBe('x.pth: not a readable zip archive: it has two entries named "a/data.pkl"');
  });
});

describe("random damage", () => {
  /** Generates the same numbers in every run, from 0 to below `limit` (Numerical Recipes' LCG). */
  const numbers = (seed: number) => {
    let state = seed;
    return (limit: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
  };
  /** How many of `rounds` damaged copies are refused. Fails if one throws other than InputError. */
  const refusals = (bytes: Uint8Array, rounds: number, open: (damaged: Uint8Array) => unknown) => {
    const next = numbers(1);
    let refused = 0;
    for (let round = 0; round < rounds; round++) {
      const damaged = bytes.slice();
      for (let i = next(4); i >= 0; i--) damaged[next(bytes.length)] = next(256);
      try {
        open(damaged);
      } catch (error) {
        expect(inputErrorOf(() => open(damaged))).toBe((error as Error).message);
        refused++;
      }
    }
    return refused;
  };

  it("to a pickle gives other data or an InputError", () => {
    const entry = new ZipArchive(fixture("checkpoint/views.pth"), "views").read("views/data.pkl");
    const storages = Object.fromEntries(Array.from({ length: 20 }, (_, key) => [key, new Uint8Array(96)]));
    expect(refusals(entry, 1000, (pickle) => parsePth(archive(pickle, storages), "x"))).toBeGreaterThan(500);
  });

  it("to an archive gives other data or an InputError", () => {
    expect(refusals(fixture("checkpoint/views.pth"), 1000, (bytes) => parsePth(bytes, "x"))).toBeGreaterThan(300);
    expect(refusals(fixture("checkpoint/views-deflated.pth"), 1000, (b) => parsePth(b, "x"))).toBeGreaterThan(300);
  });

  it("to a safetensors file gives other data or an InputError", () => {
    const bytes = fixture("checkpoint/types.safetensors");
    expect(refusals(bytes, 1000, (damaged) => parseSafetensors(damaged, "x"))).toBeGreaterThan(300);
  });
});
