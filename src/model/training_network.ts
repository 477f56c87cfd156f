// SD-MAE's layers as nodes of a graph, for training.

import { elementCount, type Graph, reshape, type Tensor } from "../graph/graph.js";
import { attentionOp } from "../ops/attention.js";
import { batchNormOp } from "../ops/batch_norm.js";
import { convolveOp } from "../ops/convolve.js";
import { denseOp } from "../ops/dense.js";
import { geluDropoutOp } from "../ops/gelu_dropout.js";
import { layerNormOp } from "../ops/layer_norm.js";
import { mlpResidualOp } from "../ops/mlp_residual.js";
import { patchesOp } from "../ops/patches.js";
import { unshuffleOp } from "../ops/unshuffle.js";
import { blockNames, type SdMaeConfig } from "./config.js";
import type { TokenGrid } from "./masking.js";
import type { NetworkInputs } from "./network.js";

/**
 * Gives trained tensors by their names in the original's checkpoints, in the shape that a kernel
 * takes. Those of q, k and v are one tensor under q's name.
 */
export interface TrainedTensors {
  /** A trained tensor. */
  tensor(name: string, shape: readonly number[]): Tensor;
  /** The running statistics [2, 3, D] of a block: means, then variances, of q, k and v. */
  running(block: string): Tensor;
}

/** Inputs of the network in training. */
export interface TrainingInputs extends NetworkInputs {
  /** [2]: the run's seed and the step's number, for dropout. */
  seed: Tensor;
}

/** The network's predictions [B, 1 + L, P·P·4]; the first row is the cls token's. */
export interface Predictions {
  teacher: Tensor;
  student?: Tensor;
}

const layerNormEpsilon = 1e-6;
const batchNorm = { epsilon: 1e-5, momentum: 0.1 };

/**
 * Adds SD-MAE's layers in training mode to a graph (docs/method.md §2): BatchNorm uses the batch's
 * statistics and updates the running ones; dropout is on; weights are slices of states in PyTorch's
 * layout, so that they have gradients and can be updated.
 */
export class TrainingNetwork {
  private dropouts = 0;

  /**
   * @param dropout rate of dropout in MLPs; the original's is 0.1
   * @param activations how values between ops are stored
   */
  constructor(
    private readonly graph: Graph,
    private readonly config: SdMaeConfig,
    private readonly trained: TrainedTensors,
    private readonly dropout: number,
    private readonly activations: "f32" | "f16" = "f32",
  ) {}

  /** Adds the layers; gives predictions of the teacher and, if `withStudent`, of the student. */
  build(inputs: TrainingInputs, grid: TokenGrid, withStudent: boolean): Predictions {
    const { config, graph } = this;
    const names = blockNames(config);
    let x = this.embed(inputs);
    for (const name of names.encoder) x = this.block(name, x, grid.rows, grid.keptColumns, inputs.seed);
    const latent = this.norm("norm", x);
    const embedded = this.linear("decoder_embed", latent, config.decoderWidth);
    const maskToken = this.trained.tensor("mask_token", [config.decoderWidth]);
    let [y] = graph.apply(unshuffleOp, { x: embedded, maskToken, idsRestore: inputs.idsRestore }, {});
    let branch: Tensor | undefined;
    for (const [i, name] of names.decoder.entries()) {
      y = this.block(name, y, grid.rows, grid.columns, inputs.seed);
      if (i === 0) branch = y;
    }
    const values = config.patch ** 2 * config.outChannels;
    const teacher = this.linear("decoder_pred", this.norm("decoder_norm", y), values);
    if (!withStudent || !branch) return { teacher };
    let s = branch;
    for (const name of names.student) s = this.block(name, s, grid.rows, grid.columns, inputs.seed);
    return { teacher, student: this.linear("decoder_student_pred", this.norm("decoder_student_norm", s), values) };
  }

  /** Patch embedding of the tokens in `idsKeep`, normalised, cls token first: [B, 1 + keep, D]. */
  private embed({ frames, samples, idsKeep }: TrainingInputs): Tensor {
    const { patch, encoderWidth: width, inChannels } = this.config;
    const [b, keep] = idsKeep.shape;
    return this.graph.scope("patch_embed", () => {
      const patches = { patch, dtype: this.activations };
      const [pixels] = this.graph.apply(patchesOp, { frames, samples, idsKeep }, patches);
      const weight = this.trained.tensor("patch_embed.proj.weight", [1, width, inChannels * patch ** 2]);
      const bias = this.trained.tensor("patch_embed.proj.bias", [1, width]);
      const [embedded] = this.graph.apply(denseOp, { x: pixels, weight, bias }, {});
      const inputs = {
        x: reshape(embedded, [b, keep, width]),
        gamma: this.trained.tensor("patch_embed.norm.weight", [width]),
        beta: this.trained.tensor("patch_embed.norm.bias", [width]),
        token: this.trained.tensor("cls_token", [width]),
      };
      return this.graph.apply(layerNormOp, inputs, { epsilon: layerNormEpsilon })[0];
    });
  }

  private block(name: string, x: Tensor, rows: number, columns: number, seed: Tensor): Tensor {
    const { graph, trained } = this;
    const [b, tokens, width] = x.shape;
    return graph.scope(name, () => {
      const norm1 = this.norm(`${name}.norm1`, x);
      const attn = `${name}.attn`;
      const taps = trained.tensor(`${attn}.conv_proj_q.conv.weight`, [3, width, 9]);
      const [convolved] = graph.apply(convolveOp, { x: norm1, weight: taps }, { rows, columns });
      const gamma = trained.tensor(`${attn}.conv_proj_q.bn.weight`, [3, width]);
      const beta = trained.tensor(`${attn}.conv_proj_q.bn.bias`, [3, width]);
      const running = trained.running(name);
      const [normal] = graph.apply(batchNormOp, { x: convolved, gamma, beta, running }, batchNorm);
      const weight = trained.tensor(`${attn}.proj_q.weight`, [3, width, width]);
      const bias = trained.tensor(`${attn}.proj_q.bias`, [3, width]);
      // q is multiplied by the scale of the scores, D^-0.5 with the whole width D.
      const scales = [width ** -0.5, 1, 1];
      const inputs = { x: reshape(normal, [3, b * tokens, width]), weight, bias };
      const [projected] = graph.apply(denseOp, inputs, { scales });
      const qkv = reshape(projected, [3, b, tokens, width]);
      const [attended] = graph.apply(attentionOp, { qkv }, { heads: this.config.heads });
      const x1 = this.linear(`${attn}.proj`, attended, width, x);
      const norm2 = this.norm(`${name}.norm2`, x1);
      const hidden = this.linear(`${name}.mlp.net.0`, norm2, width * this.config.mlpRatio);
      const dropout = { rate: this.dropout, layer: this.dropouts++ };
      const [active] = graph.apply(geluDropoutOp, { x: hidden, seed }, dropout);
      const mlp = this.linear(`${name}.mlp.net.3`, active, width);
      return graph.apply(mlpResidualOp, { x1, norm2, mlp }, {})[0];
    });
  }

  /** x Wᵀ + b, plus `residual` if given: [B, N, K] → [B, N, width]. */
  private linear(name: string, x: Tensor, width: number, residual?: Tensor): Tensor {
    const [b, tokens, from] = x.shape;
    const weight = this.trained.tensor(`${name}.weight`, [1, width, from]);
    const bias = this.trained.tensor(`${name}.bias`, [1, width]);
    const flat = (t: Tensor): Tensor => reshape(t, [1, b * tokens, elementCount(t.shape) / (b * tokens)]);
    const inputs = { x: flat(x), weight, bias, residual: residual && flat(residual) };
    const [y] = this.graph.apply(denseOp, inputs, {});
    return reshape(y, [b, tokens, width]);
  }

  private norm(name: string, x: Tensor): Tensor {
    const width = x.shape.at(-1)!;
    const gamma = this.trained.tensor(`${name}.weight`, [width]);
    const beta = this.trained.tensor(`${name}.bias`, [width]);
    return this.graph.apply(layerNormOp, { x, gamma, beta }, { epsilon: layerNormEpsilon })[0];
  }
}
