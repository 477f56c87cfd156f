import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { type PickleGlobal, type PickleHooks, type PickleValue, readPickle } from "../../src/checkpoint/pickle.js";
import { parsePth } from "../../src/checkpoint/pth.js";
import { type AdamWState, exportPth } from "../../src/checkpoint/pth_write.js";
import { ZipArchive } from "../../src/checkpoint/zip.js";
import { digest, hex, momentsOf, sha } from "../support/checkpoint.js";
import { fixture } from "../support/fixtures.js";
import { inputErrorOf } from "../support/refusal.js";

const full = fixture("full-patch16.pth");
const tiny = openCheckpoint([{ name: "tiny.pth", bytes: fixture("tiny-checkpoint-best.pth") }]);
const adamW: AdamWState = {
  ...{ moments: momentsOf(tiny, false), step: () => 17, learningRate: 4e-4, betas: [0.9, 0.95], epsilon: 1e-8 },
  weightDecay: 0.05,
};

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
