// bench/compare.js: measures the engine beside its peers at several batch sizes. They take turns in
// one run, so that all of them meet the machine in the same state.
import { Command, InvalidArgumentError, Option } from "commander";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { adapterOption, deviceOf, robustOption, tuneOption } from "../cli/options/device.js";
import { checkpointOrFresh, maskRatioOption, patchOption } from "../cli/options/model.js";
import { numberIn, parseSize, wholeNumber } from "../cli/options/parse.js";
import { refuseOutputs } from "../cli/outputs/refuse.js";
import { examples } from "../cli/terminal/examples.js";
import { messageOf } from "../cli/terminal/message.js";
import { Progress } from "../cli/terminal/progress.js";
import { type Column, tableHead, tableRow } from "../cli/terminal/table.js";
import { activationType, type ScoreSettings, scoreSettings } from "../detector/settings.js";
import { InputError } from "../errors.js";
import type { AdapterDescription, Gpu } from "../gpu/gpu.js";
import type { ActivationType } from "../graph/graph.js";
import type { Program } from "../graph/program.js";
import { openNodeGpu } from "../node/adapters/gpu.js";
import { writeFileAtomic } from "../node/files/atomic.js";
import { oneLine } from "../node/files/messages.js";
import { versions } from "../node/files/versions.js";
import { type ComparisonFigure, comparisonPage } from "../report/bench/comparison.js";
import { shownMs } from "../report/bench/page.js";
import { FirstUse } from "../tuner/first_use.js";
import { measureRates, rateDigits, summary, timed } from "./measure.js";
import { checkpointOption, openModel } from "./model.js";
import {
  fullPrecisions,
  type PeerMissing,
  type PeerRequest,
  type PeerResult,
  type PeerVariant,
  type RunPeer,
  refuseMissing,
} from "./peers.js";

interface CompareOptions {
  size?: { height: number; width: number };
  patch?: number;
  batch?: number[];
  maskRatio?: number;
  dtype?: ActivationType[];
  peer?: string[];
  seconds: number;
  checkpoint?: string;
  adapter?: string;
  robust?: boolean;
  tune: boolean;
  json?: string;
  out?: string;
}

const dtypes: readonly ActivationType[] = ["f32", "f16"];

const onNotice = (line: string) => process.stderr.write(`${line}\n`);

/** What is measured by default, on a GPU and on a software adapter. */
const defaults = {
  gpu: { size: { height: 320, width: 640 }, batches: [1, 4, 16, 64] },
  software: { size: { height: 160, width: 320 }, batches: [1] },
};

/** Parses whole numbers from 1 to 4096, separated by commas; sorts them. */
export function parseBatches(text: string): number[] {
  const batches = text.split(",").map(wholeNumber(1, 4096));
  if (new Set(batches).size < batches.length) throw new InvalidArgumentError("Give each batch size once.");
  return batches.sort((a, b) => a - b);
}

/** Parses storage types, separated by commas. */
export function parseDtypes(text: string): ActivationType[] {
  const names = text.split(",");
  const known = (name: string): name is ActivationType => (dtypes as readonly string[]).includes(name);
  if (!names.every(known) || new Set(names).size < names.length) {
    throw new InvalidArgumentError(`Give some of ${dtypes.join(",")}, each once.`);
  }
  return names;
}

/** `bench/compare.js`: measures the engine and its peers at several batch sizes, in one run. */
export function compareCommand(
  peers: readonly string[] = [],
  runPeer?: RunPeer,
  peerMissing: PeerMissing = async () => undefined,
): Command {
  return new Command("compare")
    .description(
      "Measures frames per second of the full model beside its peers, at several batch sizes. Engine and peers take turns, one at a time. " +
        "Prints a table; writes a plot and the figures.",
    )
    .addOption(
      new Option(
        "--size <HxW>",
        "input size of the network, height x width in pixels (default: 320x640 on a GPU, else 160x320)",
      ).argParser(parseSize),
    )
    .addOption(patchOption())
    .addOption(
      new Option("--batch <list>", "batch sizes, separated by commas (default: 1,4,16,64 on a GPU, else 1)").argParser(
        parseBatches,
      ),
    )
    .addOption(
      new Option(
        "--dtype <list>",
        "the engine's storage types, separated by commas (default: f32,f16 on a GPU that has it, else f32)",
      ).argParser(parseDtypes),
    )
    .addOption(
      new Option("--peer <name...>", "peers to measure, or none (default: all that can run here)").choices([
        ...peers,
        "none",
      ]),
    )
    .addOption(
      new Option("--seconds <s>", "how long to measure each contestant at each batch size, in seconds")
        .default(5)
        .argParser(numberIn(0.1, 3600)),
    )
    .option("--out <file>", "write a plot to a file, *.html")
    .option("--json <file>", "write the figures to a file")
    .addOption(checkpointOption())
    .addOption(maskRatioOption())
    .addOption(adapterOption())
    .addOption(robustOption())
    .addOption(tuneOption())
    .addHelpText("after", examples("node bench/compare.js --batch 1,4,16 --out compare.html"))
    .action(async (options: CompareOptions) => {
      await compare(options, await choosePeers(options, peers, peerMissing), runPeer);
    });
}

/** A peer that is not measured, and why. */
interface Missing {
  peer: string;
  reason: string;
}

/** The peers that are asked for, else those that can run. */
async function choosePeers(
  { peer: wanted, out, json }: CompareOptions,
  peers: readonly string[],
  peerMissing: PeerMissing,
): Promise<{ names: string[]; missing: Missing[] }> {
  await refuseOutputs({ out, json });
  if (wanted) {
    if (wanted.includes("none") && wanted.length > 1) throw new InputError("--peer none excludes other peers");
    const names = [...new Set(wanted)].filter((name) => name !== "none");
    await refuseMissing(names, peerMissing);
    return { names, missing: [] };
  }
  const missing: Missing[] = [];
  const names: string[] = [];
  for (const peer of peers) {
    const reason = await peerMissing(peer);
    if (reason === undefined) names.push(peer);
    else missing.push({ peer, reason });
  }
  return { names, missing };
}

async function compare(
  options: CompareOptions,
  { names, missing }: { names: string[]; missing: Missing[] },
  runPeer: RunPeer | undefined,
): Promise<void> {
  const checkpoint = await checkpointOrFresh(options);
  const plan = await settle(options, checkpoint);
  const { adapter, settings, batches } = plan;
  const { size } = settings[0];
  const head = `${size.height}x${size.width}, patch ${checkpoint.config.patch}, batch ${batches.join(", ")}`;
  console.log(`adapter       ${adapter.description} (${adapter.kind})`);
  console.log(`model         ${head}, ${settings.map(({ dtype }) => dtype).join(" and ")}`);
  for (const { peer, reason } of missing) console.log(`left out      ${peer}: ${reason}`);
  for (const line of tableHead(columns)) console.log(line);

  const figures: ComparisonFigure[] = [];
  const results: (PeerResult & { batch: number })[] = [];
  const notes = missing.map(({ peer, reason }) => `${peer} was left out: ${reason}`);
  // At each batch size every peer is measured once, and the engine before, between and after them.
  const turns = batches.length * (names.length + settings.length * (names.length + 1));
  const progress = new Progress("measurements", turns, false);
  try {
    for (const batch of batches) {
      const contest = { checkpoint, settings, batch, seconds: options.seconds, adapter };
      const found = await measureBatch(contest, options, names, runPeer, (note) => progress.advance(1, note));
      figures.push(...found.figures);
      results.push(...found.results.map((result) => ({ ...result, batch })));
      notes.push(...found.notes);
      for (const line of tableRows(found.figures)) progress.print(line);
      // After each batch size, because a run may be stopped.
      const complete = batch === batches.at(-1);
      await save(options, { checkpoint, plan, figures, results, notes, missing, complete });
    }
  } finally {
    progress.stop();
  }
  for (const note of notes.slice(missing.length)) console.log(`note          ${note}`);
  for (const [name, version] of peerVersions(results)) console.log(`${name.padEnd(12)}  ${version}`);
  for (const path of [options.json, options.out]) if (path !== undefined) console.log(`written       ${path}`);
}

/** What is measured: by options, else by the adapter's defaults. */
interface Plan {
  adapter: AdapterDescription;
  /** One per storage type. */
  settings: ScoreSettings[];
  batches: number[];
}

/** @throws InputError for a type that the adapter lacks, or sizes that contradict each other */
async function settle(options: CompareOptions, checkpoint: Checkpoint): Promise<Plan> {
  const gpu = await openNodeGpu({ ...deviceOf(options), onNotice });
  try {
    const { adapter } = gpu;
    const asked = options.dtype && (options.dtype.includes("f16") ? "f16" : "f32");
    if (options.tune) await new FirstUse(gpu, { onNotice }).checkHalf(asked);
    const usual = defaults[adapter.kind === "gpu" ? "gpu" : "software"];
    const size = options.size ?? usual.size;
    const types = options.dtype ?? (activationType("auto", gpu) === "f16" ? dtypes : (["f32"] as const));
    const { maskRatio } = options;
    const settings = types.map((dtype, i) =>
      // One notice for all types.
      scoreSettings(checkpoint, { size, maskRatio, dtype }, gpu, i === 0 ? onNotice : undefined),
    );
    return { adapter, settings, batches: options.batch ?? usual.batches };
  } finally {
    gpu.close();
  }
}

/** What is measured at one batch size. */
interface Contest {
  checkpoint: Checkpoint;
  settings: readonly ScoreSettings[];
  batch: number;
  seconds: number;
  adapter: AdapterDescription;
}

/** Measures engine and peers in turns, one at a time. */
async function measureBatch(
  contest: Contest,
  options: CompareOptions,
  names: readonly string[],
  runPeer: RunPeer | undefined,
  onTurn: (note: string) => void,
): Promise<{ figures: ComparisonFigure[]; results: PeerResult[]; notes: string[] }> {
  const { checkpoint, settings, batch, seconds } = contest;
  const engines = settings.map((each) => new EngineContestant(each, batch));
  const peerFigures: ComparisonFigure[] = [];
  const results: PeerResult[] = [];
  const notes: string[] = [];
  try {
    for (const engine of engines) await engine.open(options, checkpoint);
    for (let turn = 0; turn <= names.length; turn++) {
      for (const engine of engines) {
        await engine.measure(seconds / (names.length + 1));
        onTurn(`${engine.name}, batch ${batch}`);
      }
      const name = names[turn];
      if (name === undefined) break;
      try {
        const result = await (runPeer as RunPeer)(name, peerRequest(contest));
        results.push(result);
        peerFigures.push(...figuresOf(result, batch));
        for (const { variant, form, error } of result.all ?? []) {
          if (error !== undefined) notes.push(`${name}, ${variant ?? form}, batch ${batch} failed: ${oneLine(error)}`);
        }
      } catch (error) {
        peerFigures.push({ contestant: name, own: false, batch, error: reason(error) });
      }
      onTurn(`${name}, batch ${batch}`);
    }
  } finally {
    for (const engine of engines) engine.close();
  }
  peerFigures.sort((a, b) => (b.fps?.median ?? 0) - (a.fps?.median ?? 0));
  return { figures: withRatios([...engines.map((engine) => engine.figure()), ...peerFigures]), results, notes };
}

/** What a peer has to measure; it takes the precisions that match the engine's storage types. */
function peerRequest({ checkpoint, settings, batch, seconds, adapter }: Contest): PeerRequest {
  const types = settings.map(({ dtype }) => dtype);
  return {
    ...{ checkpoint, settings: settings[0], batch, seconds, adapterKind: adapter.kind },
    precisions: types.includes("f16") ? (types.includes("f32") ? undefined : ["f16"]) : fullPrecisions,
  };
}

/**
 * The engine with one storage type at one batch size. It has its own device, so that a lost device
 * does not harm the others.
 */
class EngineContestant {
  readonly name: string;
  private gpu: Gpu | undefined;
  private program: Program | undefined;
  private memoryBytes: number | undefined;
  private readonly rates: number[] = [];
  private readonly seconds: number[] = [];
  private error: string | undefined;

  constructor(
    private readonly settings: ScoreSettings,
    private readonly batch: number,
  ) {
    this.name = `sdmae ${settings.dtype}`;
  }

  async open(options: CompareOptions, checkpoint: Checkpoint): Promise<void> {
    await this.trying(async () => {
      this.gpu = await openNodeGpu(deviceOf(options));
      const firstUse = options.tune ? new FirstUse(this.gpu, { onNotice }) : undefined;
      const { program, memoryBytes } = await openModel(this.gpu, checkpoint, this.settings, this.batch, firstUse);
      this.program = program;
      this.memoryBytes = memoryBytes;
    });
  }

  /** Adds measurements, unless it failed before. */
  async measure(seconds: number): Promise<void> {
    const { program } = this;
    if (!program) return;
    await this.trying(async () => {
      this.rates.push(...(await measureRates(seconds, this.batch, (steps) => timed(program, steps))));
      for (let i = 0; i < 3; i++) this.seconds.push(await timed(program, 1));
    });
  }

  figure(): ComparisonFigure {
    const shared = { contestant: this.name, own: true, batch: this.batch };
    if (this.error !== undefined) return { ...shared, error: this.error };
    const latencyMs = 1000 * summary(this.seconds).median;
    return { ...shared, fps: summary(this.rates), latencyMs, memoryBytes: this.memoryBytes };
  }

  close(): void {
    this.program?.close();
    this.gpu?.close();
    this.program = undefined;
    this.gpu = undefined;
  }

  private async trying(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.error = reason(error);
      this.close();
    }
  }
}

/** A peer's figures: the fastest variant of each precision, or the first error if none ran. */
export function figuresOf(result: PeerResult, batch: number): ComparisonFigure[] {
  const variants: readonly PeerVariant[] = result.all?.length ? result.all : [result];
  const precisions = [...new Set(variants.map(({ precision = "f32" }) => precision))];
  return precisions.map((precision): ComparisonFigure => {
    const own = variants.filter((variant) => (variant.precision ?? "f32") === precision);
    const best = own.reduce((a, b) => ((b.fps?.median ?? 0) > (a.fps?.median ?? 0) ? b : a));
    const shared = { contestant: `${result.name} ${precision}`, own: false, batch };
    if (!best.fps) return { ...shared, error: oneLine(best.error ?? "it gave no figures") };
    const { fps, latencyMs, msPerBatch, memoryBytes, variant, form } = best;
    const how = [variant, form].filter((part) => part !== undefined).join(", ");
    return { ...shared, fps, latencyMs: latencyMs ?? msPerBatch?.median, memoryBytes, ...(how && { how }) };
  });
}

/**
 * Adds ratios to the figures of one batch size: each one's rate relative to the best peer, if any;
 * for peers, how many times faster the engine is.
 */
export function withRatios(figures: readonly ComparisonFigure[]): ComparisonFigure[] {
  const fastest = (ours: boolean) =>
    Math.max(...figures.map(({ own, fps }) => (own === ours ? (fps?.median ?? 0) : 0)), 0);
  const [engine, peer] = [fastest(true), fastest(false)];
  return figures.map((figure) => {
    if (!figure.fps || peer === 0) return figure;
    const { own, fps } = figure;
    return { ...figure, ratio: fps.median / peer, ...(!own && engine > 0 && { ahead: engine / fps.median }) };
  });
}

const columns: readonly Column[] = [
  ["batch", 5],
  ["contestant", -15],
  ["frames/s", 8],
  ["min to max", 16],
  ["to best peer", 12],
  ["sdmae to it", 11],
  ["latency", 10],
  ["memory", 8],
  ["how", 0],
];

/** One line of the table per figure. */
export function tableRows(figures: readonly ComparisonFigure[]): string[] {
  return figures.map(({ contestant, batch, fps, ratio, ahead, latencyMs, memoryBytes, how, error }) => {
    // An error comes right after the name.
    if (!fps) return tableRow(columns, [String(batch), contestant, `failed: ${error ?? "it gave no figures"}`]);
    return tableRow(columns, [
      String(batch),
      contestant,
      rateDigits(fps.median),
      `${rateDigits(fps.min)} to ${rateDigits(fps.max)}`,
      ratio === undefined ? "-" : ratio.toFixed(2),
      ahead === undefined ? "-" : ahead.toFixed(2),
      latencyMs === undefined ? "-" : `${shownMs(latencyMs)} ms`,
      memoryBytes === undefined ? "-" : `${(memoryBytes / 1e6).toFixed(0)} MB`,
      how ?? "",
    ]);
  });
}

/** The versions of the peers that ran, without the variant that was fastest. */
function peerVersions(results: readonly PeerResult[]): Map<string, string> {
  return new Map(
    results.map(({ name, version, variant, form }) => {
      const suffix = [variant, form].filter((part) => part !== undefined).map((part) => `, ${part}`);
      const tail = suffix.join("");
      return [name, tail && version.endsWith(tail) ? version.slice(0, -tail.length) : version];
    }),
  );
}

interface Found {
  checkpoint: Checkpoint;
  plan: Plan;
  figures: readonly ComparisonFigure[];
  results: readonly (PeerResult & { batch: number })[];
  notes: readonly string[];
  missing: readonly Missing[];
  /** Whether everything was measured. */
  complete: boolean;
}

async function save({ json, out, seconds }: CompareOptions, found: Found): Promise<void> {
  const date = new Date().toISOString();
  if (json !== undefined) {
    await writeFileAtomic(json, `${JSON.stringify(comparisonReport(found, seconds, date), null, 2)}\n`);
  }
  if (out !== undefined) {
    const { plan, figures, notes, complete } = found;
    const { size } = plan.settings[0];
    const title = `SD-MAE, frames per second: ${size.height}x${size.width} on ${plan.adapter.description}`;
    const facts = comparisonFacts(found, seconds);
    await writeFileAtomic(out, comparisonPage({ title, created: date, figures, notes, complete, facts }));
  }
}

/** The content of the --json file. */
function comparisonReport(found: Found, seconds: number, date: string): object {
  const { checkpoint, plan, figures, results, notes, missing, complete } = found;
  const { adapter, settings, batches } = plan;
  return {
    ...{ date, versions: { ...versions(), peers: Object.fromEntries(peerVersions(results)) }, adapter },
    ...{ size: settings[0].size, patch: checkpoint.config.patch, batches, dtypes: settings.map(({ dtype }) => dtype) },
    ...{ seconds, model: checkpoint.source, complete, figures, notes, missing, peers: results },
  };
}

/** The facts under the plot. */
function comparisonFacts({ checkpoint, plan, results }: Found, seconds: number): [string, string][] {
  const { adapter, settings } = plan;
  const { height, width } = settings[0].size;
  return [
    ["adapter", `${adapter.description} (${adapter.kind})`],
    ["size", `${height}x${width}, patch ${checkpoint.config.patch}`],
    ["model", `${checkpoint.source}: teacher, student and scores, from 8-bit frames on the device`],
    ["seconds per contestant and batch size", String(seconds)],
    ...Object.entries(versions()),
    ...peerVersions(results),
  ];
}

function reason(error: unknown): string {
  return oneLine(messageOf(error));
}
