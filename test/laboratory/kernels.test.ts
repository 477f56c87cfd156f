import { beforeAll, describe, expect, it } from "vitest";
import { statisticsSwitches } from "../../src/bench/kernels/driver_output.js";
import type { KernelModel } from "../../src/bench/kernels/list.js";
import { worker } from "../../src/bench/kernels/process.js";
import type { CompiledKernel, KernelRequest } from "../../src/bench/kernels/worker.js";
import { paperConfig } from "../../src/model/config.js";
import { withBundle } from "../support/child.js";
import { laboratory, laboratoryMissing } from "../support/laboratory.js";
import { tinyConfig } from "../support/model.js";

/** A process that compiles kernels for a GPU. */
interface Job {
  gpu: string;
  request?: Pick<KernelRequest, "chosenOnly" | "part">;
  /** Whether the driver prints nothing. */
  isSilent?: boolean;
}

/** GPUs whose drivers print what they made of every kernel. */
const printing = ["rx7900xtx", "rx9070xt", "rx6800", "m1", "adreno740"];
const gpus = ["rtx3090", ...printing];
/**
 * NVIDIA's prints each of its steps, which takes ten times as long as compiling: it does so for the
 * kernels that are used, in two processes, and not for the other candidates.
 */
const jobs: readonly Job[] = [
  ...[0, 1].map((index) => ({ gpu: "rtx3090", request: { chosenOnly: true, part: { index, of: 2 } } })),
  { gpu: "rtx3090", isSilent: true },
  ...printing.map((gpu) => ({ gpu })),
];

/** All candidates of the model that scores frames, and the kernels that training uses. */
const models = (["f32", "f16"] as const).flatMap((dtype): KernelModel[] => {
  const all = { dtype, allOutputs: true, variants: true };
  return [
    { ...all, config: paperConfig, size: { height: 320, width: 640 }, batch: 16 },
    { ...all, config: { ...paperConfig, patch: 8 }, size: { height: 160, width: 320 }, batch: 16 },
    { ...all, config: tinyConfig, size: { height: 32, width: 48 }, batch: 2 },
    { config: paperConfig, size: { height: 320, width: 640 }, batch: 16, dtype, training: "alone" },
  ];
});

const program = `
  import { runBenchmark } from "./src/bench/index.ts";
  process.exitCode = await runBenchmark("kernels", process.argv.slice(2));
`;

/** By GPU: the compiled kernels, or why its process ended. */
const compiled = new Map<string, (CompiledKernel & Pick<Job, "isSilent">)[] | Error>();

async function work({ gpu, request, isSilent }: Job, file: string): Promise<void> {
  const kernels: (CompiledKernel & Pick<Job, "isSilent">)[] = [];
  let total = Number.NaN;
  const switches = isSilent ? { MESA_SHADER_CACHE_DISABLE: "true" } : statisticsSwitches;
  try {
    for await (const message of worker(gpu, { models, ...request }, switches, file)) {
      if ("total" in message) total = message.total;
      else if ("kernel" in message) kernels.push({ ...message.kernel, ...(isSilent && { isSilent }) });
    }
    if (kernels.length !== total) throw new Error(`${kernels.length} of ${total} kernels were compiled`);
    const others = compiled.get(gpu) ?? [];
    if (!(others instanceof Error)) compiled.set(gpu, [...others, ...kernels]);
  } catch (error) {
    compiled.set(gpu, error as Error);
  }
}

const missing = laboratoryMissing();

describe.skipIf(missing !== undefined)(
  `in the driver laboratory${missing === undefined ? "" : ` (skipped: ${missing})`}`,
  () => {
    beforeAll(async () => {
      process.env.GPU_LAB = laboratory;
      const waiting = [...jobs];
      await withBundle(program, async (file) => {
        const workOff = async () => {
          for (let job = waiting.shift(); job; job = waiting.shift()) await work(job, file);
        };
        await Promise.all([workOff(), workOff()]);
      });
    }, 3_600_000);

    it.each(gpus)("the driver of %s compiles every kernel and variant without spills", (gpu) => {
      const kernels = compiled.get(gpu);
      if (!Array.isArray(kernels)) throw kernels;
      expect(kernels.length).toBeGreaterThan(300);
      const nameOf = ({ label, shape, variant = "" }: CompiledKernel) => [label, shape, variant].join(", ");
      const faults = kernels.flatMap((kernel) => {
        const { error, stats, isSilent } = kernel;
        if (error !== undefined) return `${nameOf(kernel)}: ${error}`;
        if (isSilent) return [];
        if (!stats) return `${nameOf(kernel)}: the driver printed nothing about it`;
        return stats.spills > 0 ? `${nameOf(kernel)}: ${stats.spills} spills` : [];
      });
      expect(faults).toEqual([]);
    });

    it.each(["rtx3090", "rx7900xtx", "rx9070xt"])("the variants for %s include matrix units", (gpu) => {
      const labels = new Set((compiled.get(gpu) as CompiledKernel[]).map(({ label }) => label));
      for (const kind of ["matrix", "split"]) {
        for (const op of ["linear", "attention"]) expect(labels).toContain(`${op} (${kind})`);
      }
    });
  },
);
