import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openCheckpoint, saveCheckpoint } from "../../src/checkpoint/checkpoint.js";
import {
  PickleGlobal,
  type PickleHooks,
  PickleObject,
  type PickleValue,
  readPickle,
} from "../../src/checkpoint/pickle.js";
import { PickleFloat, PickleTuple, writePickle } from "../../src/checkpoint/pickle_write.js";
import { parsePth } from "../../src/checkpoint/pth.js";
import { type AdamWState, exportPth } from "../../src/checkpoint/pth_write.js";
import { saveTrainingCheckpoint } from "../../src/checkpoint/training_checkpoint.js";
import { ZipArchive } from "../../src/checkpoint/zip.js";
import { exportCheckpointCommand } from "../../src/cli/commands/export_checkpoint.js";
import { InputError } from "../../src/errors.js";
import { paperTraining } from "../../src/train/config.js";
import { digest, fixture, fixturePath, inputErrorOf, momentsOf } from "./support.js";

const full = fixture("full-patch16.pth");
const tiny = openCheckpoint([{ name: "tiny.pth", bytes: fixture("tiny-checkpoint-best.pth") }]);
const adamW: AdamWState = {
  ...{ moments: momentsOf(tiny, false), step: () => 17, learningRate: 4e-4, betas: [0.9, 0.95], epsilon: 1e-8 },
  weightDecay: 0.05,
};
const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** The pickle of a .pth; tensors are {key, size, type}. */
function pickleOf(bytes: Uint8Array): Map<PickleValue, PickleValue> {
  const hooks: PickleHooks = {
    persistent: (id) => id,
    rebuild: (type, args) => {
      const [id, , size] = args as [PickleValue[], number, number[]];
      if (type.name !== "_rebuild_tensor_v2") return undefined;
      return new Map<PickleValue, PickleValue>([
        ["key", id[2]],
        ["size", size],
        ["type", (id[1] as PickleGlobal).name],
      ]);
    },
  };
  return readPickle(new ZipArchive(bytes, "x").read("archive/data.pkl"), "x", hooks) as Map<PickleValue, PickleValue>;
}

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

describe("exportPth", () => {
  const exported = exportPth(openCheckpoint([{ name: "full-patch16.pth", bytes: full }]));

  it("keeps every bit of the paper's model, and the original's order", () => {
    const { tensors, epoch } = parsePth(exported, "out.pth");
    const original = parsePth(full, "full").tensors;
    expect([...tensors].map(([name, { dtype, shape }]) => [name, dtype, shape])).toEqual(
      [...original].map(([name, { dtype, shape }]) => [name, dtype, shape]),
    );
    // From torch.load, as in pth.test.ts.
    expect([tensors.size, digest(tensors), epoch]).toEqual([260, "0af767c6c6ec58d6", 1]);
  });

  it("pickles the model's tensors with the same bytes as torch.save", () => {
    const original = new ZipArchive(full, "full").read("full-patch16/data.pkl");
    // After that the original has the modules' versions, which we do not write.
    const end = Buffer.from(original).indexOf("_metadata") - "}r....X....".length;
    expect(end).toBeGreaterThan(30_000);
    expect(hex(new ZipArchive(exported, "out").read("archive/data.pkl").subarray(0, end))).toBe(
      hex(original.subarray(0, end)),
    );
  });

  it("pickles AdamW's state and the settings with the same bytes as torch.save", () => {
    // torch.save (PyTorch 2.13) of the same {model, optimizer, epoch, scaler, args}.
    expect(sha(new ZipArchive(exportPth(tiny, adamW), "out").read("archive/data.pkl"))).toBe("ec2865f2253041ab");
  });

  it("lays out the archive like torch.save: the same entries, uncompressed, at multiples of 64 bytes", () => {
    const named = (bytes: Uint8Array) =>
      new ZipArchive(bytes, "x").names
        .map((name) => name.replace(/^[^/]*\//, ""))
        .filter((name) => !/^\.data/.test(name));
    expect(named(exported)).toEqual(named(full));
    const view = new DataView(exported.buffer, exported.byteOffset);
    let at = 0;
    for (const name of new ZipArchive(exported, "x").names) {
      expect(view.getUint32(at, true)).toBe(0x04034b50);
      expect(view.getUint16(at + 8, true), name).toBe(0);
      const begin = at + 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
      expect(begin % 64, name).toBe(0);
      at = begin + view.getUint32(at + 18, true);
    }
    expect(view.getUint32(at, true)).toBe(0x02014b50);
    const read = (name: string) => new ZipArchive(exported, "x").read(`archive/${name}`);
    for (const name of [".format_version", ".storage_alignment", "byteorder", "version"]) {
      expect(read(name)).toEqual(new ZipArchive(full, "x").read(`full-patch16/${name}`));
    }
    expect(sha(exportPth(openCheckpoint([{ name: "full-patch16.pth", bytes: full }])))).toBe(sha(exported));
  });

  it("groups AdamW's parameters: first those without weight decay", () => {
    const bytes = exportPth(tiny, adamW);
    const optimizer = pickleOf(bytes).get("optimizer") as Map<string, PickleValue>;
    const [plain, decays] = optimizer.get("param_groups") as Map<string, PickleValue>[];
    expect(Object.fromEntries(plain)).toMatchObject({
      ...{ lr: 4e-4, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0, amsgrad: false, decoupled_weight_decay: true },
    });
    expect(decays?.get("weight_decay")).toBe(0.05);
    const paramsOf = (group: Map<string, PickleValue> | undefined) => group?.get("params") as number[];
    // 143 parameters, as in the original's file, numbered consecutively.
    const all = [...paramsOf(plain), ...paramsOf(decays)];
    expect(all).toEqual(Array.from({ length: 143 }, (_, i) => i));

    const trained = [...parsePth(fixture("tiny-checkpoint-best.pth"), "x").tensors].filter(
      ([name]) => !/running_|num_batches|^erosion|^dilation/.test(name),
    );
    const isPlain = (name: string) => /\.bias$|norm\d?\.weight$|bn\.weight$/.test(name);
    const order = [...trained.filter(([name]) => isPlain(name)), ...trained.filter(([name]) => !isPlain(name))];
    expect(paramsOf(plain).length).toBe(trained.filter(([name]) => isPlain(name)).length);
    const state = optimizer.get("state") as Map<number, Map<string, Map<string, PickleValue>>>;
    const archive = new ZipArchive(bytes, "x");
    const floats = (tensor: Map<string, PickleValue> | undefined) => {
      expect(tensor?.get("type")).toBe("FloatStorage");
      return new Float32Array(new Uint8Array(archive.read(`archive/data/${tensor?.get("key")}`)).buffer);
    };
    for (const [number, [name, { shape }]] of order.entries()) {
      const entry = state.get(number);
      // The student has had no gradient yet.
      expect(entry === undefined, name).toBe(name.includes("student"));
      if (!entry) continue;
      expect(entry.get("exp_avg")?.get("size")).toEqual(shape);
      expect(floats(entry.get("exp_avg")), name).toEqual(adamW.moments.get(name)?.first);
      expect(floats(entry.get("exp_avg_sq")), name).toEqual(adamW.moments.get(name)?.second);
      expect(entry.get("step")?.get("size")).toEqual([]);
      expect([...floats(entry.get("step"))]).toEqual([17]);
    }
  });

  it("adds missing counters and constants", () => {
    const { tensors } = parsePth(exportPth({ ...tiny, extras: new Map() }), "x");
    const original = parsePth(fixture("tiny-checkpoint-best.pth"), "x").tensors;
    expect([...tensors.keys()]).toEqual([...original.keys()]);
    expect(tensors.get("dilation_3.weight")).toEqual(original.get("dilation_3.weight"));
    expect(tensors.get("blocks.0.attn.conv_proj_q.bn.num_batches_tracked")?.data).toEqual(BigInt64Array.of(0n));
  });

  it("keeps the settings; an unknown epoch is None", () => {
    expect(openCheckpoint([{ name: "x", bytes: exportPth(tiny) }]).settings).toEqual(tiny.settings);
    // These settings decide how the model is scored.
    const settings = {
      ...tiny.settings,
      tested: { scoring: "top-anomaly", smoothing: { kind: "gaussian", sigma: 2 } },
    };
    const tested = exportPth({ ...tiny, settings });
    expect(openCheckpoint([{ name: "x", bytes: tested }]).settings).toEqual(settings);
    const bare = exportPth({ ...tiny, settings: {} });
    expect([...pickleOf(bare).keys()]).toEqual(["model", "optimizer", "epoch", "scaler", "args"]);
    expect(pickleOf(bare).get("epoch")).toBe(null);
    expect(pickleOf(bare).get("args")).toEqual(new Map());
    expect(openCheckpoint([{ name: "x", bytes: bare }]).settings).toEqual({});
  });

  it("refuses a constant of a type that PyTorch does not have", () => {
    const extras = new Map(tiny.extras).set("erosion.weight", { dtype: "U16", shape: [1], data: Uint16Array.of(0) });
    expect(inputErrorOf(() => exportPth({ ...tiny, extras }))).toBe(
      'tiny.pth: tensor "erosion.weight" is of type U16, which PyTorch cannot store',
    );
  });
});

describe("export-checkpoint", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "sdmae-export-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const at = (name: string) => join(folder, name);
  const best = fixturePath("tiny-checkpoint-best.pth");
  const bestStudent = fixturePath("tiny-checkpoint-best-student.pth");

  async function run(...argv: string[]): Promise<string> {
    const lines: string[] = [];
    await exportCheckpointCommand((line) => lines.push(line)).parseAsync(argv, { from: "user" });
    return lines.join("\n");
  }

  async function refusal(...argv: string[]): Promise<string> {
    const error: unknown = await run(...argv).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }

  it("merges the student's file", async () => {
    const out = at("out.pth");
    const printed = await run(best, out, "--student", bestStudent);
    // From torch.load, as in checkpoint.test.ts.
    expect(digest(parsePth(new Uint8Array(readFileSync(out)), out).tensors)).toBe("8b959b97ba3cef06");
    expect(printed).toContain("192: 173 of the network, 19 counters and constants; 38 from the second file");
    expect(printed).toContain("optimizer      left out, because two models are merged");
    expect(printed).toContain("epoch          173");
    expect(readdirSync(folder)).toEqual(["out.pth"]);
  });

  it("exports a run's checkpoint with its optimiser and the steps of each stage", async () => {
    const optimizer = { ...paperTraining.optimizer, learningRate: 2e-4 };
    const progress = { epoch: 3, stepInEpoch: 2, step: 30, stageStep: 4, lossSum: 0, seconds: 1, best: null };
    const training = {
      config: { ...paperTraining, optimizer },
      data: "",
      progress: { ...progress, bestStudent: null },
      scaler: [65536, 0, 0, 0],
    };
    const bytes = saveTrainingCheckpoint({ checkpoint: tiny, optimizer: { moments: momentsOf(tiny) }, training });
    writeFileSync(at("run.safetensors"), bytes);
    const printed = await run(at("run.safetensors"), at("run.pth"));
    expect(printed).toContain("optimizer      AdamW, learning rate 0.0002, weight decay 0.05, 26 steps");
    // The student's steps began with stage 2.
    const step = (name: string) => (name.includes("student") ? 4 : 26);
    const expected = exportPth(tiny, { ...optimizer, moments: momentsOf(tiny), step });
    expect(sha(readFileSync(at("run.pth")))).toBe(sha(expected));
  });

  it("says what a .pth cannot hold", async () => {
    writeFileSync(
      at("two.safetensors"),
      saveCheckpoint({ ...tiny, config: { ...tiny.config, heads: 2 }, settings: {} }),
    );
    const printed = await run(at("two.safetensors"), at("two.pth"));
    expect(printed).toContain("heads          2; a .pth file does not say so");
    expect(printed).toContain("optimizer      none in the file");
    expect(printed).toContain("epoch          not known, so None");
  });

  it("refuses names that could overwrite a checkpoint", async () => {
    expect(await refusal(best, at("out.safetensors"))).toBe(
      `${at("out.safetensors")}: the file to write must be named *.pth`,
    );
    expect(await refusal(best, best)).toBe(`${best}: the file is both read and written; choose another file to write`);
    expect(await refusal(at("none.pth"), at("out.pth"))).toBe(
      `${at("none.pth")}: cannot be read (no such file or folder)`,
    );
    expect(readdirSync(folder)).toEqual([]);
  });
});
