// Takes off what training frameworks put around a network: prefixes of tensor names.

import { InputError } from "../errors.js";
import { shown } from "./text.js";

/**
 * Components that wrappers put into names, at the front or in the middle: DataParallel and
 * DistributedDataParallel, torch.compile, FSDP, activation checkpointing. No module of SD-MAE has
 * such a name.
 */
const wrapperComponents: ReadonlySet<string> = new Set([
  "module",
  "_orig_mod",
  "_fsdp_wrapped_module",
  "_checkpoint_wrapped_module",
]);

/** A tensor that every SD-MAE network has once. */
const anchor = "patch_embed.proj.weight";

/** A name without wrappers' components. The last component, the tensor's own name, stays. */
function withoutComponents(name: string): string {
  const parts = name.split(".");
  return parts.filter((part, i) => i === parts.length - 1 || !wrapperComponents.has(part)).join(".");
}

/**
 * What stands before the network's names if `name` is that of the anchor, in any wrapping.
 * Undefined for other names.
 */
function prefixOf(name: string): string | undefined {
  if (!name.includes("patch_embed.")) return undefined;
  const clean = withoutComponents(name);
  if (clean !== anchor && !clean.endsWith(`.${anchor}`)) return undefined;
  return name.slice(0, name.lastIndexOf("patch_embed."));
}

/** Whether a network's tensors are among these names, in any wrapping. */
export function hasNetwork(names: Iterable<string>): boolean {
  for (const name of names) if (prefixOf(name) !== undefined) return true;
  return false;
}

/** A network's tensors by the names that the original gives them. */
export interface Unwrapped<Tensor> {
  tensors: Map<string, Tensor>;
  /** What was taken off the front of every name; empty if nothing was. */
  prefix: string;
  /** How many tensors do not have the prefix and were left out: a loss's weights, a counter. */
  leftOut: number;
}

/**
 * Finds the network among tensors with wrapped names, such as `module._orig_mod.norm.bias` or
 * Lightning's `model.norm.bias`. The prefix is what stands before `patch_embed.proj.weight`.
 * Without that tensor the names stay as they are.
 * @param name the file's name, for messages
 * @throws InputError if there are several networks, or two tensors get the same name
 */
export function unwrap<Tensor>(tensors: ReadonlyMap<string, Tensor>, name: string): Unwrapped<Tensor> {
  const prefixes = [...new Set([...tensors.keys()].map(prefixOf).filter((prefix) => prefix !== undefined))];
  if (prefixes.length > 1) {
    const all = prefixes.slice(0, 4).map((prefix) => shown(`${prefix}${anchor}`));
    throw new InputError(`${name}: holds ${prefixes.length} networks (${all.join(", ")}); save the one to use alone`);
  }
  const prefix = prefixes[0] ?? "";
  const unwrapped = new Map<string, Tensor>();
  let leftOut = 0;
  for (const [wrapped, tensor] of tensors) {
    if (!wrapped.startsWith(prefix)) {
      leftOut++;
      continue;
    }
    const clean = prefixes.length === 0 ? wrapped : withoutComponents(wrapped.slice(prefix.length));
    if (unwrapped.has(clean)) {
      throw new InputError(`${name}: two tensors are named ${shown(clean)} if wrappers' names are taken off`);
    }
    unwrapped.set(clean, tensor);
  }
  return { tensors: unwrapped, prefix, leftOut };
}
