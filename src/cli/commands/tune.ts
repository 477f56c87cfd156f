import { Command, Option } from "commander";
import { ClipWindow } from "../../detector/clip_window.js";
import { buildScoreGraph } from "../../detector/score_graph.js";
import { type ScoreOptions, scoreSettings } from "../../detector/settings.js";
import { planMemory } from "../../graph/plan.js";
import { openNodeGpu } from "../../node/adapters/gpu.js";
import { cacheFolder } from "../../node/adapters/swiftshader.js";
import { keepTuning, knownTuning } from "../../node/adapters/tuning.js";
import { makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { FirstUse } from "../../tuner/first_use.js";
import { halfKey } from "../../tuner/half_check.js";
import { tuningTable } from "../../tuner/table.js";
import { type TunedCall, tune } from "../../tuner/tuner.js";
import { adapterOption, deviceOf, robustOption } from "../options/device.js";
import { checkpointOrFresh, dtypeOption, maskRatioOption, patchOption } from "../options/model.js";
import { parseSize, wholeNumber } from "../options/parse.js";
import { refuseOutputs } from "../outputs/refuse.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";
import { Progress } from "../terminal/progress.js";
import { table } from "../terminal/table.js";

interface TuneCommandOptions {
  size?: { height: number; width: number };
  patch?: number;
  batch?: number;
  maskRatio?: number;
  dtype?: ScoreOptions["dtype"];
  checkpoint?: string;
  adapter?: string;
  robust?: boolean;
  again?: boolean;
  json?: string;
  quiet?: boolean;
}

/** `tune`: finds the fastest kernel variants on this adapter, and keeps them. */
export function tuneCommand(): Command {
  return new Command("tune")
    .summary("find the fastest kernels of this adapter")
    .description(
      "Finds the fastest variant of each kernel on this adapter, for a model, size and batch, and keeps the choices for later runs. " +
        "It measures every variant; the first run of a model on a GPU only tries a few (see score --no-tune). " +
        "Matrix units (tensor cores) are used only after one of these checks.",
    )
    .option("-c, --checkpoint <file>", "the model (default: the paper's sizes)")
    .addOption(
      new Option("--size <HxW>", "input size, height x width in pixels (default: the model's, else 320x640)").argParser(
        parseSize,
      ),
    )
    .addOption(patchOption())
    .addOption(
      new Option("--batch <n>", "frames per step (default: 16 on a GPU, else 1)").argParser(wholeNumber(1, 4096)),
    )
    .addOption(maskRatioOption())
    .addOption(dtypeOption())
    .option("--again", "measure again what was measured before")
    .option("--json <file>", "also write this adapter's table of choices to a file")
    .addOption(adapterOption())
    .addOption(robustOption())
    .option("-q, --quiet", "no progress, no table")
    .addHelpText("after", examples("npx sdmae tune --size 320x640 --batch 16"))
    .action((options: TuneCommandOptions) => interruptible((signal) => tuneModel(options, signal)));
}

async function tuneModel(options: TuneCommandOptions, signal: AbortSignal): Promise<void> {
  await refuseOutputs(options);
  // First, so that a cache folder that cannot be written is reported before measuring.
  await makeFolder(cacheFolder());
  const checkpoint = await checkpointOrFresh(options);
  const onNotice = (line: string) => process.stderr.write(`${line}\n`);
  const gpu = await openNodeGpu({ ...deviceOf(options), onNotice });
  const choices = new Map<string, string>();
  try {
    if (options.again) gpu.tuning = new Map([...gpu.tuning].filter(([key]) => key !== halfKey));
    await new FirstUse(gpu, { onNotice }).checkHalf(options.dtype);
    const settings = scoreSettings(
      checkpoint,
      { size: options.size, maskRatio: options.maskRatio, dtype: options.dtype },
      gpu,
      onNotice,
    );
    const batch = options.batch ?? (gpu.adapter.kind === "gpu" ? 16 : 1);
    const { config, weights } = checkpoint;
    const { graph } = buildScoreGraph(gpu, {
      ...{ config, weights, settings, source: settings.size, batch, anomalyMap: false },
      slots: ClipWindow.slotsFor(batch),
    });
    const { height, width } = settings.size;
    const say = (line: string) => {
      if (!options.quiet) process.stdout.write(`${line}\n`);
    };
    say(`adapter  ${gpu.adapter.description} (${gpu.adapter.kind})`);
    say(`model    ${height}x${width}, patch ${config.patch}, batch ${batch}, ${settings.dtype}`);
    let progress: Progress | undefined;
    const onCall = ({ key, best }: TunedCall, total: number) => {
      choices.set(key, best);
      progress ??= new Progress("kernels", total, options.quiet ?? false, true);
      progress.advance(1);
    };
    // The quick choices of a first use are measured again.
    const measured = await knownTuning(gpu.adapter, "thorough");
    const known = options.again ? new Map<string, string>() : measured;
    let calls: TunedCall[];
    try {
      calls = await tune(gpu, planMemory(graph).nodes, { known, onCall, signal });
    } finally {
      progress?.stop();
      // After an interruption, the choices so far are kept too.
      if (choices.size > 0) say(`kept     ${await keepTuning(gpu.adapter, choices)}`);
    }
    if (calls.length === 0) say("nothing to measure: all choices are known (--again measures them again)");
    else if (!options.quiet) for (const line of shown(calls)) console.log(line);
    if (options.json !== undefined) {
      const all = tuningTable(gpu.adapter, new Map([...measured, ...choices]));
      await writeFileAtomic(options.json, `${JSON.stringify(all, null, 2)}\n`);
      say(`written  ${options.json}`);
    }
  } finally {
    gpu.close();
  }
}

/** A row per variant: its time, and how it compares with the default. */
function shown(calls: readonly TunedCall[]): string[] {
  const rows = calls.flatMap(({ key, variants, best, count }) =>
    variants.map(({ name, ms, fault }, i) => [
      i === 0 ? `${key}${count > 1 ? ` (${count} times)` : ""}` : "",
      name,
      fault === undefined ? ms.toPrecision(3) : "-",
      fault === undefined ? ((variants[0]?.ms ?? ms) / ms).toFixed(2) : "-",
      fault ?? (name === best ? "*" : ""),
    ]),
  );
  return table(["kernel", "variant", "ms", "speed / default", ""], rows);
}
