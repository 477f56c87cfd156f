import { InputError } from "../errors.js";
import { type ActivationType, elementCount, type Graph, reshape, type Tensor } from "../graph/graph.js";
import { attentionOp } from "../ops/attention.js";
import { depthwiseConvOp, foldBatchNorm } from "../ops/depthwise_conv.js";
import { layerNormOp } from "../ops/layer_norm.js";
import { foldNorm, type LinearWeights, linearOp, linearWeights, type NormWeights } from "../ops/linear.js";
import { packPatchWeight, patchEmbedOp } from "../ops/patch_embed.js";
import { unshuffleOp } from "../ops/unshuffle.js";
import { blockNames, checkConfig, projections, type SdMaeConfig, tensorShapes } from "./config.js";
import type { TokenGrid } from "./masking.js";

/** A model's tensors by their names in the original's checkpoints. */
export type Weights = ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>;

/**
 * Sees module outputs while the network is built, under PyTorch's names. Where a module's output is not stored because its
 * residual was added in the same kernel, it is `tensor` minus `minus`.
 */
export type Tap = (name: string, tensor: Tensor, minus?: Tensor) => void;

/** What goes into the network. */
export interface NetworkInputs {
  /** [slots, H, W] packed B, G, R. */
  frames: Tensor;
  /** [B, sampleWords] */
  samples: Tensor;
  /** [B, keep] */
  idsKeep: Tensor;
  /** [B, L] */
  idsRestore: Tensor;
}

/** What comes out of the network before its prediction heads, all normalised and with the cls token in front. */
export interface NetworkOutputs {
  /** The encoder's output [B, 1 + keep, D], where the network is tapped: what follows normalises it by itself. */
  latent?: Tensor;
  /** The teacher decoder's [B, 1 + L, D']. */
  teacher: Tensor;
  /** The student's, if the model has one. */
  student?: Tensor;
}

const layerNormEpsilon = 1e-6;
const batchNormEpsilon = 1e-5;

/** Adds SD-MAE's layers to a graph (METHOD §2). One network is built once a graph. */
export class Network {
  /**
   * @param activations what values between kernels, and the weights of matmuls, are stored as
   * @param tap sees every module's output while {@link build} runs
   * @throws InputError for sizes that the kernels cannot have
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

  /** Encoder, teacher decoder, student decoder. */
  build(inputs: NetworkInputs, grid: TokenGrid): NetworkOutputs {
    const { graph, config } = this;
    const names = blockNames(config);
    let x = graph.scope("patch_embed", () => this.embed(inputs, true));
    for (const name of names.encoder) x = this.block(name, x, grid.rows, grid.keptColumns);
    const latent = this.tapNorm("norm", x);
    const embedded = this.normalizedLinear("decoder_embed", "norm", x);
    let y = graph.apply(unshuffleOp, [embedded, this.vector("mask_token"), inputs.idsRestore], {})[0];
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

  /** Patch embedding of the tokens of `idsKeep`, normalised: [B, keep, D], or with the cls token in front. */
  embed({ frames, samples, idsKeep }: Pick<NetworkInputs, "frames" | "samples" | "idsKeep">, withCls: boolean): Tensor {
    const { patch, encoderWidth } = this.config;
    const packed = packPatchWeight(this.graph.target, this.values("patch_embed.proj.weight"), encoderWidth, patch);
    const weight = this.graph.weight("proj.weight", [3, patch, patch, 3, encoderWidth], packed, this.activations);
    const bias = this.vector("patch_embed.proj.bias");
    const [x] = this.graph.apply(patchEmbedOp, [frames, samples, idsKeep, weight, bias], { patch }) as [Tensor];
    const inputs = [x, this.vector("patch_embed.norm.weight"), this.vector("patch_embed.norm.bias")];
    if (withCls) inputs.push(this.vector("cls_token"));
    return this.graph.apply(layerNormOp, inputs, { epsilon: layerNormEpsilon })[0];
  }

  /** x + attn(norm1(x)), then that + mlp(norm2(that)); convolutions on a grid of rows × columns. */
  private block(name: string, x: Tensor, rows: number, columns: number): Tensor {
    const { graph } = this;
    const [b, tokens, width] = x.shape as [number, number, number];
    const flat = (t: Tensor, batch = 1): Tensor =>
      reshape(t, [batch, (elementCount(t.shape) / width / batch) | 0, width]);
    return graph.scope(name, () => {
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
      const convWeight = graph.weight("conv_proj.weight", [9, 3, width], conv.weight);
      const convBias = graph.weight("conv_proj.bias", [3, width], conv.bias);
      const [convolved] = graph.apply(depthwiseConvOp, [norm1, convWeight, convBias], { rows, columns }) as [Tensor];
      // The scale of the scores, D^-0.5 with the whole width D, goes into q's projection.
      const layers = projections.map((p) =>
        scaled(this.layer(`${name}.attn.proj_${p}`), p === "q" ? width ** -0.5 : 1),
      );
      const inProjection = linearWeights(graph, "proj_qkv", layers, this.activations);
      const [qkv] = graph.apply(linearOp, [flat(convolved, 3), inProjection.weight, inProjection.bias], {}) as [Tensor];
      const heads = { heads: this.config.heads };
      const [attended] = graph.apply(attentionOp, [reshape(qkv, [3, b, tokens, width])], heads) as [Tensor];
      const outProjection = linearWeights(graph, "proj", [this.layer(`${name}.attn.proj`)], this.activations);
      const [x1] = graph.apply(linearOp, [flat(attended), outProjection.weight, outProjection.bias, flat(x)], {
        residual: true,
      }) as [Tensor];
      this.tap?.(`${name}.attn`, x1, x);
      // norm2 is part of both layers of the MLP: the first one takes it, and its cls token goes past both.
      this.tapNorm(`${name}.norm2`, reshape(x1, x.shape));
      const epsilon = layerNormEpsilon;
      const norm2 = this.normWeights(`${name}.norm2`);
      const up = linearWeights(
        graph,
        "mlp.net.0",
        [foldNorm(this.layer(`${name}.mlp.net.0`), norm2)],
        this.activations,
      );
      const normalizing = { normalize: true, gelu: true, epsilon };
      const [hidden] = graph.apply(linearOp, [x1, up.weight, up.bias, up.columnSums()], normalizing) as [Tensor];
      const down = linearWeights(graph, "mlp.net.3", [this.layer(`${name}.mlp.net.3`)], this.activations);
      const passed = [this.vector(`${name}.norm2.weight`), this.vector(`${name}.norm2.bias`)];
      const [x2] = graph.apply(linearOp, [hidden, down.weight, down.bias, x1, ...passed], {
        residual: true,
        passthroughPeriod: tokens,
        epsilon,
      }) as [Tensor];
      this.tap?.(`${name}.mlp`, x2, x1);
      this.tap?.(name, x2);
      return reshape(x2, x.shape);
    });
  }

  /** A linear layer over all rows of x: [B, N, K] → [B, N, columns]. */
  linear(name: string, x: Tensor, layer: LinearWeights = this.layer(name)): Tensor {
    const [b, tokens, width] = x.shape as [number, number, number];
    const { weight, bias } = linearWeights(this.graph, name, [layer], this.activations);
    const [y] = this.graph.scope(name, () =>
      this.graph.apply(linearOp, [reshape(x, [1, b * tokens, width]), weight, bias], {}),
    ) as [Tensor];
    const result = reshape(y, [b, tokens, layer.bias.length]);
    this.tap?.(name, result);
    return result;
  }

  /** A LayerNorm and a linear layer over all rows of x: [B, N, K] → [B, N, columns]. */
  private normalizedLinear(name: string, norm: string, x: Tensor): Tensor {
    const [b, tokens, width] = x.shape as [number, number, number];
    const folded = foldNorm(this.layer(name), this.normWeights(norm));
    const [y] = this.graph.scope(name, () => {
      const { weight, bias, columnSums } = linearWeights(this.graph, name, [folded], this.activations);
      const inputs = [reshape(x, [1, b * tokens, width]), weight, bias, columnSums()];
      return this.graph.apply(linearOp, inputs, { normalize: true, epsilon: layerNormEpsilon });
    }) as [Tensor];
    const result = reshape(y, [b, tokens, folded.bias.length]);
    this.tap?.(name, result);
    return result;
  }

  private norm(name: string, x: Tensor): Tensor {
    const inputs = [x, this.vector(`${name}.weight`), this.vector(`${name}.bias`)];
    const [y] = this.graph.apply(layerNormOp, inputs, { epsilon: layerNormEpsilon }) as [Tensor];
    this.tap?.(name, y);
    return y;
  }

  /** A LayerNorm that is part of other kernels, for who taps the network. */
  private tapNorm(name: string, x: Tensor): Tensor | undefined {
    return this.tap && this.norm(name, x);
  }

  private normWeights(name: string): NormWeights {
    return { gamma: this.values(`${name}.weight`), beta: this.values(`${name}.bias`) };
  }

  /** A linear layer's weights (a 1×1 convolution's as well) by its module's name. */
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
      throw new InputError(`tensor ${name} has the shape [${tensor.shape}], not [${shape}] as the configuration says`);
    }
    return tensor.data;
  }
}

function scaled({ weight, bias }: LinearWeights, factor: number): LinearWeights {
  return factor === 1 ? { weight, bias } : { weight: weight.map((v) => v * factor), bias: bias.map((v) => v * factor) };
}
