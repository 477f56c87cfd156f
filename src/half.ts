// Conversions between float32 and the two 16-bit formats, on raw bits: Node 20 has no Float16Array.

const floatScratch = new Float32Array(1);
const bitScratch = new Uint32Array(floatScratch.buffer);

/** IEEE 754 half precision to float32; exact. */
export function halfToFloat32(halves: Uint16Array): Float32Array {
  const floats = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i];
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) floats[i] = sign * fraction * 2 ** -24;
    else if (exponent === 31) floats[i] = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    else floats[i] = sign * (1024 + fraction) * 2 ** (exponent - 25);
  }
  return floats;
}

/** bfloat16 to float32; exact: bfloat16 is float32's upper half. */
export function bfloat16ToFloat32(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
  return new Float32Array(bits.buffer);
}

/** float32 to half precision, rounded to nearest, ties to even; too large becomes infinity. */
export function float32ToHalf(floats: Float32Array): Uint16Array {
  const halves = new Uint16Array(floats.length);
  for (let i = 0; i < floats.length; i++) {
    floatScratch[0] = floats[i]!;
    const bits = bitScratch[0];
    const sign = (bits >>> 16) & 0x8000;
    const magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      halves[i] = sign | 0x7e00;
    } else if (magnitude >= 0x477ff000) {
      // 65520 and above is nearer to 65536, which half precision does not have, than to 65504.
      halves[i] = sign | 0x7c00;
    } else if (magnitude < 0x38800000) {
      // Below 2^-14: a subnormal, a multiple of 2^-24. Adding 0.5, whose last bit is 2^-24, makes
      // the FPU round.
      floatScratch[0] = Math.abs(floats[i]) + 0.5;
      halves[i] = sign | (bitScratch[0] - 0x3f000000);
    } else {
      const odd = (magnitude >>> 13) & 1;
      halves[i] = sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
    }
  }
  return halves;
}

/** float32 to bfloat16, rounded to nearest, ties to even. */
export function float32ToBfloat16(floats: Float32Array): Uint16Array {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const halves = new Uint16Array(floats.length);
  for (let i = 0; i < floats.length; i++) {
    const value = bits[i];
    const isNan = (value & 0x7fffffff) > 0x7f800000;
    halves[i] = isNan ? (value >>> 16) | 0x40 : (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
  return halves;
}
