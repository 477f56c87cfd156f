import { bfloat16ToFloat32, float32ToBfloat16, float32ToHalf, halfToFloat32 } from "../half.js";

/** Bytes per element of every element type that is read and written, by its name in safetensors. */
export const elementBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;

export type DType = keyof typeof elementBytes;

export type TensorData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | BigUint64Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

/**
 * A tensor as a file holds it, row-major. `data` has the typed array that belongs to `dtype`; F16 and BF16, which
 * have none, are widened to Float32Array (exact) and narrowed again on writing. BOOL is a Uint8Array of 0 and 1.
 */
export interface StoredTensor {
  dtype: DType;
  shape: readonly number[];
  data: TensorData;
}

/** Number of elements of a shape; NaN where the shape is none (negative, fractional) or beyond 2^53. */
export function elementCount(shape: readonly unknown[]): number {
  let count = 1;
  for (const size of shape) {
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return Number.NaN;
    count *= size;
  }
  return Number.isSafeInteger(count) ? count : Number.NaN;
}

/**
 * Little-endian bytes as typed data. A view of the bytes themselves where their alignment allows it, otherwise a copy.
 * (Copied by the constructor and not by slice(), which for Node's Buffer is a view.)
 * (WebGPU runs on little-endian machines only, so the typed arrays' byte order is the files'.)
 */
export function decodeTensor(bytes: Uint8Array, dtype: DType): TensorData {
  const size = elementBytes[dtype];
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const { buffer, byteOffset } = aligned;
  const length = aligned.byteLength / size;
  switch (dtype) {
    case "F64":
      return new Float64Array(buffer, byteOffset, length);
    case "F32":
      return new Float32Array(buffer, byteOffset, length);
    case "F16":
      return halfToFloat32(new Uint16Array(buffer, byteOffset, length));
    case "BF16":
      return bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, length));
    case "I64":
      return new BigInt64Array(buffer, byteOffset, length);
    case "I32":
      return new Int32Array(buffer, byteOffset, length);
    case "I16":
      return new Int16Array(buffer, byteOffset, length);
    case "I8":
      return new Int8Array(buffer, byteOffset, length);
    case "U64":
      return new BigUint64Array(buffer, byteOffset, length);
    case "U32":
      return new Uint32Array(buffer, byteOffset, length);
    case "U16":
      return new Uint16Array(buffer, byteOffset, length);
    case "U8":
    case "BOOL":
      return new Uint8Array(buffer, byteOffset, length);
  }
}

/** The inverse of `decodeTensor`: the bytes that a file holds. */
export function encodeTensor(tensor: StoredTensor): Uint8Array {
  let data = tensor.data;
  if (tensor.dtype === "F16" || tensor.dtype === "BF16") {
    if (!(data instanceof Float32Array)) throw new TypeError(`${tensor.dtype} data must be a Float32Array`);
    data = tensor.dtype === "F16" ? float32ToHalf(data) : float32ToBfloat16(data);
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Floating-point data as float32 (rounded from float64); undefined for integers. */
export function asFloat32(tensor: StoredTensor): Float32Array | undefined {
  if (tensor.data instanceof Float32Array) return tensor.data;
  if (tensor.data instanceof Float64Array) return new Float32Array(tensor.data);
  return undefined;
}
