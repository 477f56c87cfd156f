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

/** Trained tensors by their names in the original's checkpoints, under the shape that a kernel wants; q, k and v are one tensor, by q's name. */
export interface TrainedTensors {
  /** A trained tensor. */
  tensor(name: string, shape: readonly number[]): Tensor;
  /** A block's running statistics [2, 3, D]: means and variances of q, k and v. */
  running(block: string): Tensor;
}

/** What goes into the network in training, beyond frames and masks. */
export interface TrainingInputs extends NetworkInputs {
  /** [2]: the run's seed and the number of the step, for dropout. */
  seed: Tensor;
}

/** The network's predictions [B, 1 + L, P·P·4]; a row of the cls token in front. */
export interface Predictions {
  teacher: Tensor;
  student?: Tensor;
}

const layerNormEpsilon = 1e-6;
const batchNorm = { epsilon: 1e-5, momentum: 0.1 };

/**
 * SD-MAE's layers in training mode (METHOD §2): BatchNorm by the batch's statistics, which updates the running ones; dropout; weights as
 * slices of states in PyTorch's layouts, so that they can be differentiated by and updated.
 */
export class TrainingNetwork {
  private dropouts = 0;

  /**
   * @param dropout rate of dropout in MLPs; the original's is 0.1
   * @param activations what values between ops are stored as
   */
  constructor(
    private readonly graph: Graph,
    private readonly config: SdMaeConfig,
    private readonly trained: TrainedTensors,
    private readonly dropout: number,
    private readonly activations: "f32" | "f16" = "f32",
  ) {}

  /** Predictions of the teacher and, with `student`, of the student. */
  build(inputs: TrainingInputs, grid: TokenGrid, withStudent: boolean): Predictions {
    const { config, graph } = this;
    const names = blockNames(config);
    let x = this.embed(inputs);
    for (const name of names.encoder) x = this.block(name, x, grid.rows, grid.keptColumns, inputs.seed);
    const latent = this.norm("norm", x);
    const embedded = this.linear("decoder_embed", latent, config.decoderWidth);
    const maskToken = this.trained.tensor("mask_token", [config.decoderWidth]);
    let y = graph.apply(unshuffleOp, [embedded, maskToken, inputs.idsRestore], {})[0];
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

  /** Embedded tokens of `idsKeep`, normalised, the cls token in front: [B, 1 + keep, D]. */
  private embed({ frames, samples, idsKeep }: TrainingInputs): Tensor {
    const { patch, encoderWidth: width, inChannels } = this.config;
    const [b, keep] = idsKeep.shape as [number, number];
    return this.graph.scope("patch_embed", () => {
      const [pixels] = this.graph.apply(patchesOp, [frames, samples, idsKeep], { patch, dtype: this.activations }) as [
        Tensor,
      ];
      const weight = this.trained.tensor("patch_embed.proj.weight", [1, width, inChannels * patch ** 2]);
      const bias = this.trained.tensor("patch_embed.proj.bias", [1, width]);
      const [x] = this.graph.apply(denseOp, [pixels, weight, bias], plainDense) as [Tensor];
      const inputs = ["patch_embed.norm.weight", "patch_embed.norm.bias", "cls_token"].map((name) =>
        this.trained.tensor(name, [width]),
      );
      const attrs = { epsilon: layerNormEpsilon };
      return this.graph.apply(layerNormOp, [reshape(x, [b, keep, width]), ...inputs], attrs)[0];
    });
  }

  private block(name: string, x: Tensor, rows: number, columns: number, seed: Tensor): Tensor {
    const { graph, trained } = this;
    const [b, tokens, width] = x.shape as [number, number, number];
    return graph.scope(name, () => {
      const norm1 = this.norm(`${name}.norm1`, x);
      const attn = `${name}.attn`;
      const taps = trained.tensor(`${attn}.conv_proj_q.conv.weight`, [3, width, 9]);
      const [convolved] = graph.apply(convolveOp, [norm1, taps], { rows, columns }) as [Tensor];
      const affine = ["weight", "bias"].map((t) => trained.tensor(`${attn}.conv_proj_q.bn.${t}`, [3, width]));
      const [normal] = graph.apply(batchNormOp, [convolved, ...affine, trained.running(name)], batchNorm) as [Tensor];
      const weight = trained.tensor(`${attn}.proj_q.weight`, [3, width, width]);
      const bias = trained.tensor(`${attn}.proj_q.bias`, [3, width]);
      // The scale of the scores, D^-0.5 with the whole width D, goes into q.
      const scales = [width ** -0.5, 1, 1];
      const inputs = [reshape(normal, [3, b * tokens, width]), weight, bias];
      const [qkv] = graph.apply(denseOp, inputs, { ...plainDense, scales }) as [Tensor];
      const heads = { heads: this.config.heads };
      const [attended] = graph.apply(attentionOp, [reshape(qkv, [3, b, tokens, width])], heads) as [Tensor];
      const x1 = this.linear(`${attn}.proj`, attended, width, x);
      const norm2 = this.norm(`${name}.norm2`, x1);
      const hidden = this.linear(`${name}.mlp.net.0`, norm2, width * this.config.mlpRatio);
      const dropout = { rate: this.dropout, layer: this.dropouts++ };
      const [active] = graph.apply(geluDropoutOp, [hidden, seed], dropout) as [Tensor];
      const mlp = this.linear(`${name}.mlp.net.3`, active, width);
      return graph.apply(mlpResidualOp, [x1, norm2, mlp], {})[0];
    });
  }

  /** x Wᵀ + b, plus a residual: [B, N, K] → [B, N, width]. */
  private linear(name: string, x: Tensor, width: number, residual?: Tensor): Tensor {
    const [b, tokens, from] = x.shape as [number, number, number];
    const weight = this.trained.tensor(`${name}.weight`, [1, width, from]);
    const bias = this.trained.tensor(`${name}.bias`, [1, width]);
    const flat = (t: Tensor): Tensor => reshape(t, [1, b * tokens, elementCount(t.shape) / (b * tokens)]);
    const inputs = [flat(x), weight, bias, ...(residual ? [flat(residual)] : [])];
    const attrs = { ...plainDense, residual: residual !== undefined };
    const [y] = this.graph.apply(denseOp, inputs, attrs) as [Tensor];
    return reshape(y, [b, tokens, width]);
  }

  private norm(name: string, x: Tensor): Tensor {
    const width = x.shape.at(-1) as number;
    const inputs = [x, ...["weight", "bias"].map((t) => this.trained.tensor(`${name}.${t}`, [width]))];
    return this.graph.apply(layerNormOp, inputs, { epsilon: layerNormEpsilon })[0];
  }
}

const plainDense = { transposed: false, bias: true, residual: false };
