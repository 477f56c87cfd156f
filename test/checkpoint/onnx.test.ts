import { readdirSync } from "node:fs";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import type { OnnxOptions } from "../../src/checkpoint/onnx.js";
import { parseSafetensors } from "../../src/checkpoint/safetensors.js";
import { exportNetwork, exportOnnxCommand } from "../../src/cli/commands/export_onnx.js";
import { type ScoreSettings, scoreSettings } from "../../src/detector/settings.js";
import { fixture, fixturePath } from "../support/fixtures.js";
import { scratch } from "../support/folders.js";
import { erf } from "../support/reference.js";
import { refusal } from "../support/refusal.js";

/** The parts of onnx/onnx.proto (github.com/onnx/onnx) that our files use. */
const schema = `syntax = "proto2";
message ModelProto {
  optional int64 ir_version = 1; optional string producer_name = 2; optional GraphProto graph = 7;
  repeated OperatorSetIdProto opset_import = 8;
}
message OperatorSetIdProto { optional string domain = 1; optional int64 version = 2; }
message GraphProto {
  repeated NodeProto node = 1; optional string name = 2; repeated TensorProto initializer = 5;
  repeated ValueInfoProto input = 11; repeated ValueInfoProto output = 12;
}
message NodeProto {
  repeated string input = 1; repeated string output = 2; optional string name = 3; optional string op_type = 4;
  repeated AttributeProto attribute = 5; optional string domain = 7;
}
message AttributeProto {
  optional string name = 1; optional float f = 2; optional int64 i = 3; optional bytes s = 4; repeated int64 ints = 8;
  optional int32 type = 20;
}
message TensorProto { repeated int64 dims = 1; optional int32 data_type = 2; optional string name = 8; optional bytes raw_data = 9; }
message ValueInfoProto { optional string name = 1; optional TypeProto type = 2; }
message TypeProto { message Tensor { optional int32 elem_type = 1; optional Shape shape = 2; } optional Tensor tensor_type = 1; }
message Shape { message Dimension { optional int64 dim_value = 1; } repeated Dimension dim = 1; }`;

interface Attribute {
  name: string;
  f?: number;
  i?: number;
  ints?: number[];
  type: number;
}

interface Node {
  input: string[];
  output: string[];
  op_type: string;
  domain?: string;
  attribute?: Attribute[];
}

interface ValueInfo {
  name: string;
  type: { tensor_type: { elem_type: number; shape: { dim?: { dim_value: number }[] } } };
}

interface Model {
  ir_version: number;
  opset_import: { domain: string; version: number }[];
  graph: {
    node: Node[];
    initializer: { name: string; dims?: number[]; data_type: number; raw_data: Uint8Array }[];
    input: ValueInfo[];
    output: ValueInfo[];
  };
}

function decode(bytes: Uint8Array): Model {
  const type = protobuf.parse(schema, { keepCase: true }).root.lookupType("ModelProto");
  return type.toObject(type.decode(bytes), { longs: Number }) as Model;
}

/** A value of the interpreter, row-major. Integers and booleans are numbers as well. */
interface Value {
  shape: number[];
  data: Float64Array;
}

const count = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const value = (shape: number[], at: (i: number) => number): Value => ({
  shape,
  data: Float64Array.from({ length: count(shape) }, (_, i) => at(i)),
});
const stridesOf = (shape: readonly number[]) => shape.map((_, axis) => count(shape.slice(axis + 1)));
const indexOf = (i: number, shape: readonly number[]) =>
  stridesOf(shape).map((stride, axis) => Math.floor(i / stride) % shape[axis]);
const offsetOf = (index: readonly number[], shape: readonly number[]) =>
  stridesOf(shape).reduce((sum, stride, axis) => sum + stride * index[axis], 0);

/** Elementwise with ONNX's broadcasting. */
function elementwise(f: (...values: number[]) => number, inputs: Value[]): Value {
  const rank = Math.max(...inputs.map((x) => x.shape.length));
  const padded = inputs.map((x) => [...Array<number>(rank - x.shape.length).fill(1), ...x.shape]);
  const shape = Array.from({ length: rank }, (_, axis) => Math.max(...padded.map((s) => s[axis])));
  return value(shape, (i) => {
    const index = indexOf(i, shape);
    const at = padded.map((own) =>
      offsetOf(
        index.map((n, axis) => (own[axis] === 1 ? 0 : n)),
        own,
      ),
    );
    return f(...inputs.map((x, which) => x.data[at[which]]));
  });
}

function reduce({ shape, data }: Value, axis: number, keep: boolean, f: (values: number[]) => number): Value {
  const [outer, inner, length] = [count(shape.slice(0, axis)), count(shape.slice(axis + 1)), shape[axis]];
  const reduced = [...shape.slice(0, axis), ...(keep ? [1] : []), ...shape.slice(axis + 1)];
  expect(outer * inner).toBe(count(reduced));
  return value(reduced, (i) => {
    const first = Math.floor(i / inner) * length * inner + (i % inner);
    return f(Array.from({ length }, (_, k) => data[first + k * inner]));
  });
}

function part(x: Value, axis: number, start: number, end: number): Value {
  const shape = x.shape.with(axis, end - start);
  return value(shape, (i) => {
    const index = indexOf(i, shape);
    return x.data[offsetOf(index.with(axis, index[axis] + start), x.shape)];
  });
}

function concat(inputs: Value[], axis: number): Value {
  const shape = inputs[0].shape.with(
    axis,
    inputs.reduce((sum, x) => sum + x.shape[axis], 0),
  );
  return value(shape, (i) => {
    const index = indexOf(i, shape);
    let own = index[axis];
    let which = 0;
    while (own >= inputs[which].shape[axis]) own -= inputs[which++].shape[axis];
    const source = inputs[which];
    return source.data[offsetOf(index.with(axis, own), source.shape)];
  });
}

function matmul(a: Value, b: Value): Value {
  const [m, k, n] = [a.shape.at(-2)!, a.shape.at(-1)!, b.shape.at(-1)!];
  const shared = b.shape.length === 2;
  return value([...a.shape.slice(0, -1), n], (i) => {
    const [column, row] = [i % n, Math.floor(i / n)];
    const second = shared ? 0 : Math.floor(row / m) * k * n;
    let sum = 0;
    for (let j = 0; j < k; j++) sum += a.data[row * k + j] * b.data[second + j * n + column];
    return sum;
  });
}

/** Depthwise 3×3, padding 1. */
function conv(x: Value, weight: Value, bias: Value): Value {
  const [, channels, rows, columns] = x.shape;
  return value(x.shape, (i) => {
    const [b, d, y, column] = indexOf(i, x.shape);
    let sum = bias.data[d];
    for (let tap = 0; tap < 9; tap++) {
      const [r, c] = [y + Math.floor(tap / 3) - 1, column + (tap % 3) - 1];
      if (r < 0 || r >= rows || c < 0 || c >= columns) continue;
      sum += weight.data[d * 9 + tap] * x.data[((b * channels + d) * rows + r) * columns + c];
    }
    return sum;
  });
}

/** Rows minus their mean, divided by their standard deviation. */
function normalized(x: Value, epsilon: number): Value {
  const width = x.shape.at(-1)!;
  const mean = reduce(x, x.shape.length - 1, true, (row) => row.reduce((a, b) => a + b) / width);
  const centred = elementwise((v, m) => v - m, [x, mean]);
  const variance = reduce(centred, x.shape.length - 1, true, (row) => row.reduce((a, b) => a + b * b, 0) / width);
  return elementwise((v, s) => v / Math.sqrt(s + epsilon), [centred, variance]);
}

type Attributes = Record<string, number | number[]>;

/** The operators in use, by ONNX's specification. */
const operators: Record<string, (inputs: Value[], attributes: Attributes) => Value | Value[]> = {
  Identity: ([x]) => x,
  Cast: ([x]) => x,
  Add: (inputs) => elementwise((a, b) => a + b, inputs),
  Sub: (inputs) => elementwise((a, b) => a - b, inputs),
  Mul: (inputs) => elementwise((a, b) => a * b, inputs),
  Min: (inputs) => elementwise(Math.min, inputs),
  Less: (inputs) => elementwise((a, b) => Number(a < b), inputs),
  GreaterOrEqual: (inputs) => elementwise((a, b) => Number(a >= b), inputs),
  Where: (inputs) => elementwise((condition, a, b) => (condition ? a : b), inputs),
  Gelu: (inputs) => elementwise((x) => 0.5 * x * (1 + erf(x / Math.SQRT2)), inputs),
  Reshape: ([x, shape]) => ({ shape: [...shape.data], data: x.data }),
  Expand: ([x, shape]) => elementwise((v) => v, [x, value([...shape.data], () => 0)]),
  Transpose([x], { perm }) {
    const order = perm as number[];
    const shape = order.map((axis) => x.shape[axis]);
    const strides = order.map((axis) => stridesOf(x.shape)[axis]);
    return value(shape, (i) => x.data[indexOf(i, shape).reduce((sum, n, axis) => sum + n * strides[axis], 0)]);
  },
  Gather([table, rows], { axis }) {
    if (axis === 1) {
      // One row from each sample.
      expect(rows.shape).toEqual([1]);
      return part(table, 1, rows.data[0], rows.data[0] + 1);
    }
    expect(axis).toBe(0);
    const width = count(table.shape.slice(1));
    const shape = [...rows.shape, ...table.shape.slice(1)];
    return value(shape, (i) => table.data[rows.data[Math.floor(i / width)] * width + (i % width)]);
  },
  Slice: ([x, start, end, axis]) => part(x, axis.data[0], start.data[0], end.data[0]),
  Split([x, lengths], { axis }) {
    const ends = [...lengths.data].map((_, i, all) => all.slice(0, i + 1).reduce((a, b) => a + b));
    return ends.map((end, i) => part(x, axis as number, end - lengths.data[i], end));
  },
  Concat: (inputs, { axis }) => concat(inputs, axis as number),
  Pad([x, pads, fill]) {
    const rank = x.shape.length;
    const shape = x.shape.map((n, axis) => n + pads.data[axis] + pads.data[axis + rank]);
    return value(shape, (i) => {
      const index = indexOf(i, shape).map((n, axis) => n - pads.data[axis]);
      const inside = index.every((n, axis) => n >= 0 && n < x.shape[axis]);
      return inside ? x.data[offsetOf(index, x.shape)] : fill.data[0];
    });
  },
  MatMul: ([a, b]) => matmul(a, b),
  Conv: ([x, weight, bias]) => conv(x, weight, bias),
  LayerNormalization([x, scale, bias], { axis, epsilon }) {
    expect(axis).toBe(-1);
    return elementwise((v, s, b) => v * s + b, [normalized(x, epsilon as number), scale, bias]);
  },
  Softmax([x], { axis }) {
    expect(axis).toBe(-1);
    const last = x.shape.length - 1;
    const largest = reduce(x, last, true, (row) => Math.max(...row));
    const powers = elementwise((v, m) => Math.exp(v - m), [x, largest]);
    const sums = reduce(powers, last, true, (row) => row.reduce((a, b) => a + b));
    return elementwise((p, sum) => p / sum, [powers, sums]);
  },
  ReduceSum: ([x, axis], { keepdims }) => reduce(x, axis.data[0], keepdims === 1, (v) => v.reduce((a, b) => a + b)),
  ReduceMean: ([x, axis], { keepdims }) =>
    reduce(x, axis.data[0], keepdims === 1, (v) => v.reduce((a, b) => a + b) / v.length),
  ReduceSumSquare: ([x, axis], { keepdims }) =>
    reduce(x, axis.data[0], keepdims === 1, (v) => v.reduce((a, b) => a + b * b, 0)),
  ReduceL1: ([x, axis], { keepdims }) =>
    reduce(x, axis.data[0], keepdims === 1, (v) => v.reduce((a, b) => a + Math.abs(b), 0)),
};

function initial({ dims = [], data_type, raw_data }: Model["graph"]["initializer"][number]): Value {
  const { buffer } = raw_data.slice();
  const types: Record<number, () => ArrayLike<number | bigint>> = {
    1: () => new Float32Array(buffer),
    7: () => new BigInt64Array(buffer),
    9: () => new Uint8Array(buffer),
  };
  const data = Float64Array.from(types[data_type]() as ArrayLike<number>, Number);
  expect(data.length).toBe(count(dims));
  return { shape: dims, data };
}

function evaluate({ graph }: Model, feeds: Record<string, Value>): Record<string, Value> {
  const values = new Map(graph.initializer.map((tensor) => [tensor.name, initial(tensor)]));
  for (const [name, fed] of Object.entries(feeds)) values.set(name, fed);
  for (const { op_type, input, output, attribute = [] } of graph.node) {
    const attributes = Object.fromEntries(attribute.map((a) => [a.name, a.ints ?? a.i ?? a.f ?? Number.NaN]));
    const operator = operators[op_type];
    if (!operator) throw new Error(`no operator ${op_type}`);
    const inputs = input.map((name) => {
      const found = values.get(name);
      if (!found) throw new Error(`${op_type}: nothing named ${name} before it`);
      return found;
    });
    const results = [operator(inputs, attributes)].flat();
    for (const [i, name] of output.entries()) {
      expect(values.has(name)).toBe(false);
      values.set(name, results[i]);
    }
  }
  return Object.fromEntries(graph.output.map(({ name }) => [name, values.get(name)!]));
}

const checkpoint = openCheckpoint([{ name: "tiny-patch8.pth", bytes: fixture("tiny-patch8.pth") }]);
const { tensors, metadata } = parseSafetensors(
  fixture("tiny-patch8-infer.safetensors"),
  "tiny-patch8-infer.safetensors",
);
const [samples, tokens] = tensors.get("in.ids_restore")!.shape;
const keep = tokens / 2;

/** The first `batch` samples of a fixture's tensor. */
function given(name: string, batch: number): Value {
  const { shape, data } = tensors.get(name)!;
  const size = (data.length / samples) * batch;
  return { shape: [batch, ...shape.slice(1)], data: Float64Array.from(data.slice(0, size) as Float32Array, Number) };
}

function feedsOf(batch: number): Record<string, Value> {
  const idsRestore = given("in.ids_restore", batch);
  const idsKeep = value([batch, keep], () => 0);
  idsRestore.data.forEach((rank, i) => {
    if (rank < keep) idsKeep.data[Math.floor(i / tokens) * keep + rank] = i % tokens;
  });
  return { image: given("in.image", batch), ids_keep: idsKeep, ids_restore: idsRestore };
}

function exported(batch: number, changes: Partial<ScoreSettings> = {}, options: OnnxOptions = {}): Model {
  const size = { height: Number(metadata.height), width: Number(metadata.width) };
  const settings = {
    ...scoreSettings(checkpoint, { size, maskRatio: Number(metadata.mask_ratio), norm: "L2" }),
    ...changes,
  };
  return decode(exportNetwork(checkpoint, settings, batch, options));
}

/** ‖got − want‖ / ‖want‖ */
function distance(got: Float64Array, want: ArrayLike<number>): number {
  expect(got.length).toBe(want.length);
  const [difference, size] = [got.map((v, i) => (v - want[i]) ** 2), Array.from(want, (v) => v ** 2)];
  return Math.sqrt(difference.reduce((a, b) => a + b) / size.reduce((a, b) => a + b));
}

describe("exportOnnx", () => {
  it.each([1, samples])("writes the network that the original computes, batch %i", (batch) => {
    const out = evaluate(exported(batch, {}, { predictions: true }), feedsOf(batch));
    for (const name of ["teacher", "student"]) {
      expect(out[name].shape).toEqual([batch, tokens, 256]);
      expect(distance(out[name].data, given(`out.${name}`, batch).data)).toBeLessThan(2e-6);
    }
    const column = (which: number) => out.scores.data.filter((_, i) => i % 2 === which);
    expect(distance(column(0), given("out.score_student_teacher", batch).data)).toBeLessThan(2e-6);
    expect(distance(column(1), given("out.score_teacher", batch).data)).toBeLessThan(2e-6);
    expect(out.errors.shape).toEqual([batch, tokens, 2]);
  });

  it("computes absolute errors of removed tokens", () => {
    const feeds = feedsOf(samples);
    const { scores } = evaluate(exported(samples, { norm: "L1", maskedOnly: true }), feeds);
    const [teacher, student] = [given("out.teacher", samples).data, given("out.student", samples).data];
    const want = Array.from({ length: samples }, (_, b) => {
      let sum = 0;
      for (let i = b * tokens * 256; i < (b + 1) * tokens * 256; i++) {
        if (feeds.ids_restore.data[Math.floor(i / 256)] >= keep) sum += Math.abs(teacher[i] - student[i]);
      }
      return sum / ((tokens - keep) * 256);
    });
    expect(
      distance(
        scores.data.filter((_, i) => i % 2 === 0),
        want,
      ),
    ).toBeLessThan(2e-6);
  });

  it("keeps a given image for all samples", () => {
    const { image, ...ids } = feedsOf(samples);
    const pixels = image.data.length / samples;
    const first = Float32Array.from(image.data.subarray(0, pixels));
    const twice = value(image.shape, (i) => image.data[i % pixels]);
    const want = evaluate(exported(samples), { ...ids, image: twice }).scores.data;
    expect(evaluate(exported(samples, {}, { image: first }), ids).scores.data).toEqual(want);
  });

  it("declares versions, inputs and outputs", () => {
    const { ir_version, opset_import, graph } = exported(2);
    expect(ir_version).toBe(9);
    expect(opset_import).toEqual([{ domain: "", version: 20 }]);
    const declared = ({ name, type: { tensor_type } }: ValueInfo) =>
      [name, tensor_type.elem_type, ...tensor_type.shape.dim!.map((d) => d.dim_value)].join(" ");
    expect(graph.input.map(declared)).toEqual(["image 1 2 9 32 64", "ids_keep 7 2 16", "ids_restore 7 2 32"]);
    expect(graph.output.map(declared)).toEqual(["scores 1 2 2", "errors 1 2 32 2"]);
    expect(new Set(graph.node.map((node) => node.domain ?? ""))).toEqual(new Set([""]));
  });

  it("uses ONNX Runtime's attention only on request", () => {
    const { opset_import, graph } = exported(1, {}, { fusedAttention: true });
    expect(opset_import).toContainEqual({ domain: "com.microsoft", version: 1 });
    const fused = graph.node.filter((node) => node.domain === "com.microsoft");
    const { encoderDepth, decoderDepth, studentDepth } = checkpoint.config;
    expect(fused.map((node) => node.op_type)).toEqual(
      Array(encoderDepth + decoderDepth + studentDepth).fill("MultiHeadAttention"),
    );
    // Scale 1: our scale is folded into the weights.
    expect(fused[0].attribute!.map(({ name, i, f }) => [name, i ?? f])).toEqual([
      ["num_heads", 4],
      ["scale", 1],
    ]);
  });
});

describe("export-onnx", () => {
  const at = scratch();
  const tiny = fixturePath("tiny-patch8.pth");
  const out = at("tiny.onnx");
  const run = async (...argv: string[]) => {
    const lines: string[] = [];
    await exportOnnxCommand((line) => lines.push(line)).parseAsync(argv, { from: "user" });
    return lines.join("\n");
  };

  it.each([
    [[tiny, at("tiny.bin")], "must be named *.onnx"],
    [[out], "takes CHECKPOINT [STUDENT] OUT.onnx, got 1 file name"],
    [[at("none.pth"), out], "none.pth: cannot be read (no such file or folder)"],
    [[tiny, out, "--size", "32x60"], "size 32x60 does not divide into patches of 8 pixels"],
    [[tiny, out, "--size", "32x64", "--mask-ratio", "0.3"], "mask ratio 0.3 leaves no grid"],
  ])("refuses %j and writes nothing", async (argv, message) => {
    expect(await refusal(run(...argv))).toContain(message);
    expect(readdirSync(at())).toEqual([]);
  });

  it("writes the file and says what it holds", async () => {
    const line = await run(tiny, out, "--size", "32x64", "--norm", "L2", "--batch", "3");
    expect(line).toContain("at 32x64, batch 3, mask ratio 0.5, L2 errors");
    expect(readdirSync(at())).toEqual(["tiny.onnx"]);
  });
});
