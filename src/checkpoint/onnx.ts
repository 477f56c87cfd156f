// Exports a network's graph as an ONNX file.

import { elementCount, type Graph, type Node, storageOf, type Tensor } from "../graph/graph.js";
import type { LinearAttrs } from "../ops/linear.js";
import type { Norm } from "../ops/token_errors.js";
import { subgroupLanes } from "../ops/variants.js";
import { encodeOnnx, type OnnxAttribute, type OnnxNode, type OnnxTensor, type OnnxType } from "./onnx_proto.js";

/** Options of {@link exportOnnx}. */
export interface OnnxOptions {
  /**
   * Also output the predictions `teacher` and `student` [B, L, P·P·4] that token errors come from.
   */
  predictions?: boolean;
  /**
   * Write attention as ONNX Runtime's fused operator com.microsoft.MultiHeadAttention, instead of
   * MatMul, Softmax and MatMul. Then only ONNX Runtime can read the file.
   */
  fusedAttention?: boolean;
  /**
   * A frame stack [9, H, W] as the default of `image`, which is then [1, 9, H, W] for all samples.
   * A runtime keeps it on its device: a run without that input measures the model without an
   * upload.
   */
  image?: Float32Array;
}

/** Opset 20 is the first with Gelu. */
const opset = 20;
const microsoft = "com.microsoft";

/**
 * Writes the network of a graph as an .onnx file of float32 operators (opset 20), for comparisons
 * with other runtimes. The nodes that read 8-bit frames and draw masks are left out. In their place
 * the file has inputs: `image` [B, 9, H, W], normalised (docs/method.md §1), whose middle frame,
 * with an anomaly channel of −1, is the prediction target; `ids_keep` [B, keep] and, if the network
 * needs it, `ids_restore` [B, L], both int64.
 * @param outputs which of the graph's outputs to compute; the file's outputs have the same names
 * @throws Error if an output does not exist, an op has no counterpart in ONNX, or the graph's
 *   weights are packed for a software adapter
 */
export function exportOnnx(graph: Graph, outputs: readonly string[], options: OnnxOptions = {}): Uint8Array {
  if (subgroupLanes(graph.target) !== undefined) {
    throw new Error(
      "the graph's weights are packed for a software adapter's kernels: build the graph for another target",
    );
  }
  const wanted = outputs.map((name): [string, Tensor] => {
    const tensor = graph.outputs.get(name);
    if (!tensor)
      throw new Error(`the graph has no output named ${name}; it has ${[...graph.outputs.keys()].join(", ")}`);
    return [name, tensor];
  });
  const lowering = new Lowering(options);
  const tensors = wanted.map(([, tensor]) => tensor);
  for (const node of nodesFor(graph, tensors)) lowering.node(node);
  for (const [name, tensor] of wanted) lowering.output(name, tensor);
  return lowering.encode();
}

/** Ops that are left out: their results are inputs of the file. */
const frontEnd: ReadonlySet<string> = new Set(["resizeFrames", "motionGradient", "noise", "patchMotion", "rankTokens"]);

/** The nodes that compute these tensors, in order, without the front end. */
function nodesFor(graph: Graph, outputs: readonly Tensor[]): Node[] {
  const needed = new Set(outputs.map((tensor) => tensor.id));
  const kept: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (frontEnd.has(node.op.name) || !node.outputs.some((tensor) => needed.has(tensor.id))) continue;
    for (const tensor of Object.values(node.inputs)) needed.add(tensor.id);
    kept.push(node);
  }
  return kept.reverse();
}

/**
 * A tensor in the file. If its first dimension is q, k and v, it is three ONNX values, so that
 * nothing has to be stacked.
 */
interface Value {
  /** Names of the ONNX values. */
  parts: readonly string[];
  /** The shape of each. */
  shape: readonly number[];
}

/**
 * The weight's matrices, one per batch entry, row-major [K, N] as ONNX wants them.
 * @param rows what a row of the stored matrix belongs to, see linearWeights
 */
function matricesOf(weight: Tensor, rows: "outputs" | "inputs"): Float32Array[] {
  const [batch, height, width] = weight.shape;
  const [n, k] = rows === "outputs" ? [height, width] : [width, height];
  const data = floatsOf(weight);
  return Array.from({ length: batch }, (_, entry) => {
    const own = data.subarray(entry * k * n, (entry + 1) * k * n);
    if (rows === "inputs") return own;
    return Float32Array.from(own, (_, i) => own[(i % n) * k + Math.floor(i / n)]);
  });
}

/**
 * The patch embedding's matrix [9·P·P, D]. Its rows are ordered as in PyTorch: channel, row,
 * column. The kernel's order is frame, row, column, color.
 */
function patchMatrixOf(weight: Tensor): Float32Array {
  const [frames, patch, , colors, width] = weight.shape;
  const data = floatsOf(weight);
  const area = patch * patch;
  const matrix = new Float32Array(data.length);
  for (let t = 0; t < frames; t++) {
    for (let c = 0; c < colors; c++) {
      for (let pixel = 0; pixel < area; pixel++) {
        const from = ((t * area + pixel) * colors + c) * width;
        matrix.set(data.subarray(from, from + width), ((t * colors + c) * area + pixel) * width);
      }
    }
  }
  return matrix;
}

/** The depthwise convolutions' kernels [D, 1, 3, 3] for q, k and v, from [9, 3, D]. */
function convKernelsOf(weight: Tensor): Float32Array[] {
  const width = weight.shape[2];
  const data = floatsOf(weight);
  return [0, 1, 2].map((which) =>
    Float32Array.from({ length: 9 * width }, (_, i) => data[((i % 9) * 3 + which) * width + Math.floor(i / 9)]),
  );
}

function floatsOf(tensor: Tensor): Float32Array {
  if (!(tensor.data instanceof Float32Array)) throw new Error(`${tensor.name} is not a float32 weight`);
  return tensor.data;
}

/** Translates nodes to ONNX, one after the other. */
class Lowering {
  private readonly nodes: OnnxNode[] = [];
  private readonly initializers = new Map<string, OnnxTensor>();
  private readonly inputs = new Map<string, { type: OnnxType; shape: readonly number[]; tensor?: Tensor }>();
  private readonly outputs = new Map<string, readonly number[]>();
  private readonly values = new Map<number, Value>();
  private readonly normalizedValues = new Map<string, string>();
  private readonly scopes = new Set<string>();
  private scope = "";
  private repeated: string | undefined;

  constructor(private readonly options: OnnxOptions) {}

  /** Translates a node. Those that it depends on come first. */
  node(node: Node): void {
    const lower = this.rules[node.op.name];
    if (!lower) throw new Error(`${node.name}: the op ${node.op.name} cannot be translated to ONNX`);
    this.scope = this.scopes.has(node.name) ? `${node.name}#${this.scopes.size}` : node.name;
    this.scopes.add(this.scope);
    this.values.set(node.outputs[0].id, lower(node));
  }

  /** Makes a tensor an output of the file. */
  output(name: string, tensor: Tensor): void {
    const { parts, shape } = this.valueOf(tensor);
    if (parts.length !== 1) throw new Error(`output ${name}: ${tensor.name} is several values in the file`);
    this.emitOutput(name, parts[0], shape);
  }

  encode(): Uint8Array {
    return encodeOnnx({
      opsets: this.nodes.some((node) => node.domain === microsoft) ? { "": opset, [microsoft]: 1 } : { "": opset },
      producer: "sdmae",
      graphName: "sd-mae",
      nodes: this.nodes,
      initializers: [...this.initializers.values()],
      inputs: [...this.inputs].map(([name, { type, shape }]) => ({ name, type, shape })),
      outputs: [...this.outputs].map(([name, shape]) => ({ name, type: "float32", shape })),
    });
  }

  private readonly rules: Readonly<Record<string, (node: Node) => Value>> = {
    patchEmbed: (node) => this.patchEmbed(node),
    layerNorm: (node) => this.layerNorm(node),
    convProjection: (node) => this.convProjection(node),
    linear: (node) => this.linear(node),
    attention: (node) => this.attention(node),
    unshuffle: (node) => this.unshuffle(node),
    headErrors: (node) => this.headErrors(node),
    tokenErrors: (node) => this.tokenErrors(node),
    frameScores: (node) => this.frameScores(node),
  };

  private patchEmbed({ inputs, outputs, attrs }: Node): Value {
    const { frames, idsKeep, weight, bias } = inputs;
    const { patch } = attrs as { patch: number };
    const [, height, width] = frames.shape;
    const [batch, keep, columns] = outputs[0].shape;
    const [h, w] = [height / patch, width / patch];
    const values = 9 * patch * patch;
    const image = this.image(batch, height, width);
    const grid = this.reshape(image, [batch, 9, h, patch, w, patch]);
    const patches = this.reshape(this.transpose(grid, [0, 2, 4, 1, 3, 5]), [batch * h * w, values]);
    const ids = this.input("ids_keep", "int64", [batch, keep], idsKeep);
    const rows = batch === 1 ? ids : this.op("Add", [ids, this.sampleOffsets(batch, h * w)]);
    const kept = this.op("Gather", [patches, rows], { axis: 0 });
    const product = this.op("MatMul", [kept, this.float("weight", [values, columns], patchMatrixOf(weight))]);
    return { parts: [this.op("Add", [product, this.vector(bias)])], shape: [batch, keep, columns] };
  }

  private layerNorm({ inputs, outputs, attrs }: Node): Value {
    const { x, gamma, beta, token } = inputs;
    const { shape } = outputs[0];
    const normalised = this.op("LayerNormalization", [this.single(x), this.vector(gamma), this.vector(beta)], {
      axis: -1,
      epsilon: (attrs as { epsilon: number }).epsilon,
    });
    if (!token) return { parts: [normalised], shape: this.valueOf(x).shape };
    const [batch, , width] = shape;
    const repeated = new Float32Array(batch * width);
    for (let b = 0; b < batch; b++) repeated.set(floatsOf(token), b * width);
    return { parts: [this.concat([this.float("token", [batch, 1, width], repeated), normalised], 1)], shape };
  }

  private convProjection({ inputs, outputs, attrs }: Node): Value {
    const { x, weight, bias } = inputs;
    const { rows, columns } = attrs as { rows: number; columns: number };
    const [, batch, tokens, width] = outputs[0].shape;
    const source = this.single(x);
    const [cls, own] = this.split(source, 1, [1, tokens - 1]);
    const image = this.transpose(this.reshape(own, [batch, rows, columns, width]), [0, 3, 1, 2]);
    const parts = convKernelsOf(weight).map((kernel, i) => {
      const name = "qkv"[i];
      const ownBias = floatsOf(bias).slice(i * width, (i + 1) * width);
      const convolved = this.op(
        "Conv",
        [image, this.float(`${name}.weight`, [width, 1, 3, 3], kernel), this.float(`${name}.bias`, [width], ownBias)],
        { group: width, kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] },
      );
      const rest = this.reshape(this.transpose(convolved, [0, 2, 3, 1]), [batch, rows * columns, width]);
      return this.concat([cls, rest], 1);
    });
    return { parts, shape: [batch, tokens, width] };
  }

  private linear({ inputs, attrs }: Node): Value {
    const { x, weight, bias, residual, gamma, beta } = inputs;
    const { normalize, gelu, passthroughPeriod = 0, epsilon = 0 } = attrs as LinearAttrs;
    const { parts, shape } = this.valueOf(x);
    const matrices = matricesOf(weight, "outputs");
    if (parts.length !== matrices.length) {
      throw new Error(`${this.scope}: ${matrices.length} matrices for ${parts.length} values`);
    }
    const [batch, rows, k] = shape;
    const columns = elementCount(bias.shape) / matrices.length;
    const results = matrices.map((matrix, i) => {
      const suffix = matrices.length > 1 ? `.${i}` : "";
      const ownBias = floatsOf(bias).subarray(i * columns, (i + 1) * columns);
      const own = normalize ? this.normalized(parts[i], k, epsilon) : parts[i];
      const product = this.op("MatMul", [own, this.float(`weight${suffix}`, [k, columns], matrix)]);
      let y = this.op("Add", [product, this.float(`bias${suffix}`, [columns], ownBias)]);
      if (gelu) y = this.op("Gelu", [y]);
      if (passthroughPeriod > 0) {
        if (passthroughPeriod !== rows)
          throw new Error(`${this.scope}: a sample has ${rows} rows, not ${passthroughPeriod}`);
        const past = this.normalized(this.single(residual), columns, epsilon);
        const cls = this.op("Mul", [
          this.op("Gather", [past, this.ints("cls", [1], [0])], { axis: 1 }),
          this.vector(gamma),
        ]);
        y = this.op("Where", [this.firstRow(rows), this.op("Add", [cls, this.vector(beta)]), y]);
      }
      return residual ? this.op("Add", [y, this.single(residual)]) : y;
    });
    return { parts: results, shape: [batch, rows, columns] };
  }

  /**
   * A LayerNorm without scale and shift: they are folded into the layers that use it, and share it.
   */
  private normalized(x: string, width: number, epsilon: number): string {
    let made = this.normalizedValues.get(x);
    if (!made) {
      const ones = this.float(`ones ${width}`, [width], new Float32Array(width).fill(1));
      const zeros = this.float(`zeros ${width}`, [width], new Float32Array(width));
      made = this.op("LayerNormalization", [x, ones, zeros], { axis: -1, epsilon });
      this.normalizedValues.set(x, made);
    }
    return made;
  }

  private attention({ inputs, attrs }: Node): Value {
    const { parts, shape } = this.valueOf(inputs.qkv);
    const [q, k, v] = parts;
    const { heads } = attrs as { heads: number };
    const [batch, tokens, width] = shape;
    if (this.options.fusedAttention) {
      // By default the operator scales by the root of a head's width; our scale is in q already.
      return { parts: [this.op("MultiHeadAttention", [q, k, v], { num_heads: heads, scale: 1 }, microsoft)], shape };
    }
    const split = (x: string, order: readonly number[]) =>
      this.transpose(this.reshape(x, [batch, tokens, heads, width / heads]), order);
    const scores = this.op("MatMul", [split(q, [0, 2, 1, 3]), split(k, [0, 2, 3, 1])]);
    const attended = this.op("MatMul", [this.op("Softmax", [scores], { axis: -1 }), split(v, [0, 2, 1, 3])]);
    return { parts: [this.reshape(this.transpose(attended, [0, 2, 1, 3]), shape)], shape };
  }

  /** Gathers each token's row from a table of all samples' tokens and the mask token. */
  private unshuffle({ inputs, outputs }: Node): Value {
    const { x, maskToken, idsRestore } = inputs;
    const [batch, kept, width] = this.valueOf(x).shape;
    const { shape } = outputs[0];
    const tokens = shape[1] - 1;
    const table = this.concat(
      [this.reshape(this.single(x), [batch * kept, width]), this.float("mask_token", [1, width], floatsOf(maskToken))],
      0,
    );
    const ids = this.input("ids_restore", "int64", [batch, tokens], idsRestore);
    const next = this.op("Add", [ids, this.ints("first", [1], [1])]);
    const last = this.ints("mask_row", [1], [batch * kept]);
    let rows: string;
    if (batch === 1) {
      rows = this.op("Min", [next, last]);
    } else {
      const isKept = this.op("Less", [ids, this.ints("keep", [1], [kept - 1])]);
      rows = this.op("Where", [isKept, this.op("Add", [next, this.sampleOffsets(batch, kept)]), last]);
    }
    const withCls = this.concat([this.sampleOffsets(batch, kept), rows], 1);
    return { parts: [this.op("Gather", [table, withCls], { axis: 0 })], shape };
  }

  private headErrors(node: Node): Value {
    const { targets, weight, bias, teacher, student } = node.inputs;
    const head = (name: string, features: Tensor, which: number) => {
      const [, rows, width] = this.valueOf(features).shape;
      const columns = bias.shape[1];
      const tokens = this.slice(this.single(features), 1, 1, rows);
      const w = this.float(`${name}.weight`, [width, columns], matricesOf(weight, "inputs")[which]);
      const product = this.op("MatMul", [tokens, w]);
      const offset = floatsOf(bias).subarray(which * columns, (which + 1) * columns);
      return this.op("Add", [product, this.float(`${name}.bias`, [columns], offset)]);
    };
    const taught = head("teacher", teacher, 0);
    const own = student && head("student", student, 1);
    return this.errors(node, targets, taught, own);
  }

  private tokenErrors(node: Node): Value {
    const { targets, teacher, student } = node.inputs;
    if ((node.attrs as { normalizeTarget: boolean }).normalizeTarget) {
      throw new Error(`${this.scope}: normalised targets are only for training`);
    }
    const withoutCls = (tensor: Tensor) => this.slice(this.single(tensor), 1, 1, this.valueOf(tensor).shape[1]);
    return this.errors(node, targets, withoutCls(teacher), student && withoutCls(student));
  }

  /** Token errors [B, L, 2] of predictions [B, L, P·P·4]. */
  private errors({ outputs, attrs }: Node, targets: Tensor, teacher: string, student: string | undefined): Value {
    const { patch, norm } = attrs as { patch: number; norm: Norm };
    const [, height, width] = targets.shape;
    const { shape } = outputs[0];
    const [batch, tokens] = shape;
    const values = patch * patch * 4;
    if (this.options.predictions) {
      this.emitOutput("teacher", teacher, [batch, tokens, values]);
      if (student) this.emitOutput("student", student, [batch, tokens, values]);
    }
    const image = this.image(batch, height, width);
    const framed = this.op("Pad", [
      this.slice(image, 1, 3, 6),
      this.ints("pads", [8], [0, 0, 0, 0, 0, 1, 0, 0]),
      this.float("no_anomaly", [], Float32Array.of(-1)),
    ]);
    const grid = this.reshape(framed, [batch, 4, height / patch, patch, width / patch, patch]);
    const target = this.reshape(this.transpose(grid, [0, 2, 4, 3, 5, 1]), [batch, tokens, values]);
    const difference = (a: string, b: string) =>
      this.op(norm === "L1" ? "ReduceL1" : "ReduceSumSquare", [this.op("Sub", [a, b]), this.ints("axis", [1], [2])], {
        keepdims: 1,
      });
    const none = () => this.float("no_student", [batch, tokens, 1], new Float32Array(batch * tokens));
    const both = this.concat([student ? difference(student, teacher) : none(), difference(target, teacher)], 2);
    return { parts: [this.op("Mul", [both, this.float("share", [], Float32Array.of(1 / values))])], shape };
  }

  private frameScores({ inputs, outputs, attrs }: Node): Value {
    const { errors, idsRestore } = inputs;
    const { shape } = outputs[0];
    const axis = this.ints("axis", [1], [1]);
    const all = this.single(errors);
    if (!idsRestore) return { parts: [this.op("ReduceMean", [all, axis], { keepdims: 0 })], shape };
    const { keep } = attrs as { keep: number };
    const [batch, tokens] = errors.shape;
    const ids = this.input("ids_restore", "int64", [batch, tokens], idsRestore);
    const removed = this.op("GreaterOrEqual", [ids, this.ints("keep", [1], [keep])]);
    const weights = this.reshape(this.op("Cast", [removed], { to: 1 }), [batch, tokens, 1]);
    const share = this.float("share", [], Float32Array.of(1 / (tokens - keep)));
    const sum = this.op("ReduceSum", [this.op("Mul", [all, weights]), axis], { keepdims: 0 });
    return { parts: [this.op("Mul", [sum, share])], shape };
  }

  private valueOf(tensor: Tensor): Value {
    const value = this.values.get(storageOf(tensor).id);
    if (!value) throw new Error(`${tensor.name}: this ${tensor.role} is not in the file`);
    return value;
  }

  private single(tensor: Tensor): string {
    const { parts } = this.valueOf(tensor);
    if (parts.length !== 1) throw new Error(`${this.scope}: ${tensor.name} is several values in the file`);
    return parts[0];
  }

  /** The input frames [B, 9, H, W]. */
  private image(batch: number, height: number, width: number): string {
    const data = this.options.image;
    if (!data) return this.input("image", "float32", [batch, 9, height, width]);
    const shape = [1, 9, height, width];
    if (data.length !== elementCount(shape))
      throw new Error(`the image has ${data.length} values, not those of [${shape}]`);
    this.input("image", "float32", shape);
    this.initializers.set("image", { name: "image", shape, data });
    if (batch === 1) return "image";
    this.repeated ??= this.op("Expand", ["image", this.ints("all samples", [4], [batch, 9, height, width])]);
    return this.repeated;
  }

  /** An input of the file. All uses of a name must mean the same tensor. */
  private input(name: string, type: OnnxType, shape: readonly number[], tensor?: Tensor): string {
    const known = this.inputs.get(name);
    if (known && (known.shape.join() !== shape.join() || known.tensor?.id !== tensor?.id)) {
      throw new Error(`${this.scope}: ${tensor?.name ?? name} would be a second ${name} of the file`);
    }
    this.inputs.set(name, { type, shape, tensor });
    return name;
  }

  private emitOutput(name: string, value: string, shape: readonly number[]): void {
    if (this.outputs.has(name)) throw new Error(`the file would have two outputs named ${name}`);
    this.outputs.set(name, shape);
    this.nodes.push({ name, type: "Identity", domain: "", inputs: [value], outputs: [name], attributes: {} });
  }

  private op(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    domain = "",
  ): string {
    const name = `${this.scope}/${type}_${this.nodes.length}`;
    this.nodes.push({ name, type, domain, inputs, outputs: [name], attributes });
    return name;
  }

  private transpose(x: string, perm: readonly number[]): string {
    return this.op("Transpose", [x], { perm });
  }

  private reshape(x: string, shape: readonly number[]): string {
    return this.op("Reshape", [x, this.ints(`shape ${shape.join("x")}`, [shape.length], shape)]);
  }

  private concat(parts: readonly string[], axis: number): string {
    return this.op("Concat", parts, { axis });
  }

  private slice(x: string, axis: number, start: number, end: number): string {
    return this.op("Slice", [x, ...[start, end, axis].map((value) => this.ints(`${value}`, [1], [value]))]);
  }

  private split(x: string, axis: number, lengths: readonly number[]): string[] {
    const name = `${this.scope}/Split_${this.nodes.length}`;
    const outputs = lengths.map((_, i) => `${name}.${i}`);
    const inputs = [x, this.ints(`split ${lengths.join("+")}`, [lengths.length], lengths)];
    this.nodes.push({ name, type: "Split", domain: "", inputs, outputs, attributes: { axis } });
    return outputs;
  }

  /** [rows, 1]: true in the first row, which is the cls token's. */
  private firstRow(rows: number): string {
    const data = Uint8Array.from({ length: rows }, (_, row) => (row === 0 ? 1 : 0));
    return this.initializer({ name: `first of ${rows} rows`, shape: [rows, 1], data });
  }

  /** [0, rows, 2·rows, …] as [B, 1]: the first row of each sample in a table of all samples. */
  private sampleOffsets(batch: number, rows: number): string {
    return this.ints(
      "samples",
      [batch, 1],
      Array.from({ length: batch }, (_, b) => b * rows),
    );
  }

  private vector(tensor: Tensor): string {
    return this.initializer({ name: tensor.name, shape: [elementCount(tensor.shape)], data: floatsOf(tensor) });
  }

  private float(name: string, shape: readonly number[], data: Float32Array): string {
    return this.initializer({ name: `${this.scope}.${name}`, shape, data });
  }

  /** A tensor of integers. Nodes with equal small ones share it. */
  private ints(name: string, shape: readonly number[], values: readonly number[]): string {
    const data = BigInt64Array.from(values, BigInt);
    return this.initializer({
      name: `${name} [${shape.join()}] ${values.length > 4 ? this.scope : values.join()}`,
      shape,
      data,
    });
  }

  private initializer(tensor: OnnxTensor): string {
    const known = this.initializers.get(tensor.name);
    if (known && known.data.join() !== tensor.data.join()) throw new Error(`two weights named ${tensor.name}`);
    this.initializers.set(tensor.name, tensor);
    return tensor.name;
  }
}
