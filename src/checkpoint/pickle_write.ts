// Writes pickles, the counterpart of pickle.ts: protocol 2, the same bytes as CPython's
// Lib/pickle.py writes for torch.save, memo included.

import { PickleForeign, PickleGlobal, PickleObject, type PickleValue } from "./pickle.js";

/** A float that may be a whole number: Python distinguishes 1.0 from 1. */
export class PickleFloat extends PickleForeign {
  readonly value: number;

  constructor(value: number) {
    super();
    this.value = value;
  }
}

/** A tuple. Arrays are written as lists. */
export class PickleTuple extends PickleForeign {
  readonly items: readonly PickleValue[];

  constructor(items: readonly PickleValue[]) {
    super();
    this.items = items;
  }
}

/** A reference to something outside the pickle, by its persistent id. */
export class PickleReference extends PickleForeign {
  readonly id: PickleValue;

  constructor(id: PickleValue) {
    super();
    this.id = id;
  }
}

class PickleWriter {
  readonly bytes: number[] = [0x80, 2];
  /** Positions in the memo: strings by value, everything else by identity. */
  readonly #memo = new Map<PickleValue, number>();

  save(value: PickleValue): void {
    const known = this.#memo.get(value);
    if (known !== undefined) this.#numbered("h", "j", known);
    else if (!this.#atom(value)) this.#composite(value);
  }

  /** Writes a value that Python keeps out of the memo. False if it is another one. */
  #atom(value: PickleValue): boolean {
    if (value === null) this.#op("N");
    else if (typeof value === "boolean") this.#op(value ? "\x88" : "\x89");
    else if (typeof value === "bigint" || Number.isSafeInteger(value)) this.#integer(value as number | bigint);
    else if (typeof value === "number") this.#float(value);
    else if (value instanceof PickleFloat) this.#float(value.value);
    else if (value instanceof PickleTuple && value.items.length === 0) this.#op(")");
    else if (value instanceof PickleReference) {
      this.save(value.id);
      this.#op("Q");
    } else return false;
    return true;
  }

  #composite(value: PickleValue): void {
    if (typeof value === "string") this.#text(value);
    else if (value instanceof PickleGlobal) this.#line(`c${value.module}\n${value.name}\n`);
    else if (value instanceof PickleTuple) this.#tuple(value.items);
    else if (Array.isArray(value)) this.#op("]");
    else if (value instanceof Map) this.#op("}");
    else if (value instanceof PickleObject) {
      this.save(value.type);
      this.save(new PickleTuple(value.args));
      this.#op("R");
    } else throw new TypeError(`${String(value)} cannot be pickled here`);

    this.#numbered("q", "r", this.#memo.size);
    this.#memo.set(value, this.#memo.size);
    // A container's contents come after its number, so that it may contain itself.
    if (Array.isArray(value)) this.#fill(value, 1, "a", "e");
    else if (value instanceof Map) this.#fill([...value].flat(), 2, "s", "u");
    else if (value instanceof PickleObject) {
      this.#fill(value.elements, 1, "a", "e");
      this.#fill([...value.items].flat(), 2, "s", "u");
      if (value.state !== null) {
        this.save(value.state);
        this.#op("b");
      }
    }
  }

  #tuple(items: readonly PickleValue[]): void {
    if (items.length > 3) this.#op("(");
    for (const item of items) this.save(item);
    this.#op(["\x85", "\x86", "\x87"][items.length - 1] ?? "t");
  }

  /**
   * Puts items of `width` values each into the container on the stack: a single one by `one`,
   * several by a mark and `many`. (Python writes at most 1000 at once, which is never reached
   * here.)
   */
  #fill(values: readonly PickleValue[], width: number, one: string, many: string): void {
    if (values.length === 0) return;
    const single = values.length === width;
    if (!single) this.#op("(");
    for (const value of values) this.save(value);
    this.#op(single ? one : many);
  }

  #integer(value: number | bigint): void {
    if (value >= 0 && value < 0x1_00)
      this.bytes.push(0x4b, Number(value)); // BININT1
    else if (value >= 0 && value < 0x1_00_00)
      this.bytes.push(0x4d, Number(value) & 255, Number(value) >> 8); // BININT2
    else if (BigInt.asIntN(32, BigInt(value)) === BigInt(value)) this.#op32("J", Number(value));
    else {
      // LONG1: two's complement in as few bytes as possible.
      const whole = BigInt(value);
      let count = 5;
      while (BigInt.asIntN(8 * count, whole) !== whole) count++;
      this.bytes.push(0x8a, count);
      for (let i = 0; i < count; i++) this.bytes.push(Number((whole >> BigInt(8 * i)) & 255n));
    }
  }

  #float(value: number): void {
    const big = new DataView(new ArrayBuffer(8));
    big.setFloat64(0, value);
    this.#op("G");
    for (let i = 0; i < 8; i++) this.bytes.push(big.getUint8(i));
  }

  #text(value: string): void {
    const encoded = new TextEncoder().encode(value);
    this.#op32("X", encoded.length);
    for (const byte of encoded) this.bytes.push(byte);
  }

  /** An operation on a place in the memo: `short` below 256, else `long`. */
  #numbered(short: string, long: string, place: number): void {
    if (place < 256) this.#op(short, place);
    else this.#op32(long, place);
  }

  /** An operation, by its character, and an optional byte. */
  #op(operation: string, byte?: number): void {
    this.bytes.push(operation.charCodeAt(0));
    if (byte !== undefined) this.bytes.push(byte);
  }

  #op32(operation: string, value: number): void {
    this.bytes.push(operation.charCodeAt(0), value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24);
  }

  #line(text: string): void {
    for (const c of text) this.bytes.push(c.charCodeAt(0));
  }
}

/**
 * Writes a pickle that Python and {@link readPickle} read. It takes null, booleans, numbers (whole
 * ones become int, others float), text, lists, dictionaries, globals, calls of them, and the
 * classes of this file.
 * @throws TypeError for any other value
 */
export function writePickle(value: PickleValue): Uint8Array {
  const writer = new PickleWriter();
  writer.save(value);
  return Uint8Array.from([...writer.bytes, 0x2e]);
}
