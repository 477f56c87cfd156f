import { describe, expect, it } from "vitest";
import { type Checkpoint, openCheckpoint, saveCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { originalExtras, originalOrder } from "../../src/checkpoint/extras.js";
import { parsePth } from "../../src/checkpoint/pth.js";
import { parseSafetensors, serializeSafetensors } from "../../src/checkpoint/safetensors.js";
import type { StoredTensor } from "../../src/checkpoint/tensor.js";
import {
  isTrainingCheckpoint,
  openTrainingCheckpoint,
  saveTrainingCheckpoint,
  type TrainingCheckpoint,
} from "../../src/checkpoint/training_checkpoint.js";
import { paperConfig } from "../../src/model/config.js";
import { momentsOf } from "../support/checkpoint.js";
import { fixture } from "../support/fixtures.js";
import { inputErrorOf } from "../support/refusal.js";

const micro = openCheckpoint([{ name: "micro.pth", bytes: fixture("checkpoint/micro-bare.pth") }]);
const training = { step: 12, data: "abc", nested: [1, null, 0.1] };
const saved: TrainingCheckpoint = { checkpoint: micro, optimizer: { moments: momentsOf(micro) }, training };
const file = (bytes: Uint8Array) => ({ name: "run.safetensors", bytes });

/** The floats' bits. */
const bits = (data: Float32Array) => [...new Uint32Array(data.buffer, data.byteOffset, data.length)];

/** The saved file after changes to its tensors and metadata. */
function changed(change: (tensors: Map<string, StoredTensor>, metadata: Record<string, string>) => void) {
  const { tensors, metadata } = parseSafetensors(saveTrainingCheckpoint(saved), "x");
  for (const [name, tensor] of tensors) tensors.set(name, { ...tensor, data: tensor.data.slice() });
  change(tensors, metadata);
  return file(serializeSafetensors(tensors, metadata));
}

describe("a training checkpoint", () => {
  it("keeps every bit", () => {
    const odd = Float32Array.of(-0, 2 ** -149, -(2 ** -126), 3.4028234663852886e38, 0.1, 1 + 2 ** -23, 1e-20, -7);
    const weights = new Map(micro.weights).set("norm.weight", { shape: [8], data: odd });
    const moments = new Map(saved.optimizer.moments).set("norm.bias", {
      shape: [8],
      first: odd,
      second: odd.map(Math.abs),
    });
    const bytes = saveTrainingCheckpoint({ ...saved, checkpoint: { ...micro, weights }, optimizer: { moments } });
    const again = openTrainingCheckpoint(file(bytes));
    expect(again.training).toEqual(training);
    expect({ ...again.checkpoint, weights: 0 }).toEqual({ ...micro, weights: 0, source: "run.safetensors" });
    for (const [name, { shape, data }] of weights) {
      expect(again.checkpoint.weights.get(name)?.shape).toEqual(shape);
      expect(bits(again.checkpoint.weights.get(name)?.data as Float32Array), name).toEqual(bits(data));
    }
    expect(again.optimizer.moments.size).toBe(moments.size);
    for (const [name, { shape, first, second }] of again.optimizer.moments) {
      expect(shape).toEqual(weights.get(name)?.shape);
      expect(bits(first), name).toEqual(bits(moments.get(name)?.first as Float32Array));
      expect(bits(second), name).toEqual(bits(moments.get(name)?.second as Float32Array));
    }
  });

  it("holds the model, AdamW's moments of every trained tensor, and the trainer's JSON", () => {
    const { tensors, metadata } = parseSafetensors(saveTrainingCheckpoint(saved), "x");
    expect(JSON.parse(metadata["sdmae.training"])).toEqual(training);
    expect(metadata["sdmae.config"]).toBe(JSON.stringify(micro.config));
    const trained = [...micro.weights.keys()].filter((name) => !name.includes("running"));
    const state = trained.flatMap((name) => [`optimizer.exp_avg.${name}`, `optimizer.exp_avg_sq.${name}`]);
    expect([...tensors.keys()].sort()).toEqual([...state, ...micro.weights.keys(), ...micro.extras.keys()].sort());
    const { dtype, shape, data } = tensors.get("optimizer.exp_avg_sq.patch_embed.proj.weight") as StoredTensor;
    expect({ dtype, shape }).toEqual({ dtype: "F32", shape: [8, 9, 2, 2] });
    expect(data).toEqual(saved.optimizer.moments.get("patch_embed.proj.weight")?.second);
  });

  it("can be scored with like any other checkpoint", () => {
    const opened = openCheckpoint([file(saveTrainingCheckpoint(saved))]);
    expect(opened).toEqual({ ...micro, source: "run.safetensors" });
    const converted = saveCheckpoint(opened);
    expect(converted).toEqual(saveCheckpoint(micro));
    expect(isTrainingCheckpoint(file(converted))).toBe(false);
    expect(isTrainingCheckpoint(file(saveTrainingCheckpoint(saved)))).toBe(true);
  });
});

describe("a file that training cannot resume from", () => {
  const problem = (from: { name: string; bytes: Uint8Array }) => inputErrorOf(() => openTrainingCheckpoint(from));

  it("is refused: a checkpoint without the optimiser's state", () => {
    const message = "not a training checkpoint, so training cannot resume from it";
    expect(problem(file(saveCheckpoint(micro)))).toBe(`run.safetensors: ${message}`);
    const pth = { name: "tiny.pth", bytes: fixture("tiny-checkpoint-best.pth") };
    expect(problem(pth)).toBe(`tiny.pth: ${message}`);
  });

  it("is refused: moments that are missing, of a wrong shape or type, or of no trained tensor", () => {
    const key = "optimizer.exp_avg.norm.bias";
    expect(problem(changed((t) => t.delete(key)))).toBe(`run.safetensors: tensor "${key}" is missing, expected [8]`);
    const data = new Float32Array(8);
    expect(problem(changed((t) => t.set(key, { dtype: "F32", shape: [2, 4], data })))).toBe(
      `run.safetensors: tensor "${key}" is F32 [2, 4], expected F32 [8]`,
    );
    expect(problem(changed((t) => t.set(key, { dtype: "F16", shape: [8], data })))).toBe(
      `run.safetensors: tensor "${key}" is F16 [8], expected F32 [8]`,
    );
    const other = "optimizer.exp_avg.blocks.0.attn.conv_proj_q.bn.running_var";
    expect(problem(changed((t) => t.set(other, { dtype: "F32", shape: [8], data })))).toBe(
      `run.safetensors: tensor "${other}" is unknown: no trained tensor has that name`,
    );
  });

  it("is refused: moments that are not finite, negative second moments", () => {
    const set = (key: string, value: number) => changed((t) => t.get(key)?.data.fill(value as never, 3, 4));
    expect(problem(set("optimizer.exp_avg.norm.bias", Number.NaN))).toBe(
      'run.safetensors: tensor "optimizer.exp_avg.norm.bias" holds NaN at position 3; this moment must be finite',
    );
    expect(problem(set("optimizer.exp_avg_sq.norm.bias", -1))).toBe(
      'run.safetensors: tensor "optimizer.exp_avg_sq.norm.bias" holds -1 at position 3; this moment must be finite and not negative',
    );
    expect(() => openTrainingCheckpoint(set("optimizer.exp_avg.norm.bias", -1))).not.toThrow();
  });

  it("is refused: a trainer's state that is not JSON", () => {
    const broken = changed((_, metadata) => {
      metadata["sdmae.training"] = "{";
    });
    expect(problem(broken)).toBe('run.safetensors: its metadata "sdmae.training" is not valid JSON');
  });
});

describe("the original's extras", () => {
  const original = parsePth(fixture("full-patch16.pth"), "full").tensors;

  it("make a checkpoint as complete as the original's", () => {
    // The fixture's model has seen 137 batches.
    const extras = originalExtras(paperConfig, 137);
    expect(extras.size).toBe(25);
    for (const [name, tensor] of extras) expect(tensor, name).toEqual(original.get(name));
    expect(originalOrder(paperConfig)).toEqual([...original.keys()]);
  });

  it("count the student's batches separately", () => {
    const extras = originalExtras(paperConfig, 5, 2);
    const count = (block: string) => extras.get(`${block}.attn.conv_proj_k.bn.num_batches_tracked`)?.data[0];
    expect([count("blocks.2"), count("decoder_blocks.0"), count("decoder_student_block")]).toEqual([5n, 5n, 2n]);
  });
});

describe("a checkpoint in float16", () => {
  it("has rounded weights, but unchanged running statistics and extras", () => {
    const tiny = openCheckpoint([{ name: "tiny.pth", bytes: fixture("tiny-checkpoint-best.pth") }]);
    const bytes = saveCheckpoint(tiny, { half: true });
    const { tensors } = parseSafetensors(bytes, "half");
    const again = openCheckpoint([file(bytes)]);
    expect(again.extras).toEqual(tiny.extras);
    expect([again.config, again.settings]).toEqual([tiny.config, tiny.settings]);
    for (const [name, { data }] of tiny.weights) {
      const rounded = again.weights.get(name)?.data as Float32Array;
      if (name.includes("running")) {
        expect(tensors.get(name)?.dtype).toBe("F32");
        expect(rounded, name).toEqual(data);
      } else {
        expect(tensors.get(name)?.dtype).toBe("F16");
        // 11 significant bits, or multiples of 2^-24: at most half a unit in the last place off.
        const far = data.filter((value, i) => {
          const unit = 2 ** Math.max(Math.floor(Math.log2(Math.abs(value))) - 10, -24);
          return Math.abs(rounded[i] - value) > unit / 2;
        });
        expect([...far], name).toEqual([]);
      }
    }
    expect(bytes.length).toBeLessThan(0.6 * saveCheckpoint(tiny).length);
  });

  it("cannot hold values beyond 65504", () => {
    const holding = (value: number): Checkpoint => {
      const data = new Float32Array(8).fill(value, 5, 6);
      return { ...micro, weights: new Map(micro.weights).set("norm.bias", { shape: [8], data }) };
    };
    const opened = openCheckpoint([file(saveCheckpoint(holding(-65519.99), { half: true }))]);
    expect(opened.weights.get("norm.bias")?.data[5]).toBe(-65504);
    expect(inputErrorOf(() => saveCheckpoint(holding(-65520), { half: true }))).toBe(
      `micro.pth: tensor "norm.bias" holds -65520 at position 5, beyond float16's 65504; save it as float32`,
    );
    expect(() => saveCheckpoint(holding(-65520))).not.toThrow();
  });
});
