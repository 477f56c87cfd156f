import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { InputError } from "../../src/errors.js";
import type { Gpu } from "../../src/gpu/gpu.js";
import { Graph, type NoAttrs, type Op, type Tensor } from "../../src/graph/graph.js";
import { Program } from "../../src/graph/program.js";
import { openNodeGpu } from "../../src/node/adapters/gpu.js";
import { boundsChecked, testAdapter, useGpu } from "./gpu.js";
import { Guards } from "./guards.js";

/** y[i] = x[i], four words, and whatever else a test adds. */
function graphOf(target: Gpu, more: string, globals: string): { graph: Graph; x: Tensor } {
  const op: Op<NoAttrs, "x"> = {
    name: "copy",
    outputs: ({ x }) => [x],
    kernels: ({ inputs: { x }, outputs: [y] }) => [
      {
        label: "copy",
        wgsl: `@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
${globals}
@compute @workgroup_size(4) fn copy(@builtin(local_invocation_index) i: u32) {
  y[i] = x[i];
  if (i == 3u) { ${more} }
}`,
        entryPoint: "copy",
        bindings: { x, y },
        workgroups: [1, 1, 1],
      },
    ],
    cost: () => ({ flops: 0, bytes: 0 }),
  };
  const graph = new Graph(target);
  const x = graph.input("x", [4], "u32");
  graph.output("y", graph.apply(op, { x }, {})[0]);
  return { graph, x };
}

async function run(gpu: Gpu, more: string, globals = ""): Promise<number[]> {
  const { graph, x } = graphOf(gpu, more, globals);
  const program = await Program.compile(gpu, graph);
  try {
    program.write(x, Uint32Array.of(1, 2, 3, 4));
    return [...((await program.run()).y as Uint32Array)];
  } finally {
    program.close();
  }
}

const beyond = "y[x[i] + 1u] = 9u;";

/** Opens a device with SDMAE_ROBUST as given. */
async function openWith(variable: string, robust?: boolean): Promise<Gpu> {
  const before = process.env.SDMAE_ROBUST;
  process.env.SDMAE_ROBUST = variable;
  try {
    return await openNodeGpu({ adapter: testAdapter, robust });
  } finally {
    if (before === undefined) delete process.env.SDMAE_ROBUST;
    else process.env.SDMAE_ROBUST = before;
  }
}

/**
 * Mesa's CPU driver keeps every access within its buffer: there guards see nothing, and only
 * checked indices do.
 */
function skipWhereBound({ adapter }: Gpu, { skip }: Pick<TestContext, "skip">): void {
  if (adapter.kind === "lavapipe") skip("the driver keeps accesses within their bindings");
}

const ways: [how: string, variable: string, robust: boolean | undefined, clamped: boolean][] = [
  ["as devices are opened", "", undefined, false],
  ["with robust: true", "", true, true],
  ["with SDMAE_ROBUST=1", "1", undefined, true],
  ["with robust: false over SDMAE_ROBUST=1", "1", false, false],
];
for (const [how, variable, robust, clamped] of ways) {
  describe(`a write beyond a buffer, ${how}`, () => {
    let gpu: Gpu;
    let guards: Guards;
    beforeAll(async () => {
      gpu = await openWith(variable, robust);
      guards = new Guards(gpu.device);
      Object.defineProperty(gpu, "device", { value: guards.device });
    });
    afterAll(() => gpu.close());

    it(
      clamped ? "touches no guard" : "changes a guard, which is reported once, with the kernel's name",
      async (test) => {
        await run(gpu, beyond);
        if (clamped) return guards.check();
        skipWhereBound(gpu, test);
        await expect(guards.check()).rejects.toThrow(
          "kernels wrote beyond their buffers:\ncopy (copy), binding 1 of 4 words: 1 guard words changed, the first at word 5",
        );
        await guards.check();
      },
    );

    it("accesses within the buffers pass, with the same results as without guards", async () => {
      expect(await run(gpu, "y[0] = 7u;")).toEqual([7, 2, 3, 4]);
      await guards.check();
    });
  });
}

it("SDMAE_ROBUST is 1 or 0", async () => {
  await expect(openWith("yes")).rejects.toThrow(new InputError('SDMAE_ROBUST is "yes", not 0 or 1'));
});

describe("checked three ways", () => {
  const gpu = useGpu();

  it("a read beyond a buffer is seen, if it matters", async (test) => {
    skipWhereBound(gpu(), test);
    await expect(boundsChecked(gpu(), (device) => run(device, "y[0] = x[x[i] + 1u];"))).rejects.toThrow(
      "what lies beyond a buffer was read",
    );
  });

  const outside: [what: string, more: string, text: string, globals?: string][] = [
    ["a buffer, whose value does not matter", "y[0] = select(5u, x[x[0] + 9u], x[0] == 2u);", "x[x[0] + 9u]"],
    ["an invocation's array", "var own: array<u32, 2>; own[x[0] + 1u] = 3u; y[0] = own[0];", "own[x[0] + 1u]"],
    ["a row of an array", "var own: array<array<u32, 2>, 3>; y[0] = own[x[1]][x[1]];", "own[x[1]][x[1]]"],
    ["a vector of constants", "const own = vec4<u32>(1u, 2u, 3u, 4u); y[0] = own[x[3]];", "own[x[3]]"],
    [
      "a workgroup's array",
      "const N = 4u; own[x[0]] = 1u; own[N + x[1] - 1u] = 1u;",
      "own[N + x[1] - 1u]",
      "var<workgroup> own: array<u32, SIZE>;\nconst SIZE: u32 = 5u;",
    ],
  ];
  for (const [what, more, text, globals] of outside) {
    it(`an index beyond ${what} is counted`, async () => {
      const checked = boundsChecked(gpu(), (device) => run(device, more, globals));
      await expect(checked).rejects.toThrow(`kernels index what is not there:\ncopy: ${text}, in 1 invocations`);
    });
  }

  it("indices that fit are none", async () => {
    const more = `const N = 2u;
  { let own = array<u32, 3>(1u, 2u, 3u); y[0] = own[x[1]] + x[arrayLength(&x) - 1u]; }
  var own: array<vec2<u32>, N>; own[x[0]].y = 1u; y[1] = own[1][x[0]];`;
    expect(await boundsChecked(gpu(), (device) => run(device, more))).toEqual([7, 1, 3, 4]);
  });
});

describe("Dawn's other checks stay without clamps", () => {
  const gpu = useGpu();

  it("a kernel that binds too small a buffer for its struct is refused", async () => {
    const wgsl = `struct S { a: vec4<f32>, b: vec4<f32> }
@group(0) @binding(0) var<storage, read_write> s: S;
@compute @workgroup_size(1) fn f() { s.b = s.a; }`;
    const { device } = gpu();
    const pipeline = await device.createComputePipelineAsync({
      layout: "auto",
      compute: { module: device.createShaderModule({ code: wgsl }) },
    });
    const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE });
    device.pushErrorScope("validation");
    device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] });
    expect((await device.popErrorScope())?.message).toContain("smaller than the minimum binding size");
  });

  it("a copy beyond a buffer is refused", async () => {
    const { device } = gpu();
    const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const [from, to] = [device.createBuffer({ size: 16, usage }), device.createBuffer({ size: 32, usage })];
    device.pushErrorScope("validation");
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, 32);
    encoder.finish();
    expect((await device.popErrorScope())?.message).toContain("Copy range");
  });
});
