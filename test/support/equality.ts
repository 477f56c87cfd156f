import { expect } from "vitest";

/**
 * Compares arrays of numbers as bytes, before `toEqual` compares them element by element, which
 * takes a second for an image. Arrays that differ are left to `toEqual`, and to its message.
 */
expect.addEqualityTesters([(a: unknown, b: unknown) => (isSameBytes(a, b) ? true : undefined)]);

function isSameBytes(a: unknown, b: unknown): boolean {
  if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b)) return false;
  if (a.constructor !== b.constructor || a.byteLength !== b.byteLength) return false;
  const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => new Uint8Array(buffer, byteOffset, byteLength);
  return Buffer.compare(bytes(a), bytes(b)) === 0;
}
