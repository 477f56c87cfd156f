import { ClipWindow } from "../detector/clip_window.js";
import { buildScoreGraph } from "../detector/score_graph.js";
import type { ScoreSettings } from "../detector/settings.js";
import type { Target } from "../gpu/gpu.js";
import type { ActivationType, Kernel, Node, Tensor } from "../graph/graph.js";
import { planMemory } from "../graph/plan.js";
import type { SdMaeConfig } from "../model/config.js";
import type { Weights } from "../model/network.js";
import { attentionOp } from "../ops/attention.js";
import { attentionVariants, chosenName } from "../ops/variants.js";

/** A kernel of a graph, by itself. */
export interface ListedKernel {
  /** The pipeline's label. */
  label: string;
  /** The first node that has it. */
  node: string;
  /** What a tuning table knows the call by, or the shape of its first output. */
  shape: string;
  /** The candidate's name, where there are several. */
  variant?: string;
  /** Whether the target takes it. */
  isChosen: boolean;
  /** Dispatches of a step that are the same kernel. */
  count: number;
  wgsl: string;
  entryPoint: string;
  /** Of attention. */
  attention?: AttentionWork;
}

/** What of an attention a subgroup does in a turn of its loop, where the variant says it. */
export interface AttentionWork {
  headWidth: number;
  /** Scores of a lane in a turn. */
  scores?: number;
}

/** The nodes of the graph that scores frames. */
export function scoreNodes(
  target: Target,
  {
    config,
    weights,
    settings,
    batch,
  }: { config: SdMaeConfig; weights: Weights; settings: ScoreSettings; batch: number },
): readonly Node[] {
  const { graph } = buildScoreGraph(target, {
    ...{ config, weights, settings, source: settings.size, batch, anomalyMap: false },
    slots: ClipWindow.slotsFor(batch),
  });
  return planMemory(graph).nodes;
}

/**
 * The kernels of nodes, each text once, in the order in which they run.
 * @param isAll every candidate of a call, not only the one that the target takes
 */
export function listKernels(target: Target, nodes: readonly Node[], isAll: boolean): ListedKernel[] {
  const listed = new Map<string, ListedKernel>();
  const add = (
    node: Node,
    { label, wgsl, entryPoint }: Kernel,
    choice: Pick<ListedKernel, "variant" | "isChosen" | "shape">,
  ) => {
    const id = `${entryPoint}\n${wgsl}`;
    const known = listed.get(id);
    if (known) {
      if (choice.isChosen) known.count++;
      known.isChosen ||= choice.isChosen;
      return;
    }
    const attention = node.op.name === attentionOp.name ? attentionWork(target, node, choice.variant) : undefined;
    listed.set(id, {
      ...{ label, node: node.name, wgsl, entryPoint, count: 1 },
      ...choice,
      ...(attention && { attention }),
    });
  };
  for (const node of nodes) {
    const variants = node.op.variants?.(node, target);
    const shape = variants?.key ?? (node.outputs[0]?.shape ?? []).join("x");
    if (!variants) {
      for (const kernel of node.op.kernels(node, target)) add(node, kernel, { shape, isChosen: true });
      continue;
    }
    const { key, names } = variants;
    const chosen = chosenName(target, key, names);
    for (const variant of names) {
      const isChosen = variant === chosen;
      if (!isAll && !isChosen) continue;
      const { adapter, features, limits } = target;
      const choosing: Target = isChosen ? target : { adapter, features, limits, tuning: new Map([[key, variant]]) };
      for (const kernel of node.op.kernels(node, choosing)) add(node, kernel, { shape, variant, isChosen });
    }
  }
  return [...listed.values()];
}

function attentionWork(target: Target, node: Node, name: string | undefined): AttentionWork {
  const { shape, dtype } = node.inputs[0] as Tensor;
  const [, samples = 1, tokens = 1, width = 1] = shape;
  const { heads } = node.attrs as { heads: number };
  const headWidth = width / heads;
  const candidates = attentionVariants(target, { dtype: dtype as ActivationType, samples, tokens, heads, headWidth });
  const variant = candidates.get(name ?? "");
  if (variant?.kind !== "matrix" && variant?.kind !== "split") return { headWidth };
  const { unit, keys } = variant;
  // Variants that do not say how many queries a subgroup has have as many as the unit has rows.
  const { queries = unit.m } = variant as { queries?: number };
  return { headWidth, scores: (queries * keys) / unit.lanes };
}
