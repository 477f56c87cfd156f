// Sizes of an SD-MAE network, and the names and shapes of its tensors.

import { InputError } from "../errors.js";

/**
 * Sizes of an SD-MAE network (docs/method.md §2). All but `heads` can be read from the shapes of a
 * checkpoint's tensors; the original always uses 4 heads.
 */
export interface SdMaeConfig {
  /** Patch side P in pixels. */
  patch: number;
  /** Channels of the stacked input: 3 frames of B, G, R. */
  inChannels: number;
  /** Channels of the prediction: B, G, R, anomaly. */
  outChannels: number;
  /** D of the encoder's blocks: values per token. */
  encoderWidth: number;
  encoderDepth: number;
  /** D' of the decoders' blocks. */
  decoderWidth: number;
  decoderDepth: number;
  /** Blocks of the student, which branches off after the teacher decoder's first block. */
  studentDepth: number;
  heads: number;
  /** Hidden width of an MLP divided by the width of its block. */
  mlpRatio: number;
}

/** The paper's network for Avenue. The one for ShanghaiTech differs only in its patch of 8. */
export const paperConfig: Readonly<SdMaeConfig> = {
  patch: 16,
  inChannels: 9,
  outChannels: 4,
  encoderWidth: 256,
  encoderDepth: 3,
  decoderWidth: 128,
  decoderDepth: 3,
  studentDepth: 1,
  heads: 4,
  mlpRatio: 2,
};

/** @throws InputError if the kernels cannot run a network of these sizes */
export function checkConfig({ inChannels, outChannels, patch, encoderWidth, decoderWidth, heads }: SdMaeConfig): void {
  if (inChannels !== 9 || outChannels !== 4) {
    throw new InputError(
      `the model has ${inChannels} input and ${outChannels} output channels; 9 (3 frames) and 4 are needed`,
    );
  }
  if (patch % 4 !== 0) throw new InputError(`the model's patch is ${patch} pixels; a multiple of 4 is needed`);
  for (const [what, width] of Object.entries({ encoder: encoderWidth, decoder: decoderWidth })) {
    if (width % (4 * heads) !== 0) {
      throw new InputError(
        `the width of the ${what}, ${width}, is not a multiple of ${4 * heads}: each of ${heads} attention heads takes a multiple of 4`,
      );
    }
  }
}

/** The three projections of a block's attention. */
export const projections = ["q", "k", "v"] as const;

/**
 * The blocks' names in a checkpoint, which begin the names of their tensors. The original has one
 * student block, whose name has no index.
 */
export function blockNames(config: SdMaeConfig): { encoder: string[]; decoder: string[]; student: string[] } {
  return {
    encoder: Array.from({ length: config.encoderDepth }, (_, i) => `blocks.${i}`),
    decoder: Array.from({ length: config.decoderDepth }, (_, i) => `decoder_blocks.${i}`),
    student: config.studentDepth > 0 ? ["decoder_student_block"] : [],
  };
}

function blockShapes(name: string, width: number, mlpRatio: number): [string, number[]][] {
  const shapes: [string, number[]][] = [
    [`${name}.norm1.weight`, [width]],
    [`${name}.norm1.bias`, [width]],
  ];
  for (const p of projections) {
    const conv = `${name}.attn.conv_proj_${p}`;
    shapes.push([`${conv}.conv.weight`, [width, 1, 3, 3]]);
    for (const t of ["weight", "bias", "running_mean", "running_var"]) shapes.push([`${conv}.bn.${t}`, [width]]);
  }
  for (const p of ["proj_q", "proj_k", "proj_v", "proj"]) {
    shapes.push([`${name}.attn.${p}.weight`, [width, width]], [`${name}.attn.${p}.bias`, [width]]);
  }
  const hidden = width * mlpRatio;
  shapes.push(
    [`${name}.norm2.weight`, [width]],
    [`${name}.norm2.bias`, [width]],
    [`${name}.mlp.net.0.weight`, [hidden, width, 1, 1]],
    [`${name}.mlp.net.0.bias`, [hidden]],
    [`${name}.mlp.net.3.weight`, [width, hidden, 1, 1]],
    [`${name}.mlp.net.3.bias`, [width]],
  );
  return shapes;
}

/**
 * Name and shape of every tensor that inference needs, named as in the original's checkpoints
 * (docs/method.md §2). Checkpoints also hold `num_batches_tracked` counters and four constant
 * morphology weights (§4), which are not listed here.
 */
export function tensorShapes(config: SdMaeConfig): Map<string, number[]> {
  const { patch, inChannels, outChannels, encoderWidth, decoderWidth, mlpRatio } = config;
  const predWidth = patch * patch * outChannels;
  const names = blockNames(config);
  const shapes: [string, number[]][] = [
    ["cls_token", [1, 1, encoderWidth]],
    ["mask_token", [1, 1, decoderWidth]],
    ["patch_embed.proj.weight", [encoderWidth, inChannels, patch, patch]],
    ["patch_embed.proj.bias", [encoderWidth]],
    ["patch_embed.norm.weight", [encoderWidth]],
    ["patch_embed.norm.bias", [encoderWidth]],
    ...names.encoder.flatMap((n) => blockShapes(n, encoderWidth, mlpRatio)),
    ["norm.weight", [encoderWidth]],
    ["norm.bias", [encoderWidth]],
    ["decoder_embed.weight", [decoderWidth, encoderWidth]],
    ["decoder_embed.bias", [decoderWidth]],
    ...names.decoder.flatMap((n) => blockShapes(n, decoderWidth, mlpRatio)),
    ["decoder_norm.weight", [decoderWidth]],
    ["decoder_norm.bias", [decoderWidth]],
    ["decoder_pred.weight", [predWidth, decoderWidth]],
    ["decoder_pred.bias", [predWidth]],
  ];
  if (config.studentDepth > 0) {
    shapes.push(
      ...names.student.flatMap((n) => blockShapes(n, decoderWidth, mlpRatio)),
      ["decoder_student_norm.weight", [decoderWidth]],
      ["decoder_student_norm.bias", [decoderWidth]],
      ["decoder_student_pred.weight", [predWidth, decoderWidth]],
      ["decoder_student_pred.bias", [predWidth]],
    );
  }
  return new Map(shapes);
}
