// Finds a model's dictionary of tensors in what torch.save wrote, however training programs and
// frameworks nest it.

import { InputError } from "../errors.js";
import { PickleForeign, PickleObject, type PickleValue } from "./pickle.js";
import { shown } from "./text.js";
import { hasNetwork } from "./wrappers.js";

type Dictionary = ReadonlyMap<PickleValue, PickleValue>;

/**
 * Keys that programs keep a model under, those first that win if there are several: the original
 * and timm; Lightning; PyTorch's tutorials; DeepSpeed; others.
 */
const modelKeys = [
  ...["model", "state_dict", "model_state_dict", "module", "model_state", "net", "network", "weights", "params"],
  ...["checkpoint", "ckpt"],
];

/** Levels of dictionaries that are searched. DeepSpeed inside of Lightning has three. */
const maxDepth = 6;
/** Dictionaries that are searched. */
const maxDictionaries = 10_000;

/** A dictionary in the file, and the way to it. */
interface Found {
  state: Dictionary;
  /** The keys on the way, outermost first. */
  path: readonly string[];
  /** The dictionaries on the way, innermost first. */
  around: readonly Dictionary[];
}

/** A dictionary, or an object of a class that is a dictionary. */
function dictionaryOf(value: PickleValue | undefined): Dictionary | undefined {
  if (value instanceof Map) return value;
  return value instanceof PickleObject && value.items.size > 0 ? value.items : undefined;
}

type IsTensor = (value: PickleValue) => boolean;

/** The names of a dictionary's tensors. */
function* tensorNames(dictionary: Dictionary, isTensor: IsTensor): Generator<string> {
  for (const [key, value] of dictionary) if (typeof key === "string" && isTensor(value)) yield key;
}

/** All dictionaries that hold an SD-MAE network, outermost first. */
function findNetworks(root: Dictionary, isTensor: IsTensor): Found[] {
  const found: Found[] = [];
  const seen = new Set<Dictionary>([root]);
  const queue: Found[] = [{ state: root, path: [], around: [] }];
  for (const at of queue) {
    if (hasNetwork(tensorNames(at.state, isTensor))) {
      found.push(at);
      continue;
    }
    if (at.path.length >= maxDepth) continue;
    for (const [key, value] of at.state) {
      const inner = dictionaryOf(value);
      if (typeof key !== "string" || !inner || seen.has(inner) || seen.size >= maxDictionaries) continue;
      seen.add(inner);
      queue.push({ state: inner, path: [...at.path, key], around: [at.state, ...at.around] });
    }
  }
  return found;
}

/** The place of a path among others; lower wins. Infinity if a key is not one for models. */
function rank(path: readonly string[]): number {
  const places = path.map((key) => modelKeys.indexOf(key));
  return places.includes(-1) ? Number.POSITIVE_INFINITY : places.reduce((sum, place) => sum * 16 + place + 1, 0);
}

function chooseNetwork(found: readonly Found[], name: string): Found {
  const [best, second] = [...found].sort((a, b) => rank(a.path) - rank(b.path) || 0);
  if (second && rank(best.path) === Number.POSITIVE_INFINITY) {
    const all = found.slice(0, 4).map(({ path }) => shown(path.join(".")));
    throw new InputError(`${name}: holds ${found.length} models (${all.join(", ")}); save the one to use alone`);
  }
  return best;
}

function refuseObject(value: PickleObject, name: string): never {
  throw new InputError(
    `${name}: holds a whole Python object (${shown(value.type.path)}) instead of a dictionary of tensors; save its state_dict()`,
  );
}

/** Goes down the keys for models as long as there is no tensor. */
function followKeys(root: Dictionary, name: string, isTensor: IsTensor): Found {
  let at: Found = { state: root, path: [], around: [] };
  while (at.path.length < maxDepth && ![...at.state.values()].some(isTensor)) {
    const keys = modelKeys.filter((key) => at.state.has(key));
    if (keys.length === 0) break;
    const key = keys.find((candidate) => dictionaryOf(at.state.get(candidate))) ?? keys[0];
    const value = at.state.get(key)!;
    const inner = dictionaryOf(value);
    if (!inner && value instanceof PickleObject) return refuseObject(value, name);
    if (!inner) throw new InputError(`${name}: its ${shown(key)} is not a dictionary of tensors`);
    at = { state: inner, path: [...at.path, key], around: [at.state, ...at.around] };
  }
  return at;
}

/**
 * The model's dictionary in the file's value, and the dictionaries around it, innermost first. If
 * no dictionary holds an SD-MAE network, it is the one under the usual keys.
 * @param isTensor whether a value is a tensor
 * @throws InputError if there is none, or several
 */
export function findState(root: PickleValue, name: string, isTensor: IsTensor): Found {
  const outermost = dictionaryOf(root);
  if (!outermost && root instanceof PickleObject) return refuseObject(root, name);
  if (!outermost) throw new InputError(`${name}: does not hold a dictionary of tensors`);
  const networks = findNetworks(outermost, isTensor);
  if (networks.length > 0) return chooseNetwork(networks, name);
  const found = followKeys(outermost, name, isTensor);
  if (found.path.length === 0 && outermost.size > 0 && ![...outermost.values()].some(mayBeTensor)) {
    const keys = [...outermost.keys()].filter((key) => typeof key === "string");
    const first = keys.slice(0, 6).map(shown).join(", ") || "no names";
    throw new InputError(
      `${name}: expected a dictionary of tensors, alone or under "model" or "state_dict"; found ${first}${keys.length > 6 ? ", ..." : ""}`,
    );
  }
  return found;
}

/** A tensor, or an object of a kind that the reader does not know, such as a sparse tensor. */
function mayBeTensor(value: PickleValue): boolean {
  return value instanceof PickleForeign || (value instanceof PickleObject && !dictionaryOf(value));
}
