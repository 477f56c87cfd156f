// Checkpoints as training frameworks save them: prefixes, dictionaries around the model.

import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { parsePth } from "../../src/checkpoint/pth.js";
import { serializeSafetensors } from "../../src/checkpoint/safetensors.js";
import type { StoredTensor } from "../../src/checkpoint/tensor.js";
import { hasNetwork, unwrap } from "../../src/checkpoint/wrappers.js";
import { archive, digestOf, microDigest, py } from "../support/checkpoint.js";
import { fixture } from "../support/fixtures.js";
import { inputErrorOf } from "../support/refusal.js";

const micro = parsePth(fixture("checkpoint/micro-bare.pth"), "micro").tensors;

/** The micro network as a .pth whose value is made from its dictionary of tensors. */
function microPth(around: (state: (prefix?: string, ...more: [string, string][]) => string) => string): Uint8Array {
  const storages: Record<string, Uint8Array> = {};
  const state = (prefix = "", ...more: [string, string][]) => {
    const entries = [...micro].map(([name, { dtype, shape, data }], index): [string, string] => {
      storages[index] = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
      const type = dtype === "I64" ? "LongStorage" : "FloatStorage";
      const tensor = py.tensor(py.storage(String(index), data.length, type), [...shape], strides);
      return [prefix + name, tensor];
    });
    return py.dict(...entries, ...more);
  };
  const pickle = py.pickle(around(state));
  return archive(pickle, storages);
}

const open = (bytes: Uint8Array, name = "x.pth") => openCheckpoint([{ name, bytes }]);
const problem = (bytes: Uint8Array, name = "x.pth") => inputErrorOf(() => open(bytes, name));

describe("a checkpoint of PyTorch's wrappers gives the same network", () => {
  // The files were written by PyTorch; see test/fixtures/checkpoint/make_wrapped.py.
  const files: [string, string, number | undefined][] = [
    ["DataParallel around torch.compile", "wrapped-parallel-compiled.pth", undefined],
    [
      "torch.compile around DataParallel, in safetensors, as bfloat16",
      "wrapped-compiled-parallel.safetensors",
      undefined,
    ],
    ["Lightning, single blocks compiled, beside a loss of two tensors", "wrapped-lightning.pth", 2],
    ["DeepSpeed, as bfloat16", "wrapped-deepspeed-bfloat16.pth", undefined],
    ["AveragedModel, one level deeper, beside its counter", "wrapped-averaged.pth", 1],
  ];
  for (const [what, file, leftOut] of files) {
    it(what, () => {
      const checkpoint = open(fixture(`checkpoint/${file}`), file);
      expect(digestOf(checkpoint)).toBe(microDigest);
      expect(checkpoint.leftOut).toBe(leftOut);
    });
  }

  it("and the epoch and settings beside it", () => {
    expect(open(fixture("checkpoint/wrapped-parallel-compiled.pth")).settings).toEqual({ epoch: 5 });
    expect(open(fixture("checkpoint/wrapped-averaged.pth")).settings).toEqual({ epoch: 2 });
    expect(open(fixture("checkpoint/wrapped-lightning.pth")).settings).toEqual({
      epoch: 4,
      maskRatio: 0.25,
      dataset: "shanghai",
    });
  });
});

describe("prefixes", () => {
  const prefixes = [
    ...["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.", "module.module.", "net."],
    ...[
      "_forward_module.module.model.",
      "state_dict.model.",
      "_fsdp_wrapped_module._orig_mod.",
      "student_and_teacher.",
    ],
  ];
  for (const prefix of prefixes) {
    it(`are taken off in both formats: ${prefix}`, () => {
      expect(digestOf(open(microPth((state) => py.dict(["model", state(prefix)]))))).toBe(microDigest);
      const renamed = new Map([...micro].map(([name, tensor]): [string, StoredTensor] => [prefix + name, tensor]));
      expect(digestOf(open(serializeSafetensors(renamed), "x.safetensors"))).toBe(microDigest);
    });
  }

  const renamed = (change: (name: string) => string[]) =>
    serializeSafetensors(
      new Map([...micro].flatMap(([name, tensor]) => change(name).map((to): [string, StoredTensor] => [to, tensor]))),
    );

  it("that not all tensors have leave those out", () => {
    const bytes = renamed((name) => [`model.${name}`, ...(name === "norm.bias" ? ["loss.bias", "modelnorm"] : [])]);
    expect(open(bytes).leftOut).toBe(2);
    expect(digestOf(open(bytes))).toBe(microDigest);
  });

  it("are named if the tensors do not fit", () => {
    const bytes = renamed((name) => (name === "norm.bias" ? ["module.norms.bias"] : [`module.${name}`]));
    expect(problem(bytes)).toBe(
      'x.pth: tensor "norm.bias" is missing, expected [8] (and 1 more tensor does not fit); in the file, each name begins with "module."',
    );
  });

  it("of two networks are refused", () => {
    expect(problem(renamed((name) => [`model.${name}`, `ema.${name}`]))).toBe(
      'x.pth: holds 2 networks ("ema.patch_embed.proj.weight", "model.patch_embed.proj.weight"); save the one to use alone',
    );
  });

  it("that hide two tensors of one name are refused", () => {
    expect(problem(renamed((name) => [name, ...(name === "norm.bias" ? ["norm.module.bias"] : [])]))).toBe(
      'x.pth: two tensors are named "norm.bias" if wrappers\' names are taken off',
    );
  });

  it("stay on tensors of other networks", () => {
    expect([...unwrap(new Map([["module.conv1.weight", 1]]), "x").tensors.keys()]).toEqual(["module.conv1.weight"]);
    expect(hasNetwork(["xpatch_embed.proj.weight", "patch_embed.proj.weights", "patch_embed.proj"])).toBe(false);
  });
});

describe("dictionaries around the model", () => {
  const other = py.dict(["patch_embed.proj.weight", py.int(1)]);
  const cases: [string, Parameters<typeof microPth>[0]][] = [
    ["state_dict", (state) => py.dict(["epoch", py.int(3)], ["state_dict", state("model.")])],
    ["model_state_dict", (state) => py.dict(["model_state_dict", state()], ["optimizer_state_dict", other])],
    ["module", (state) => py.dict(["module", state()])],
    ["net", (state) => py.dict(["net", state("module.")])],
    ["an unknown key", (state) => py.dict(["my_weights", state()], ["n", py.int(1)])],
    ["model in state_dict", (state) => py.dict(["state_dict", py.dict(["model", state()])])],
    [
      "module in model in checkpoint",
      (state) => py.dict(["checkpoint", py.dict(["model", py.dict(["module", state()])])]),
    ],
    ["a model that is a name", (state) => py.dict(["model", py.text("mae_vit")], ["state_dict", state()])],
    ["a mean beside it", (state) => py.dict(["model_ema", state()], ["model", state()])],
    ["another network beside it", (state) => py.dict(["model", py.dict(["conv.weight", py.int(1)])], ["mae", state()])],
  ];
  for (const [what, around] of cases) {
    it(`are looked into: ${what}`, () => expect(digestOf(open(microPth(around)))).toBe(microDigest));
  }

  it("that hold several models under unknown keys are refused", () => {
    expect(problem(microPth((state) => py.dict(["teacher", state()], ["student", py.dict(["net", state()])])))).toBe(
      'x.pth: holds 2 models ("teacher", "student.net"); save the one to use alone',
    );
  });

  it("without tensors are refused with what was found", () => {
    expect(problem(archive(py.pickle(py.dict(["epoch", py.int(3)], ["args\n", py.dict()]))))).toBe(
      'x.pth: expected a dictionary of tensors, alone or under "model" or "state_dict"; found "epoch", "args\\u{a}"',
    );
  });

  it("of DeepSpeed whose tensors are elsewhere are refused with what to do", () => {
    const empty = py.dict(["patch_embed.proj.weight", py.tensor(py.storage("0", 0), [0], [1])]);
    const bytes = archive(py.pickle(py.dict(["module", empty])), { 0: new Uint8Array(0) });
    expect(problem(bytes)).toBe(
      'x.pth: not an SD-MAE checkpoint: tensor "patch_embed.proj.weight" has shape [0], expected 4 dimensions, none of them 0; if DeepSpeed saved it in parts (ZeRO-3), merge them by zero_to_fp32.py',
    );
  });

  it("that contain themselves end the search", () => {
    // A dictionary whose "model" is itself: memo 0.
    const bytes = archive(py.pickle(`}q\0(${py.text("model")}h\0${py.text("state_dict")}h\0u`));
    expect(problem(bytes)).toMatch(/^x\.pth: /);
  });
});
