import { type Graph, reshape, type Tensor } from "./graph.js";

/** Adds tensors of one shape. The graph does not know ops, so whoever differentiates brings the one that adds. */
export type Add = (graph: Graph, a: Tensor, b: Tensor) => Tensor;

/**
 * Reverse-mode differentiation as a pass over the graph: adds the nodes that compute the gradients of a tensor, and only those that the
 * wanted ones need.
 * @param of what is differentiated, mostly a loss [1]
 * @param seed the gradient with respect to it, mostly 1
 * @param wanted tensors whose gradients are asked for
 * @returns their gradients in the same order; undefined where `of` does not depend on one
 * @throws Error where a node that matters has no gradient
 */
export function differentiate(
  graph: Graph,
  of: Tensor,
  seed: Tensor,
  wanted: readonly Tensor[],
  add: Add,
): (Tensor | undefined)[] {
  // A reshaped tensor keeps its id, and so its gradient.
  const matters = new Set(wanted.map((tensor) => tensor.id));
  const forward = [...graph.nodes];
  for (const node of forward) {
    if (node.inputs.some((tensor) => matters.has(tensor.id))) for (const t of node.outputs) matters.add(t.id);
  }
  const gradients = new Map<number, Tensor>([[of.id, seed]]);
  for (const node of forward.reverse()) {
    const outputGradients = node.outputs.map((tensor) => {
      const gradient = gradients.get(tensor.id);
      return gradient && reshape(gradient, tensor.shape);
    });
    const needed = node.inputs.map((tensor) => matters.has(tensor.id));
    if (!needed.includes(true) || outputGradients.every((gradient) => gradient === undefined)) continue;
    if (!node.op.gradient) throw new Error(`${node.name} (${node.op.name}) has no gradient`);
    const { gradient } = node.op;
    const own = graph.scope(`gradient of ${node.name}`, () =>
      gradient.call(node.op, node, outputGradients, graph, needed),
    );
    for (const [i, tensor] of node.inputs.entries()) {
      const contribution = own[i];
      if (!needed[i]) continue;
      if (!contribution) continue;
      const before = gradients.get(tensor.id);
      const shaped = reshape(contribution, tensor.shape);
      gradients.set(tensor.id, before ? add(graph, reshape(before, tensor.shape), shaped) : shaped);
    }
  }
  return wanted.map((tensor) => {
    const gradient = gradients.get(tensor.id);
    return gradient && reshape(gradient, tensor.shape);
  });
}
