// Tensors as files hold them: element types, and bytes to typed arrays and back.

import { bfloat16ToFloat32, float32ToBfloat16, float32ToHalf, halfToFloat32 } from "../half.js";

/** Bytes per element of each supported element type, by its name in safetensors. */
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

/** An element type, by its name in safetensors. */
export type DType = keyof typeof elementBytes;

/** The typed arrays that hold a tensor's elements. */
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
 * A tensor of a file, row-major. `data` is the typed array of `dtype`. F16 and BF16 have none: they
 * are widened to Float32Array, which is exact, and narrowed again on writing. BOOL is a Uint8Array
 * of 0 and 1.
 */
export interface StoredTensor {
  dtype: DType;
  shape: readonly number[];
  data: TensorData;
}

/**
 * The number of elements of a shape. NaN if a size is negative or fractional, or it exceeds 2^53.
 */
export function elementCount(shape: readonly unknown[]): number {
  let count = 1;
  for (const size of shape) {
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return Number.NaN;
    count *= size;
  }
  return Number.isSafeInteger(count) ? count : Number.NaN;
}

/**
 * Little-endian bytes as typed data: a view if they are aligned, otherwise a copy. WebGPU runs on
 * little-endian machines only, so typed arrays have the files' byte order.
 */
export function decodeTensor(bytes: Uint8Array, dtype: DType): TensorData {
  const size = elementBytes[dtype];
  // Not slice(), which does not copy a Node Buffer.
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

/** The bytes of a tensor in a file: the inverse of {@link decodeTensor}. */
export function encodeTensor(tensor: StoredTensor): Uint8Array {
  let data = tensor.data;
  if (tensor.dtype === "F16" || tensor.dtype === "BF16") {
    if (!(data instanceof Float32Array)) throw new TypeError(`${tensor.dtype} data must be a Float32Array`);
    data = tensor.dtype === "F16" ? float32ToHalf(data) : float32ToBfloat16(data);
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Floating-point data as float32; float64 is rounded. Undefined for integers. */
export function asFloat32(tensor: StoredTensor): Float32Array | undefined {
  if (tensor.data instanceof Float32Array) return tensor.data;
  if (tensor.data instanceof Float64Array) return new Float32Array(tensor.data);
  return undefined;
}
