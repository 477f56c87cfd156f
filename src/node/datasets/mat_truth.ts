// Ground truth of a video in a .mat file: labels, or masks as in Avenue's `volLabel`.
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { namesInShort } from "../files/names.js";
import { MaskStack } from "./mask_stack.js";
import { type MatArray, type MatContent, readMat } from "./mat_file.js";
import { markNonZero, shapeText, type ValueType, valueAt } from "./npy_file.js";

/** Most labels in a file. */
const MOST_LABELS = 2 ** 22;

/** What a file holds: a number per frame, or a mask per frame. */
export type MatTruth = { labels: number[] } | { masks: MaskStack };

/**
 * Reads a video's ground truth from a .mat file: a vector of labels, a cell with a label or a mask
 * per frame (Avenue's `volLabel`), a struct array with one field of the same, or an array of height
 * × width × frames. If the file has several variables, `volLabel` is taken, else the one that is
 * named like labels or masks.
 * @throws InputError as readMat does, and if there is no such variable or it has another form
 */
export async function readMatTruth(path: string): Promise<MatTruth> {
  const chosen = await choose(path);
  let truth: MatTruth | undefined;
  const read = async (array: MatArray, content: MatContent) => {
    truth = await readTruth(path, array, content);
  };
  await readMat(path, async (array, content) => {
    if (array.name !== chosen.name) return undefined;
    if (chosen.field === undefined) {
      await read(array, content);
    } else {
      await content.elements(async (field, inner, i) => {
        if (array.fields[i] === chosen.field) await read(field, inner);
      });
    }
    return true;
  });
  if (!truth) throw new InputError(`${oneLine(path)} changed while it was read`);
  return truth;
}

/** A variable, or a field of one that is a struct. */
interface Choice {
  name: string;
  field?: string;
}

const AVENUE = "volLabel";

/** @throws InputError if no variable may be ground truth, or several may be */
async function choose(path: string): Promise<Choice> {
  const choices: Choice[] = [];
  const others: string[] = [];
  await readMat(path, async (array, content) => {
    const { name } = array;
    if (mayBeTruth(array)) {
      choices.push({ name });
    } else if (array.kind === "struct" && array.count === 1) {
      await content.elements(async (field, _, i) => {
        if (mayBeTruth(field)) choices.push({ name, field: array.fields[i] });
      });
    } else {
      others.push(`${name}, ${array.what} of ${shapeText(array.dims)}`);
    }
    return name === AVENUE;
  });
  const nameOf = ({ name, field }: Choice) => field ?? name;
  const avenue = choices.find((choice) => nameOf(choice) === AVENUE);
  const named = choices.filter((choice) => /label|mask|truth|gt|anomal|abnormal/i.test(nameOf(choice)));
  if (avenue) return avenue;
  if (named.length === 1) return named[0];
  if (choices.length === 1) return choices[0];
  if (choices.length === 0) {
    const found = others.length > 0 ? `; it holds ${namesInShort(others)}` : "";
    throw new InputError(`${oneLine(path)} holds no labels and no masks, such as the cell ${AVENUE}${found}`);
  }
  throw new InputError(
    `${oneLine(path)} holds ${namesInShort(choices.map(nameOf))}: which one is meant is unknown; ` +
      `keep one of them, or name it ${AVENUE}`,
  );
}

function mayBeTruth(array: MatArray): boolean {
  const { kind, dims, count, fields } = array;
  if (kind === "cell") return count > 0;
  if (kind === "struct") return count > 1 && fields.length === 1;
  return kind === "numeric" && ((isVector(array) && count > 0) || dims.length === 3);
}

const isVector = ({ dims }: MatArray) => dims.length === 2 && (dims[0] === 1 || dims[1] === 1);

async function readTruth(path: string, array: MatArray, content: MatContent): Promise<MatTruth> {
  const shown = oneLine(path);
  if (array.count > MOST_LABELS && array.dims.length === 2) {
    throw new InputError(`${shown} holds ${array.count} elements: too many for a video`);
  }
  if (array.kind === "numeric") {
    return isVector(array)
      ? { labels: await valuesOf(array, content) }
      : { masks: await readVolume(path, array, content) };
  }
  const labels: number[] = [];
  let masks: MaskStack | undefined;
  // Frames before the first one with a mask.
  let empty = 0;
  await content.elements(async (element, inner, i) => {
    const { kind, what, dims, count } = element;
    if (kind !== "numeric" || dims.length !== 2) {
      throw new InputError(
        `${shown}: element ${i + 1} is ${what} of ${shapeText(dims)}; a frame has a label or a mask`,
      );
    }
    if (count === 1) {
      labels.push(...(await valuesOf(element, inner)));
    } else if (count === 0) {
      if (masks) masks.add(undefined);
      else empty++;
    } else {
      const [height, width] = dims;
      masks ??= startMasks(path, width, height, empty);
      if (width !== masks.width || height !== masks.height) {
        throw new InputError(
          `${shown}: the mask of frame ${i + 1} is ${width}×${height} pixels, but others are ${masks.width}×${masks.height}`,
        );
      }
      masks.add(await readMask(inner, width, height));
    }
    if (labels.length > 0 && (masks || empty > 0)) {
      throw new InputError(`${shown}: some elements are single values and others are not, up to element ${i + 1}`);
    }
  });
  if (labels.length > 0) return { labels };
  if (!masks) throw new InputError(`${shown}: all ${empty} elements are empty`);
  return { masks };
}

function startMasks(path: string, width: number, height: number, empty: number): MaskStack {
  const masks = new MaskStack(path, width, height);
  for (let i = 0; i < empty; i++) masks.add(undefined);
  return masks;
}

/** A mask of columns as one of rows; undefined if all of it is 0. */
async function readMask(content: MatContent, width: number, height: number): Promise<Uint8Array | undefined> {
  const columns = new Uint8Array(width * height);
  await content.numbers((piece, at, type) => markNonZero(piece, at, type, columns));
  return rowsOf(columns, width, height);
}

function rowsOf(columns: Uint8Array, width: number, height: number): Uint8Array | undefined {
  if (!columns.includes(1)) return undefined;
  const rows = new Uint8Array(columns.length);
  for (let x = 0, i = 0; x < width; x++) for (let y = 0; y < height; y++, i++) rows[y * width + x] = columns[i];
  return rows;
}

/** Masks as an array of height × width × frames: one frame after the other, in columns. */
async function readVolume(path: string, { dims }: MatArray, content: MatContent): Promise<MaskStack> {
  const [height, width, frames] = dims;
  if (frames > MOST_LABELS) throw new InputError(`${oneLine(path)} holds ${frames} masks: too many for a video`);
  const masks = new MaskStack(path, width, height);
  const pixels = width * height;
  const columns = new Uint8Array(pixels);
  /** Bytes of the current frame so far. */
  let filled = 0;
  await content.numbers((piece, _, type) => {
    const frameBytes = pixels * type.itemSize;
    for (let from = 0; from < piece.length; ) {
      const part = piece.subarray(from, from + frameBytes - filled);
      markNonZero(part, filled, type, columns);
      from += part.length;
      filled += part.length;
      if (filled < frameBytes) continue;
      masks.add(rowsOf(columns, width, height));
      columns.fill(0);
      filled = 0;
    }
  });
  if (masks.length !== frames) throw new InputError(`${oneLine(path)} is damaged: it has ${masks.length} masks`);
  return masks;
}

async function valuesOf({ count }: MatArray, content: MatContent): Promise<number[]> {
  const pieces: Uint8Array[] = [];
  let stored: ValueType | undefined;
  await content.numbers((piece, _, type) => {
    pieces.push(piece);
    stored = type;
  });
  if (!stored) return [];
  const type = stored;
  const bytes = Uint8Array.from(Buffer.concat(pieces));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: count }, (_, i) => valueAt(view, i * type.itemSize, type));
}
