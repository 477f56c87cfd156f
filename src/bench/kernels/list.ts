// Lists the kernels of a model, with the candidates of each call.
import { freshCheckpoint } from "../../checkpoint/fresh.js";
import { ClipWindow } from "../../detector/clip_window.js";
import { buildScoreGraph } from "../../detector/score_graph.js";
import { scoreSettings } from "../../detector/settings.js";
import type { Target } from "../../gpu/gpu.js";
import { type ActivationType, byteSize, type Kernel, type Node } from "../../graph/graph.js";
import { planMemory } from "../../graph/plan.js";
import type { SdMaeConfig } from "../../model/config.js";
import { attentionOp } from "../../ops/attention.js";
import type { Size } from "../../ops/resize.js";
import { attentionVariants, chosenName } from "../../ops/variants.js";
import { paperTraining, type TrainingConfig } from "../../train/config.js";
import { buildStage } from "../../train/stage_graph.js";

/** A model whose kernels are listed. */
export interface KernelModel {
  config: SdMaeConfig;
  size: Size;
  /** Frames per step. */
  batch: number;
  /** By default f16 if the target has it. */
  dtype?: ActivationType;
  /** Whether the graph has the outputs of all frame scores, not only of the mean error. */
  allOutputs?: boolean;
  /** Also, or only, the kernels of both stages of training. */
  training?: boolean | "alone";
  /** Every candidate of a call, not only the one that the target uses. */
  variants?: boolean;
}

/** A kernel of a model. */
export interface ListedKernel {
  /** The pipeline's label. */
  label: string;
  /** The first node that has it, and its index among the node's kernels. */
  node: string;
  place: number;
  /** The key of the call in a tuning table, else the shape of its first output. */
  shape: string;
  /** The candidate's name, if there are several. */
  variant?: string;
  /** Whether the target uses this candidate. */
  isChosen: boolean;
  /** Dispatches per step. */
  count: number;
  workgroups: number;
  /** The node's FLOPs, for its kernel that moves the most bytes; 0 for its others. */
  flops: number;
  /** Bytes of all bound tensors. */
  bytes: number;
  /** Attention only: scores of a lane per turn of the loop over keys, if the variant says it. */
  scoresPerTurn?: number;
  wgsl: string;
  entryPoint: string;
}

/** The nodes that a model's kernels are listed from. */
export interface ModelNodes {
  nodes: Node[];
  variants: boolean;
  /** The storage type that the model has on the target. */
  dtype: ActivationType;
}

/** Builds a model's graphs, and returns their nodes. */
export function modelNodes(target: Target, model: KernelModel): ModelNodes {
  const { config, size, batch, allOutputs = false, training = false, variants = false } = model;
  const checkpoint = freshCheckpoint(config);
  const settings = scoreSettings(checkpoint, { size, dtype: model.dtype }, target);
  const { graph } = buildScoreGraph(target, {
    ...{ config, weights: checkpoint.weights, settings, source: size, batch },
    ...{ anomalyMap: allOutputs, tokenMaps: allOutputs, cleanedMap: allOutputs },
    slots: ClipWindow.slotsFor(batch),
  });
  const { dtype } = settings;
  const nodes = training === "alone" ? [] : [...planMemory(graph).nodes];
  if (!training) return { nodes, variants, dtype };
  const trained: TrainingConfig = {
    ...{ ...paperTraining, model: config, size, batch },
    // The paper changes no sample's look; other settings do.
    augmentation: { ...paperTraining.augmentation, share: 1 },
    precision: dtype === "f16" ? "mixed" : "float32",
  };
  for (const stage of [1, 2] as const) {
    const { built } = buildStage(target, [size], trained, stage, batch, ClipWindow.slotsFor(batch));
    nodes.push(...planMemory(built.graph).nodes);
  }
  return { nodes, variants, dtype };
}

/** The kernels of models in the order in which they run, each text once. */
export function listKernels(target: Target, models: readonly ModelNodes[]): ListedKernel[] {
  const listed = new Map<string, ListedKernel>();
  const add = (
    node: Node,
    kernels: readonly Kernel[],
    choice: Pick<ListedKernel, "shape" | "variant" | "isChosen">,
  ) => {
    const moved = kernels.map(({ bindings }) =>
      Object.values(bindings).reduce((sum, tensor) => sum + (tensor ? byteSize(tensor) : 0), 0),
    );
    const main = moved.indexOf(Math.max(...moved));
    for (const [place, { label, wgsl, entryPoint, workgroups }] of kernels.entries()) {
      const id = `${entryPoint}\n${wgsl}`;
      const known = listed.get(id);
      if (known) {
        if (choice.isChosen) known.count++;
        known.isChosen ||= choice.isChosen;
        continue;
      }
      const scores = node.op.name === attentionOp.name ? scoresPerTurn(target, node, choice.variant) : undefined;
      listed.set(id, {
        ...{ label, node: node.name, place, ...choice, count: choice.isChosen ? 1 : 0 },
        workgroups: workgroups.reduce((product, size) => product * size, 1),
        flops: place === main ? node.op.cost(node).flops : 0,
        bytes: moved[place],
        ...(scores !== undefined && { scoresPerTurn: scores }),
        ...{ wgsl, entryPoint },
      });
    }
  };
  for (const { node, isAll } of models.flatMap(({ nodes, variants }) =>
    nodes.map((node) => ({ node, isAll: variants })),
  )) {
    const variants = node.op.variants?.(node, target);
    if (!variants) {
      const shape = (node.outputs[0]?.shape ?? []).join("x");
      add(node, node.op.kernels(node, target), { shape, isChosen: true });
      continue;
    }
    const { key: shape, names } = variants;
    const chosen = chosenName(target, shape, names);
    for (const variant of names) {
      const isChosen = variant === chosen;
      if (!isAll && !isChosen) continue;
      const { adapter, features, limits } = target;
      const choosing: Target = { adapter, features, limits, tuning: new Map([[shape, variant]]) };
      add(node, node.op.kernels(node, isChosen ? target : choosing), { shape, variant, isChosen });
    }
  }
  return [...listed.values()];
}

function scoresPerTurn(target: Target, node: Node, name = ""): number | undefined {
  const { shape, dtype } = node.inputs.qkv;
  const [, samples = 1, tokens = 1, width = 1] = shape;
  const { heads } = node.attrs as { heads: number };
  const sizes = { dtype: dtype as ActivationType, samples, tokens, heads, headWidth: width / heads };
  const variant = attentionVariants(target, sizes).get(name);
  if (variant?.kind !== "matrix" && variant?.kind !== "split") return undefined;
  const { unit, keys } = variant;
  // By default a subgroup has as many queries as the unit has rows.
  const { queries = unit.m } = variant as { queries?: number };
  return (queries * keys) / unit.lanes;
}
