import { describe, expect, it } from "vitest";
import { openCheckpoint, saveCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { checkTensors, inferConfig } from "../../src/checkpoint/infer.js";
import { parsePth } from "../../src/checkpoint/pth.js";
import { parseSafetensors, serializeSafetensors } from "../../src/checkpoint/safetensors.js";
import type { StoredTensor } from "../../src/checkpoint/tensor.js";
import { paperConfig, tensorShapes } from "../../src/model/config.js";
import { digestOf, microDigest, zerosCheckpoint } from "../support/checkpoint.js";
import { fixture, fixtureFile } from "../support/fixtures.js";
import { inputErrorOf } from "../support/refusal.js";

const best = fixtureFile("tiny-checkpoint-best.pth");
const bestStudent = fixtureFile("tiny-checkpoint-best-student.pth");
const micro = parsePth(fixture("checkpoint/micro-bare.pth"), "micro").tensors;
const microConfig = {
  ...{ patch: 2, inChannels: 9, outChannels: 4, encoderWidth: 8, encoderDepth: 1, decoderWidth: 4, decoderDepth: 1 },
  ...{ studentDepth: 1, heads: 4, mlpRatio: 3 },
};
const tinyConfig = {
  ...{ patch: 16, inChannels: 9, outChannels: 4, encoderWidth: 32, encoderDepth: 2, decoderWidth: 16, decoderDepth: 2 },
  ...{ studentDepth: 1, heads: 4, mlpRatio: 2 },
};

/** The micro network as a safetensors file, after a change to its tensors. */
function changed(change: (tensors: Map<string, StoredTensor>) => void, metadata: Record<string, string> = {}) {
  const tensors = new Map(
    [...micro].map(([name, t]): [string, StoredTensor] => [name, { ...t, data: t.data.slice() }]),
  );
  change(tensors);
  return { name: "x.safetensors", bytes: serializeSafetensors(tensors, metadata) };
}

describe("openCheckpoint", () => {
  it("merges teacher and student as the original does", () => {
    const checkpoint = openCheckpoint([best, bestStudent]);
    expect(checkpoint.config).toEqual(tinyConfig);
    expect(checkpoint.overlaid).toBe(38);
    // From torch.load of both, student tensors overlaid, SHA-256 over all tensors by name.
    expect(digestOf(checkpoint)).toBe("8b959b97ba3cef06");
    expect(checkpoint.source).toBe("tiny-checkpoint-best.pth + tiny-checkpoint-best-student.pth");
    expect(checkpoint.settings).toEqual({
      maskRatio: 0.5,
      maskingMethod: "random_masking",
      inputSize: [320, 640],
      score: ["L2", "L2"],
      normPixLoss: false,
      onlyMaskedTokens: false,
      dataset: "avenue",
      epoch: 173,
    });
  });

  it("opens one file with its own student", () => {
    const checkpoint = openCheckpoint([best]);
    expect(checkpoint.overlaid).toBe(0);
    expect(digestOf(checkpoint)).toBe("2b5d36acc683d942");
  });

  it("infers the paper's network from a full-size checkpoint", () => {
    const checkpoint = openCheckpoint([fixtureFile("full-patch16.pth")]);
    expect(checkpoint.config).toEqual(paperConfig);
    expect(checkpoint.weights.size).toBe(235);
    expect(checkpoint.extras.size).toBe(25);
    expect([...checkpoint.weights.keys()]).toEqual([...tensorShapes(paperConfig).keys()]);
  });

  it("infers patch 8", () => {
    expect(openCheckpoint([fixtureFile("tiny-patch8.pth")]).config).toEqual({ ...tinyConfig, patch: 8 });
  });

  it("reads a bare state, float16 with DataParallel's names, and float64 in channels_last", () => {
    // From torch.load of micro-bare.pth, whose values are exact in float16.
    for (const name of ["micro-bare", "micro-module-half", "micro-channels-last-double"]) {
      const checkpoint = openCheckpoint([fixtureFile(`checkpoint/${name}.pth`)]);
      expect(checkpoint.config, name).toEqual(microConfig);
      expect(digestOf(checkpoint), name).toBe(microDigest);
    }
  });

  it("knows a network without a student", () => {
    const config = { ...microConfig, studentDepth: 0 };
    const checkpoint = openCheckpoint([{ name: "x.pth", bytes: zerosCheckpoint(tensorShapes(config)) }]);
    expect(checkpoint.config).toEqual(config);
  });

  it("takes the number of heads from the caller", () => {
    expect(openCheckpoint([best], { heads: 8 }).config.heads).toBe(8);
    expect(inputErrorOf(() => openCheckpoint([best], { heads: 3 }))).toBe(
      "tiny-checkpoint-best.pth: 3 attention heads do not divide the width 32; give the number that it was trained with",
    );
    expect(inputErrorOf(() => openCheckpoint([best], { heads: 0 }))).toBe(
      "tiny-checkpoint-best.pth: 0 attention heads are impossible; give a whole number from 1",
    );
  });
});

describe("saveCheckpoint", () => {
  it("keeps all tensors, sizes, heads and settings", () => {
    const checkpoint = openCheckpoint([best, bestStudent], { heads: 2 });
    const again = openCheckpoint([{ name: "out.safetensors", bytes: saveCheckpoint(checkpoint) }]);
    expect(again.config).toEqual({ ...tinyConfig, heads: 2 });
    expect(digestOf(again)).toBe("8b959b97ba3cef06");
    expect(again.extras.get("erosion.weight")!.shape).toEqual([1, 1, 2, 2]);
    expect(again.settings).toEqual(checkpoint.settings);
    const settings = { ...checkpoint.settings, tested: { scoring: "top-anomaly", smoothing: { kind: "none" } } };
    const tested = saveCheckpoint({ ...checkpoint, settings });
    expect(openCheckpoint([{ name: "out.safetensors", bytes: tested }]).settings).toEqual(settings);
    expect(again.source).toBe("out.safetensors");
  });

  it("writes the sizes as JSON metadata", () => {
    const { metadata } = parseSafetensors(saveCheckpoint(openCheckpoint([best])), "x");
    expect(JSON.parse(metadata["sdmae.config"])).toEqual(tinyConfig);
  });
});

describe("an unsuitable checkpoint", () => {
  const problem = (...files: { name: string; bytes: Uint8Array }[]) => inputErrorOf(() => openCheckpoint(files));

  it("is refused: another network", () => {
    const resnet = new Map([
      ["conv1.weight", [64, 3, 7, 7]],
      ["bn1.weight", [64]],
    ]);
    expect(problem({ name: "resnet.pth", bytes: zerosCheckpoint(resnet) })).toBe(
      'resnet.pth: not an SD-MAE checkpoint: no tensor "patch_embed.proj.weight" (it has 2 tensors, the first is "conv1.weight")',
    );
  });

  it("is refused: a masked auto-encoder of another kind", () => {
    const shapes = tensorShapes(microConfig);
    shapes.set("pos_embed", [1, 197, 8]);
    shapes.set("decoder_pos_embed", [1, 197, 4]);
    expect(problem({ name: "mae.pth", bytes: zerosCheckpoint(shapes) })).toBe(
      'mae.pth: tensor "pos_embed" is not part of an SD-MAE network (and 1 more tensor does not fit)',
    );
  });

  it("is refused: a missing tensor", () => {
    const shapes = tensorShapes(microConfig);
    shapes.delete("blocks.0.attn.proj_k.bias");
    expect(problem({ name: "x.pth", bytes: zerosCheckpoint(shapes) })).toBe(
      'x.pth: tensor "blocks.0.attn.proj_k.bias" is missing, expected [8]',
    );
  });

  it("is refused: a missing block", () => {
    const shapes = tensorShapes({ ...microConfig, decoderDepth: 3 });
    for (const name of [...shapes.keys()]) if (name.startsWith("decoder_blocks.1.")) shapes.delete(name);
    expect(problem({ name: "x.pth", bytes: zerosCheckpoint(shapes) })).toMatch(
      /^x\.pth: tensor "decoder_blocks\.1\.norm1\.weight" is missing, expected \[4\] \(and 61 more tensors do not fit\)$/,
    );
  });

  it("is refused: a wrong shape", () => {
    const shapes = tensorShapes(microConfig);
    shapes.set("blocks.0.attn.proj.weight", [8, 9]);
    shapes.set("norm.bias", [8, 1]);
    expect(problem({ name: "x.pth", bytes: zerosCheckpoint(shapes) })).toBe(
      'x.pth: tensor "blocks.0.attn.proj.weight" has shape [8, 9], expected [8, 8] (and 1 more tensor does not fit)',
    );
  });

  it("is refused: integers as weights", () => {
    const bytes = changed((t) => t.set("norm.bias", { dtype: "I32", shape: [8], data: new Int32Array(8) }));
    expect(problem(bytes)).toBe('x.safetensors: tensor "norm.bias" is of type I32, expected a floating-point type');
  });

  it("is refused: values that are not finite, negative variances", () => {
    const set = (name: string, value: number) => changed((t) => (t.get(name)!.data as Float32Array).fill(value, 3, 4));
    expect(problem(set("norm.bias", Number.NaN))).toBe(
      'x.safetensors: tensor "norm.bias" holds NaN at position 3; weights must be finite',
    );
    expect(problem(set("decoder_pred.weight", Number.NEGATIVE_INFINITY))).toBe(
      'x.safetensors: tensor "decoder_pred.weight" holds -Infinity at position 3; weights must be finite',
    );
    expect(problem(set("blocks.0.attn.conv_proj_q.bn.running_var", -1))).toBe(
      'x.safetensors: tensor "blocks.0.attn.conv_proj_q.bn.running_var" holds a negative variance, -1, at position 3',
    );
  });

  it("is refused: a float64 value too large for float32", () => {
    const data = new Float64Array(8).fill(1e300);
    expect(problem(changed((t) => t.set("norm.bias", { dtype: "F64", shape: [8], data })))).toBe(
      'x.safetensors: tensor "norm.bias" holds Infinity at position 0; weights must be finite',
    );
  });

  it("is refused: metadata that contradicts the tensors", () => {
    const metadata = (config: unknown) => ({ "sdmae.config": JSON.stringify(config) });
    expect(openCheckpoint([changed(() => {}, metadata({ ...microConfig, heads: 2 }))]).config.heads).toBe(2);
    expect(problem(changed(() => {}, metadata({ ...microConfig, patch: 16 })))).toBe(
      'x.safetensors: patch is "16" in its metadata, but 2 by its tensors',
    );
    expect(problem(changed(() => {}, metadata({ ...microConfig, heads: 3 })))).toMatch(
      /3 attention heads do not divide/,
    );
    expect(problem(changed(() => {}, { "sdmae.config": "{" }))).toBe(
      'x.safetensors: its metadata "sdmae.config" is not valid JSON',
    );
    expect(problem(changed(() => {}, { "sdmae.config": "null" }))).toBe(
      'x.safetensors: its metadata "sdmae.config" is not a JSON object',
    );
  });

  it("is refused: a student file of another network, or without a student", () => {
    expect(problem(best, fixtureFile("tiny-patch8.pth"))).toBe(
      "tiny-patch8.pth: its network differs from tiny-checkpoint-best.pth's: patch is 8 instead of 16",
    );
    const without = zerosCheckpoint(tensorShapes({ ...tinyConfig, studentDepth: 0 }));
    expect(problem(best, { name: "teacher.pth", bytes: without })).toBe("teacher.pth: has no student tensors");
  });

  it("loses its invalid settings, but opens", () => {
    const nonsense = {
      maskRatio: 1,
      inputSize: [0, -3],
      score: [1],
      epoch: -1,
      dataset: 5,
      normPixLoss: "yes",
      tested: [1],
    };
    const opened = openCheckpoint([changed(() => {}, { "sdmae.settings": JSON.stringify(nonsense) })]);
    expect(opened.settings).toEqual({});
  });
});

describe("inferConfig and checkTensors", () => {
  it("stay fast if a block has a huge number", () => {
    const tensors = new Map(micro);
    tensors.set("blocks.4000000000.norm1.weight", { dtype: "F32", shape: [8], data: new Float32Array(8) });
    const config = inferConfig(tensors, "x");
    expect(config.encoderDepth).toBe(2);
    expect(inputErrorOf(() => checkTensors(tensors, config, "x"))).toMatch(
      /^x: tensor "blocks\.1\.norm1\.weight" is missing/,
    );
  });

  it("refuse patches that are not square, and a fraction of a channel", () => {
    const withShape = (name: string, shape: number[]) =>
      new Map<string, { shape: readonly number[] }>(micro).set(name, { shape });
    expect(inputErrorOf(() => inferConfig(withShape("patch_embed.proj.weight", [8, 9, 2, 3]), "x"))).toBe(
      "x: patches are 2 by 3 pixels; only square ones are supported",
    );
    expect(inputErrorOf(() => inferConfig(withShape("decoder_pred.weight", [17, 4]), "x"))).toBe(
      `x: tensor "decoder_pred.weight" has 17 rows, which is not a multiple of the patch's 4 pixels`,
    );
    expect(inputErrorOf(() => inferConfig(withShape("decoder_embed.weight", [4]), "x"))).toBe(
      'x: not an SD-MAE checkpoint: tensor "decoder_embed.weight" has shape [4], expected 2 dimensions, none of them 0',
    );
  });
});
