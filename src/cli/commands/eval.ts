import { rmdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { Command, Option } from "commander";
import { hasTrainedStudent } from "../../checkpoint/extras.js";
import { knownTotal } from "../../counted.js";
import { type Dataset, type DatasetVideo, measuredOn, type TestSplit } from "../../data/dataset.js";
import type { Frame, FrameSource } from "../../data/frame.js";
import { type MapKind, mapKinds } from "../../detector/frame_score.js";
import { InputError } from "../../errors.js";
import { type Benchmark, type BenchmarkName, benchmarks } from "../../eval/benchmarks.js";
import { type EvaluationSettings, paperEvaluation } from "../../eval/evaluation.js";
import type { VideoRecord } from "../../eval/record.js";
import { testedBy } from "../../eval/tested_by.js";
import { openDataset } from "../../node/datasets/index.js";
import { Detector } from "../../node/detector.js";
import { evaluate } from "../../node/evaluate.js";
import { AtomicFile, makeFolder } from "../../node/files/atomic.js";
import { readCheckpoint } from "../../node/files/checkpoint_file.js";
import { RecordStore } from "../../node/files/record_store.js";
import { writeReport } from "../../report/evaluation/write.js";
import { recordOnWorkers, sharedFolders } from "../eval_workers.js";
import { adapterOption, robustOption, tuneOption } from "../options/device.js";
import { type MeasureOptions, mapFor, measured, measureOptions, scoringNotices } from "../options/measure.js";
import { batchOption, checkpointPaths, headsOption, type ModelOptions, modelOptions } from "../options/model.js";
import { addNatsOptions, type NatsCommandOptions, natsLogins, shareOption } from "../options/nats.js";
import { givenOn, type IsGiven, numberIn, wholeNumber } from "../options/parse.js";
import { splitOption } from "../options/split.js";
import { fpsOption, thresholdOption } from "../options/watch.js";
import { evalDetector } from "../recording.js";
import { benchmarkTitle, evaluationJson, facts, reportMetrics, summaryLines } from "../terminal/eval_summary.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";
import { Progress } from "../terminal/progress.js";

interface EvalOptions extends ModelOptions, MeasureOptions, Partial<NatsCommandOptions> {
  share?: string;
  dataset?: BenchmarkName;
  root: string;
  labels?: string;
  split: TestSplit;
  checkpoint: string;
  student?: string;
  heads?: number;
  adapter?: string;
  robust?: boolean;
  tune: boolean;
  batch?: number;
  seed: number;
  map?: MapKind;
  regionQuantile: number;
  alpha: number;
  beta: number;
  videos?: string[];
  threshold?: number;
  fps?: number;
  json?: string;
  report?: string;
  work?: string;
  quiet?: boolean;
}

/** `eval --root DIR --checkpoint FILE`: scores a data set's test videos, measures the scores. */
export function evalCommand(): Command {
  const command = new Command("eval")
    .summary("measure a model on a data set")
    .description(
      "Measures a model on the test videos of a data set: frame-level AUC; if there are pixel masks or tracks, also pixel-level AUC, RBDC and TBDC.",
    )
    .requiredOption("--root <dir>", "the data set's folder, with train/ and test/")
    .requiredOption("-c, --checkpoint <file>", "the model: .safetensors, or .pth of the authors' code")
    .option("--student <file>", "checkpoint-best-student.pth of the authors' code, to merge into the model")
    .option("--report <dir>", "write a report into this folder: one HTML file")
    .option("--json <file>", "write metrics and scores; - prints them in place of the tables")
    .option(
      "--work <dir>",
      "keep the token maps of finished videos here; a later run continues, or measures them in another way",
    )
    .addOption(
      new Option("--dataset <name>", "the data set's layout (default: detected)").choices(Object.keys(benchmarks)),
    )
    .option("--labels <dir>", "folder of the labels, VIDEO.txt, .csv, .npy or .mat (default: the layout's)")
    .addOption(splitOption("measure the model on these videos"))
    .option("--videos <names>", "only these test videos, separated by commas", (text) =>
      text.split(",").filter(Boolean),
    );
  for (const option of [...modelOptions(), ...measureOptions()]) command.addOption(option);
  const { alpha, beta, regionQuantile } = paperEvaluation;
  const options = [
    new Option("--seed <n>", "seed of the random masks").default(0).argParser(wholeNumber(0)),
    new Option(
      "--map <kind>",
      "map in which regions are found (default: moving-anomaly if frames are scored by the predicted map, else cleaned-map, or moving-error without a trained student)",
    ).choices([...mapKinds]),
    new Option("--region-quantile <q>", "a region is where the map reaches this quantile of its video's values")
      .default(regionQuantile)
      .argParser(numberIn(0, 1)),
    new Option("--alpha <share>", "TBDC: a track counts as found if at least this share of its regions is found")
      .default(alpha)
      .argParser(numberIn(0, 1)),
    new Option("--beta <iou>", "RBDC, TBDC: a region counts as found from this overlap on")
      .default(beta)
      .argParser(numberIn(0, 1)),
    thresholdOption(
      "count events at this threshold, of scores that are not smoothed, as `score` does (default: the equal-error rate's)",
    ),
    fpsOption("the data set's"),
    headsOption(),
    batchOption(),
    adapterOption(),
    robustOption(),
    tuneOption(),
  ];
  for (const option of options) command.addOption(option);
  return addNatsOptions(command, "score the videos on workers at this NATS server; needs --share and --work")
    .addOption(shareOption(false))
    .option("-q, --quiet", "no progress")
    .addHelpText("after", natsLogins)
    .addHelpText("after", examples("npx sdmae eval --root ped2/ --checkpoint models/ped2.safetensors --report report/"))
    .action((options: EvalOptions) => interruptible((signal) => evaluateCommand(options, givenOn(command), signal)));
}

async function evaluateCommand(options: EvalOptions, isGiven: IsGiven, signal: AbortSignal): Promise<void> {
  const say = (line: string) => {
    if (!options.quiet) process.stderr.write(`${line}\n`);
  };
  // 1. The data set and the model.
  const { dataset: layout, labels } = options;
  const shared = await sharedFolders(options);
  const whole = measuredOn(await openDataset(options.root, { layout, labels }), options.split);
  const remarks = new Set<string>();
  const dataset = withRemarks(onlyVideos(whole, options.videos), remarks);
  const benchmark: Benchmark = benchmarks[dataset.layout as BenchmarkName];
  const checkpoint = await readCheckpoint(checkpointPaths(options), options.heads);
  // A preset is the paper's way.
  const tested = options.preset ? {} : testedBy(checkpoint.settings);
  const maskings = options.maskings ?? tested.maskings ?? 1;
  // 2. The files to write, so that what cannot be written is reported before an hour of scoring.
  const report = options.report === undefined ? undefined : await reportFolder(options.report);
  const toStdout = options.json === "-";
  const json = options.json === undefined || toStdout ? undefined : await AtomicFile.create(options.json);
  let done = false;
  let detector: Detector | undefined;
  let store: RecordStore | undefined;
  let progress: Progress | undefined;
  try {
    // 3. Scores and metrics.
    detector = await Detector.open(checkpoint, evalDetector(options, dataset.layout, say));
    const settings = evaluationSettings(options, { ...benchmark, ...tested }, detector);
    for (const notice of scoringNotices(detector, options, isGiven, settings)) say(notice);
    for (const notice of idleMapOptions(dataset, report !== undefined, isGiven)) say(notice);
    store = await RecordStore.open(options.work, dataset, detector);
    if (shared) await recordOnWorkers(options, shared, { dataset, store, maskings, signal });
    progress = new Progress("frames", frameTotal(dataset, maskings), options.quiet ?? false, true);
    const onFrames = (count: number) => progress?.advance(count);
    const result = await evaluate(dataset, detector, { settings, maskings, records: store, signal, onFrames });
    progress.stop();
    for (const line of remarks) say(line);
    if (isGiven("fps") && result.videos.every(({ times }) => times)) {
      say("--fps has no effect: all videos have their own times");
    }
    const isPart = dataset.test.length < whole.test.length;
    if (isPart) {
      const chosen = `${dataset.test.length} of ${whole.test.length} ${options.split} videos`;
      result.notes.unshift(`only ${chosen}: not comparable with the paper's figures`);
    }
    // 4. What is printed and written.
    const all = { result, settings, benchmark, dataset, detector, maskings, isPart };
    if (toStdout) console.log(JSON.stringify(evaluationJson(all)));
    else for (const line of summaryLines(all)) console.log(line);
    if (json) {
      await json.write(`${JSON.stringify(evaluationJson(all))}\n`);
      await json.commit();
      say(`metrics and scores: ${options.json}`);
    }
    if (report !== undefined) {
      progress = new Progress("videos of the report", dataset.test.length, options.quiet ?? false);
      const page = join(report.folder, "index.html");
      await writeReport(page, {
        title: `${benchmarkTitle(all)}, ${basename(options.checkpoint)}`,
        dataset,
        result,
        settings,
        metrics: reportMetrics(all),
        facts: facts(all),
        records: (video) => readRecords(store as RecordStore, video, options.seed, maskings),
        onVideo: () => progress?.advance(),
        signal,
      });
      progress.stop();
      say(`report: ${page}`);
    }
    done = true;
  } finally {
    progress?.stop();
    // A run that failed leaves no new file, and no new folder if it is empty.
    if (!done && report?.made) await rmdir(report.folder).catch(() => undefined);
    await json?.discard();
    await store?.close();
    detector?.close();
  }
}

/** How many frames are scored, if all videos say how many they have. */
function frameTotal(dataset: Dataset, maskings: number): number | undefined {
  const frames = knownTotal(dataset.test.map(({ frameCount }) => frameCount));
  return frames && maskings * frames;
}

function onlyVideos(dataset: Dataset, names: readonly string[] | undefined): Dataset {
  if (!names) return dataset;
  if (names.length === 0) throw new InputError("--videos names no video");
  for (const name of names) {
    if (!dataset.test.some((video) => video.name === name)) {
      const all = dataset.test.map((video) => video.name).join(", ");
      const split = dataset.testSplit ?? "test";
      throw new InputError(
        `--videos: ${dataset.root} has no ${split} video "${name}"; its ${split} videos: ${all || "none"}`,
      );
    }
  }
  return { ...dataset, test: dataset.test.filter((video) => names.includes(video.name)) };
}

/** A data set whose test videos add what their sources remark to `lines`, once they were read. */
function withRemarks(dataset: Dataset, lines: Set<string>): Dataset {
  const test = dataset.test.map((video): DatasetVideo => {
    const open = async (): Promise<FrameSource> => {
      const source = await video.open();
      async function* frames(signal?: AbortSignal): AsyncGenerator<Frame> {
        yield* source.frames(signal);
        for (const note of source.notes ?? []) lines.add(note);
        for (const line of source.warnings ?? []) lines.add(`warning: ${line}`);
      }
      return { ...source, frames };
    };
    return { ...video, open };
  });
  return { ...dataset, test };
}

function evaluationSettings(
  options: EvalOptions,
  { smoothing, normalize, fps }: Pick<EvaluationSettings, "smoothing" | "normalize" | "fps">,
  detector: Detector,
): EvaluationSettings {
  const { regionQuantile, alpha, beta, threshold } = options;
  const { score: rule, frameScore } = detector.settings;
  const { config, extras } = detector.checkpoint;
  const hasStudent = config.studentDepth > 0;
  const map = options.map ?? mapFor(frameScore.scoring, hasTrainedStudent(config, extras));
  if (!hasStudent && map === "cleaned-map") {
    throw new InputError("--map cleaned-map needs a student, which this model does not have");
  }
  return measured(options, {
    ...{ ...paperEvaluation, ...frameScore, rule, smoothing, normalize },
    ...{ map, regionQuantile, alpha, beta, fps: options.fps ?? fps },
    ...(threshold !== undefined && { threshold }),
  });
}

/** Lines for the options about regions that were given, if a data set has no regions. */
function idleMapOptions({ test, root }: Dataset, hasReport: boolean, isGiven: IsGiven): string[] {
  if (test.some((video) => video.mask || video.tracks)) return [];
  const flags = { map: "--map", regionQuantile: "--region-quantile", alpha: "--alpha", beta: "--beta" };
  return Object.entries(flags).flatMap(([name, flag]) =>
    // A report shows the map.
    isGiven(name) && !(hasReport && name === "map")
      ? [`${flag} has no effect: ${root} has no pixel masks and no tracks`]
      : [],
  );
}

/** The report's folder, and whether this call made it. */
async function reportFolder(folder: string): Promise<{ folder: string; made: boolean }> {
  return { folder, made: await makeFolder(folder, `--report ${folder}`) };
}

async function readRecords(
  store: RecordStore,
  video: DatasetVideo,
  seed: number,
  maskings: number,
): Promise<VideoRecord[]> {
  const records: VideoRecord[] = [];
  for (let i = 0; i < maskings; i++) {
    const record = await store.read(video.name, seed + i);
    if (!record) throw new InputError(`the record of ${video.name} was removed while the report was written`);
    records.push(record);
  }
  return records;
}
