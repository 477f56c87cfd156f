// Writes the parts of ONNX's protocol buffers that onnx.ts needs (onnx.proto of
// github.com/onnx/onnx).

import { PbfWriter } from "pbf";

/** The element types in use, with their numbers in onnx.proto. */
export const onnxTypes = { float32: 1, int64: 7, bool: 9 } as const;

/** The name of an element type. */
export type OnnxType = keyof typeof onnxTypes;

/** A constant tensor. */
export interface OnnxTensor {
  name: string;
  shape: readonly number[];
  /** Float32, int64, or one byte per boolean. */
  data: Float32Array | BigInt64Array | Uint8Array;
}

/** An attribute's value. Numbers are integers, except for the names in `floatAttributes`. */
export type OnnxAttribute = number | string | readonly number[];

/** A node of the graph. */
export interface OnnxNode {
  name: string;
  type: string;
  /** The operator set; empty for ONNX's own. */
  domain: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, OnnxAttribute>>;
}

/** A graph's input or output. */
export interface OnnxValue {
  name: string;
  type: OnnxType;
  shape: readonly number[];
}

/** A whole file. */
export interface OnnxModel {
  /** The version of each operator set, by its domain. */
  opsets: Readonly<Record<string, number>>;
  producer: string;
  graphName: string;
  nodes: readonly OnnxNode[];
  initializers: readonly OnnxTensor[];
  inputs: readonly OnnxValue[];
  outputs: readonly OnnxValue[];
}

/**
 * The file format of ONNX 1.14, the first with opset 19 and 20. Older runtimes refuse newer
 * formats.
 */
const irVersion = 9;

const floatAttributes: ReadonlySet<string> = new Set(["epsilon", "scale", "alpha", "beta"]);

/**
 * A model as an .onnx file. The numbers in the functions below are those of onnx.proto's fields.
 */
export function encodeOnnx(model: OnnxModel): Uint8Array {
  const file = new PbfWriter();
  file.writeVarintField(1, irVersion);
  file.writeStringField(2, model.producer);
  file.writeMessage(7, writeGraph, model);
  for (const opset of Object.entries(model.opsets)) file.writeMessage(8, writeOpset, opset);
  return file.finish();
}

function writeOpset([domain, version]: [string, number], pbf: PbfWriter): void {
  pbf.writeStringField(1, domain);
  pbf.writeVarintField(2, version);
}

function writeGraph(model: OnnxModel, pbf: PbfWriter): void {
  for (const node of model.nodes) pbf.writeMessage(1, writeNode, node);
  pbf.writeStringField(2, model.graphName);
  for (const tensor of model.initializers) pbf.writeMessage(5, writeTensor, tensor);
  for (const value of model.inputs) pbf.writeMessage(11, writeValue, value);
  for (const value of model.outputs) pbf.writeMessage(12, writeValue, value);
}

function writeNode(node: OnnxNode, pbf: PbfWriter): void {
  for (const name of node.inputs) pbf.writeStringField(1, name);
  for (const name of node.outputs) pbf.writeStringField(2, name);
  pbf.writeStringField(3, node.name);
  pbf.writeStringField(4, node.type);
  for (const attribute of Object.entries(node.attributes)) pbf.writeMessage(5, writeAttribute, attribute);
  if (node.domain !== "") pbf.writeStringField(7, node.domain);
}

function writeAttribute([name, value]: [string, OnnxAttribute], pbf: PbfWriter): void {
  const [isFloat, isInt, isString, areInts] = [1, 2, 3, 7];
  pbf.writeStringField(1, name);
  if (typeof value === "string") {
    pbf.writeStringField(4, value);
    pbf.writeVarintField(20, isString);
  } else if (typeof value !== "number") {
    for (const item of value) pbf.writeVarintField(8, item);
    pbf.writeVarintField(20, areInts);
  } else if (floatAttributes.has(name)) {
    pbf.writeFloatField(2, value);
    pbf.writeVarintField(20, isFloat);
  } else {
    pbf.writeVarintField(3, value);
    pbf.writeVarintField(20, isInt);
  }
}

function typeOf(data: OnnxTensor["data"]): OnnxType {
  return data instanceof Float32Array ? "float32" : data instanceof BigInt64Array ? "int64" : "bool";
}

function writeTensor({ name, shape, data }: OnnxTensor, pbf: PbfWriter): void {
  for (const size of shape) pbf.writeVarintField(1, size);
  pbf.writeVarintField(2, onnxTypes[typeOf(data)]);
  pbf.writeStringField(8, name);
  pbf.writeBytesField(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function writeValue({ name, type, shape }: OnnxValue, pbf: PbfWriter): void {
  pbf.writeStringField(1, name);
  pbf.writeMessage(2, writeType, { type, shape });
}

function writeType(value: Omit<OnnxValue, "name">, pbf: PbfWriter): void {
  pbf.writeMessage(1, writeTensorType, value);
}

function writeTensorType({ type, shape }: Omit<OnnxValue, "name">, pbf: PbfWriter): void {
  pbf.writeVarintField(1, onnxTypes[type]);
  pbf.writeMessage(2, writeShape, shape);
}

function writeShape(shape: readonly number[], pbf: PbfWriter): void {
  for (const size of shape) pbf.writeMessage(1, writeDimension, size);
}

function writeDimension(size: number, pbf: PbfWriter): void {
  pbf.writeVarintField(1, size);
}
