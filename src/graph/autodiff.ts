// Gradients: adds the backward pass of a graph to it, by asking each op for its gradient.
import { type Graph, reshape, type Tensor } from "./graph.js";

/**
 * Adds tensors of one shape. The graph knows no ops, so the caller of {@link differentiate} brings
 * this one.
 */
export type Add = (graph: Graph, a: Tensor, b: Tensor) => Tensor;

/**
 * Reverse-mode differentiation: walks the graph backwards and adds the nodes that the wanted
 * gradients need.
 * @param of what is differentiated, usually a loss [1]
 * @param seed the gradient with respect to it, usually 1
 * @param wanted tensors whose gradients to compute
 * @returns their gradients in the same order; undefined if `of` does not depend on one
 * @throws Error if a node on the way has no gradient
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
    if (Object.values(node.inputs).some((tensor) => matters.has(tensor.id))) {
      for (const tensor of node.outputs) matters.add(tensor.id);
    }
  }
  const gradients = new Map<number, Tensor>([[of.id, seed]]);
  const gradientOf = (tensor: Tensor): Tensor | undefined => {
    const gradient = gradients.get(tensor.id);
    return gradient && reshape(gradient, tensor.shape);
  };
  for (const node of forward.reverse()) {
    const { name, op, inputs, outputs } = node;
    const needed = Object.fromEntries(Object.entries(inputs).map(([key, tensor]) => [key, matters.has(tensor.id)]));
    const [dy, ...others] = outputs.map(gradientOf);
    if (others.some((gradient) => gradient)) throw new Error(`${name} (${op.name}) has no gradient of a by-product`);
    if (!dy || !Object.values(needed).includes(true)) continue;
    if (!op.gradient) throw new Error(`${name} (${op.name}) has no gradient`);
    const { gradient } = op;
    const found = graph.scope(`gradient of ${name}`, () => gradient.call(op, node, dy, graph, needed));
    for (const [key, tensor] of Object.entries(inputs)) {
      const contribution = found[key];
      if (!needed[key] || !contribution) continue;
      const before = gradientOf(tensor);
      const shaped = reshape(contribution, tensor.shape);
      gradients.set(tensor.id, before ? add(graph, before, shaped) : shaped);
    }
  }
  return wanted.map(gradientOf);
}
