import { expect, it } from "vitest";
import { planMemory } from "../../src/graph/plan.js";
import { CallBench } from "../../src/tuner/call_bench.js";
import { asGpu, casesFor, testAdapter, useGpu } from "../support/gpu.js";
import { needsHalf } from "../support/half.js";
import { type ModelOptions, modelGraph, tinyConfig } from "../support/model.js";

const gpu = useGpu(testAdapter, { guarded: false });

const size = { height: 32, width: 48 };
const options: ModelOptions = {
  ...{ config: tinyConfig, source: size, size, batch: 2 },
  ...{ norm: "L2", masking: "random", maskedOnly: false },
};
const cases: [string, ModelOptions][] = [
  ["without a student, L1", { ...options, norm: "L1", config: { ...tinyConfig, studentDepth: 0 } }],
  ["in float16", { ...options, dtype: "f16" }],
  ["with a student, L2", options],
];

it.for(casesFor(cases))(
  "the CPU's values agree with plain kernels for every call of a network %s",
  {
    timeout: 400_000,
  },
  async ([, model], test) => {
    if (model.dtype === "f16") needsHalf(gpu(), test);
    const device = asGpu(gpu());
    const seen = new Set<string>();
    for (const node of planMemory(modelGraph(device, model).graph).nodes) {
      const variants = node.op.variants?.(node, device);
      if (!variants || seen.has(`${variants.key} ${JSON.stringify(node.attrs)}`)) continue;
      seen.add(`${variants.key} ${JSON.stringify(node.attrs)}`);
      const call = { key: variants.key, node, names: ["plain"], count: 1 };
      const bench = new CallBench(device, call);
      expect(await bench.check("plain"), variants.key).toBeUndefined();
      await bench.close();
      // A wrong kernel is found.
      const broken = { ...node.op, kernels: (own: never, target: never) => node.op.kernels(own, target).map(turned) };
      const other = new CallBench(device, { ...call, node: { ...node, op: broken } });
      expect(await other.check("plain"), variants.key).toMatch(/away from the CPU's$|zero throughout$/);
      await other.close();
    }
    expect(new Set([...seen].map((key) => key.split(" ")[0]))).toEqual(
      new Set(["patchEmbed", "linear", "attention", "headErrors"]),
    );
  },
);

/** The kernel with sums turned into differences. */
function turned<K extends { wgsl: string }>(kernel: K): K {
  const sums = /(?:\+= a\.x|\+= a \* w|products \+= q|\+= pixel\.x)/g;
  const wgsl = kernel.wgsl.replace(sums, (sum) => sum.replace("+=", "-="));
  expect(wgsl).not.toBe(kernel.wgsl);
  return { ...kernel, wgsl };
}
