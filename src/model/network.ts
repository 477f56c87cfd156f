// SD-MAE's layers as nodes of a graph, for inference.

import { InputError } from "../errors.js";
import { type ActivationType, elementCount, type Graph, reshape, type Tensor } from "../graph/graph.js";
import { attentionOp } from "../ops/attention.js";
import { depthwiseConvOp, foldBatchNorm } from "../ops/depthwise_conv.js";
import { layerNormOp } from "../ops/layer_norm.js";
import {
  foldNorm,
  type LinearWeights,
  linearOp,
  linearWeights,
  type NormWeights,
  weightColumnSums,
} from "../ops/linear.js";
import { packPatchWeight, patchEmbedOp } from "../ops/patch_embed.js";
import { unshuffleOp } from "../ops/unshuffle.js";
import { blockNames, checkConfig, projections, type SdMaeConfig, tensorShapes } from "./config.js";
import type { TokenGrid } from "./masking.js";

/** A model's tensors by their names in the original's checkpoints. */
export type Weights = ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>;

/**
 * Called with each module's output while the network is built, under PyTorch's name. If a kernel
 * adds the residual at once, the module's own output is not stored: it is `tensor` minus `minus`.
 */
export type Tap = (name: string, tensor: Tensor, minus?: Tensor) => void;

/** Inputs of the network. */
export interface NetworkInputs {
  /** [slots, H, W] packed B, G, R. */
  frames: Tensor;
  /** [B, sampleWords], the slots of each sample's frames. */
  samples: Tensor;
  /** [B, keep], the kept tokens in their shuffled order. */
  idsKeep: Tensor;
  /** [B, L], each token's rank: kept if below `keep`. */
  idsRestore: Tensor;
}

/** The network's outputs before its prediction heads, normalised, with the cls token in front. */
export interface NetworkOutputs {
  /**
   * The encoder's output [B, 1 + keep, D]. Only if the network is tapped: the next layer has the
   * norm built in.
   */
  latent?: Tensor;
  /** The teacher decoder's [B, 1 + L, D']. */
  teacher: Tensor;
  /** The student's, if the model has one. */
  student?: Tensor;
}

const layerNormEpsilon = 1e-6;
const batchNormEpsilon = 1e-5;

/** Adds SD-MAE's layers for inference to a graph (docs/method.md §2): one network per graph. */
export class Network {
  /**
   * @param activations how values between kernels, and weights of matmuls, are stored
   * @param tap called with every module's output while {@link build} runs
   * @throws InputError if the kernels cannot run these sizes
   */
  constructor(
    private readonly graph: Graph,
    readonly config: SdMaeConfig,
    private readonly weights: Weights,
    readonly activations: ActivationType = "f32",
    private readonly tap?: Tap,
  ) {
    checkConfig(config);
  }

  /**
   * Adds encoder, teacher decoder and student decoder.
   * @throws InputError if a weight is missing or its shape does not fit
   */
  build(inputs: NetworkInputs, grid: TokenGrid): NetworkOutputs {
    const { graph, config } = this;
    const names = blockNames(config);
    let x = graph.scope("patch_embed", () => this.embed(inputs, true));
    for (const name of names.encoder) x = this.block(name, x, grid.rows, grid.keptColumns);
    const latent = this.tapNorm("norm", x);
    const embedded = this.normalizedLinear("decoder_embed", "norm", x);
    const maskToken = this.vector("mask_token");
    let [y] = graph.apply(unshuffleOp, { x: embedded, maskToken, idsRestore: inputs.idsRestore }, {});
    let branch: Tensor | undefined;
    for (const [i, name] of names.decoder.entries()) {
      y = this.block(name, y, grid.rows, grid.columns);
      if (i === 0) branch = y;
    }
    const teacher = this.norm("decoder_norm", y);
    if (config.studentDepth === 0 || !branch) return { ...(latent && { latent }), teacher };
    let s = branch;
    for (const name of names.student) s = this.block(name, s, grid.rows, grid.columns);
    return { ...(latent && { latent }), teacher, student: this.norm("decoder_student_norm", s) };
  }

  /**
   * Patch embedding of the tokens in `idsKeep`, normalised: [B, keep, D], or [B, 1 + keep, D] with
   * the cls token in front.
   */
  embed({ frames, samples, idsKeep }: Pick<NetworkInputs, "frames" | "samples" | "idsKeep">, withCls: boolean): Tensor {
    const { patch, encoderWidth } = this.config;
    const packed = packPatchWeight(this.graph.target, this.values("patch_embed.proj.weight"), encoderWidth, patch);
    const weight = this.graph.weight("proj.weight", [3, patch, patch, 3, encoderWidth], packed, this.activations);
    const bias = this.vector("patch_embed.proj.bias");
    const [x] = this.graph.apply(patchEmbedOp, { frames, samples, idsKeep, weight, bias }, { patch });
    const gamma = this.vector("patch_embed.norm.weight");
    const beta = this.vector("patch_embed.norm.bias");
    const token = withCls ? this.vector("cls_token") : undefined;
    return this.graph.apply(layerNormOp, { x, gamma, beta, token }, { epsilon: layerNormEpsilon })[0];
  }

  /** x1 = x + attn(norm1(x)), then x1 + mlp(norm2(x1)). */
  private block(name: string, x: Tensor, rows: number, columns: number): Tensor {
    return this.graph.scope(name, () => {
      const x1 = this.attention(name, x, rows, columns);
      this.tapNorm(`${name}.norm2`, reshape(x1, x.shape));
      const x2 = this.mlp(name, x1, x.shape[1]);
      this.tap?.(name, x2);
      return reshape(x2, x.shape);
    });
  }

  /** x + attn(norm1(x)): [B, N, D] → [1, B·N, D]. Convolutions run on a grid of rows × columns. */
  private attention(name: string, x: Tensor, rows: number, columns: number): Tensor {
    const { graph } = this;
    const [b, tokens, width] = x.shape;
    const flat = (t: Tensor, batch = 1): Tensor =>
      reshape(t, [batch, (elementCount(t.shape) / width / batch) | 0, width]);
    const norm1 = this.norm(`${name}.norm1`, x);
    const conv = foldBatchNorm(
      projections.map((p) => {
        const module = `${name}.attn.conv_proj_${p}`;
        return {
          weight: this.values(`${module}.conv.weight`),
          gamma: this.values(`${module}.bn.weight`),
          beta: this.values(`${module}.bn.bias`),
          mean: this.values(`${module}.bn.running_mean`),
          variance: this.values(`${module}.bn.running_var`),
        };
      }),
      batchNormEpsilon,
    );
    const weight = graph.weight("conv_proj.weight", [9, 3, width], conv.weight);
    const bias = graph.weight("conv_proj.bias", [3, width], conv.bias);
    const [convolved] = graph.apply(depthwiseConvOp, { x: norm1, weight, bias }, { rows, columns });
    // The scale of the scores, D^-0.5 with the whole width D, is folded into q's projection.
    const layers = projections.map((p) => scaled(this.layer(`${name}.attn.proj_${p}`), p === "q" ? width ** -0.5 : 1));
    const inProjection = linearWeights(graph, "proj_qkv", layers, this.activations);
    const [projected] = graph.apply(linearOp, { x: flat(convolved, 3), ...inProjection }, {});
    const qkv = reshape(projected, [3, b, tokens, width]);
    const [attended] = graph.apply(attentionOp, { qkv }, { heads: this.config.heads });
    const outProjection = linearWeights(graph, "proj", [this.layer(`${name}.attn.proj`)], this.activations);
    const [x1] = graph.apply(linearOp, { x: flat(attended), ...outProjection, residual: flat(x) }, {});
    this.tap?.(`${name}.attn`, x1, x);
    return x1;
  }

  /**
   * x1 + mlp(norm2(x1)) for x1 [1, B·N, D]. norm2 is built into both layers: the first one
   * normalises its input; the second one adds norm2(x1) for the cls token, which skips the MLP.
   * @param tokens N, tokens per sample
   */
  private mlp(name: string, x1: Tensor, tokens: number): Tensor {
    const { graph } = this;
    const epsilon = layerNormEpsilon;
    const norm2 = this.normWeights(`${name}.norm2`);
    const upLayers = [foldNorm(this.layer(`${name}.mlp.net.0`), norm2)];
    const up = linearWeights(graph, "mlp.net.0", upLayers, this.activations);
    const columnSums = weightColumnSums(graph, "mlp.net.0", upLayers, this.activations);
    const normalizing = { normalize: true, gelu: true, epsilon };
    const [hidden] = graph.apply(linearOp, { x: x1, ...up, columnSums }, normalizing);
    const down = linearWeights(graph, "mlp.net.3", [this.layer(`${name}.mlp.net.3`)], this.activations);
    const passed = { gamma: this.vector(`${name}.norm2.weight`), beta: this.vector(`${name}.norm2.bias`) };
    const inputs = { x: hidden, ...down, residual: x1, ...passed };
    const [x2] = graph.apply(linearOp, inputs, { passthroughPeriod: tokens, epsilon });
    this.tap?.(`${name}.mlp`, x2, x1);
    return x2;
  }

  /** A linear layer over all rows of x: [B, N, K] → [B, N, columns]. */
  linear(name: string, x: Tensor, layer: LinearWeights = this.layer(name)): Tensor {
    const [b, tokens, width] = x.shape;
    const weights = linearWeights(this.graph, name, [layer], this.activations);
    const [y] = this.graph.scope(name, () =>
      this.graph.apply(linearOp, { x: reshape(x, [1, b * tokens, width]), ...weights }, {}),
    );
    const result = reshape(y, [b, tokens, layer.bias.length]);
    this.tap?.(name, result);
    return result;
  }

  /** A LayerNorm and a linear layer over all rows of x: [B, N, K] → [B, N, columns]. */
  private normalizedLinear(name: string, norm: string, x: Tensor): Tensor {
    const [b, tokens, width] = x.shape;
    const folded = foldNorm(this.layer(name), this.normWeights(norm));
    const [y] = this.graph.scope(name, () => {
      const weights = linearWeights(this.graph, name, [folded], this.activations);
      const columnSums = weightColumnSums(this.graph, name, [folded], this.activations);
      const inputs = { x: reshape(x, [1, b * tokens, width]), ...weights, columnSums };
      return this.graph.apply(linearOp, inputs, { normalize: true, epsilon: layerNormEpsilon });
    });
    const result = reshape(y, [b, tokens, folded.bias.length]);
    this.tap?.(name, result);
    return result;
  }

  private norm(name: string, x: Tensor): Tensor {
    const inputs = { x, gamma: this.vector(`${name}.weight`), beta: this.vector(`${name}.bias`) };
    const [y] = this.graph.apply(layerNormOp, inputs, { epsilon: layerNormEpsilon });
    this.tap?.(name, y);
    return y;
  }

  /** A LayerNorm that other kernels have built in. Computed alone only if the network is tapped. */
  private tapNorm(name: string, x: Tensor): Tensor | undefined {
    return this.tap && this.norm(name, x);
  }

  private normWeights(name: string): NormWeights {
    return { gamma: this.values(`${name}.weight`), beta: this.values(`${name}.bias`) };
  }

  /**
   * Weights of a linear layer or a 1×1 convolution, by its module's name.
   * @throws InputError if one is missing or its shape does not fit
   */
  layer(name: string): LinearWeights {
    return { weight: this.values(`${name}.weight`), bias: this.values(`${name}.bias`) };
  }

  private vector(name: string): Tensor {
    const data = this.values(name);
    return this.graph.weight(name, [data.length], data);
  }

  private values(name: string): Float32Array {
    const tensor = this.weights.get(name);
    const shape = tensorShapes(this.config).get(name);
    if (!tensor) throw new InputError(`the model has no tensor named ${name}`);
    if (shape?.join() !== tensor.shape.join()) {
      throw new InputError(`tensor ${name} has the shape [${tensor.shape}], but the configuration says [${shape}]`);
    }
    return tensor.data;
  }
}

function scaled({ weight, bias }: LinearWeights, factor: number): LinearWeights {
  return factor === 1 ? { weight, bias } : { weight: weight.map((v) => v * factor), bias: bias.map((v) => v * factor) };
}
