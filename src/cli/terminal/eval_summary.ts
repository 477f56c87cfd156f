// An evaluation as text: what `eval` prints, what --json writes, and the facts of a report.
import { counted } from "../../counted.js";
import type { Dataset } from "../../data/dataset.js";
import type { Benchmark, Published } from "../../eval/benchmarks.js";
import type { EvaluationResult, EvaluationSettings } from "../../eval/evaluation.js";
import type { Detector } from "../../node/detector.js";
import { versions } from "../../node/files/versions.js";
import type { ReportMetric } from "../../report/evaluation/page_file.js";
import { duration, score } from "../../report/web/format.js";
import { type Fact, frameScoreText, machineFacts, modelFacts } from "./facts.js";
import { percent, table } from "./table.js";

/** An evaluation, and what it was made with. */
export interface Evaluated {
  result: EvaluationResult;
  settings: EvaluationSettings;
  benchmark: Benchmark;
  dataset: Dataset;
  detector: Detector;
  maskings: number;
  /** Whether only some videos of the split were measured. */
  isPart: boolean;
}

/** The data set's name, with its split unless that is the usual one. */
export function benchmarkTitle({ benchmark, dataset }: Pick<Evaluated, "benchmark" | "dataset">): string {
  return dataset.testSplit === undefined ? benchmark.title : `${benchmark.title} (${dataset.testSplit})`;
}

/** The metrics in percent, beside the paper's figures. */
export function metrics({ result, benchmark, dataset, isPart }: Evaluated): ReportMetric[] {
  // The paper's figures are of all test videos.
  const published: Published = dataset.testSplit === undefined && !isPart ? benchmark.published : {};
  const inPercent = (share: number | undefined) => share !== undefined && { value: 100 * share };
  const hasMasks = dataset.test.some((video) => video.mask);
  const hasTracks = hasMasks || dataset.test.some((video) => video.tracks);
  const noLabels = "needs labels of normal and abnormal frames";
  const upToOne = "mean over 0 to 1 false alarms per frame";
  const rows: [string, number | undefined, number | undefined, string, string][] = [
    ["micro-AUC", result.microAuc, published.microAuc, "over the frames of all videos together", noLabels],
    [
      "macro-AUC",
      result.macroAuc,
      published.macroAuc,
      "mean of the videos' AUCs, with one point added at both ends of each",
      noLabels,
    ],
    [
      "EER",
      result.equalErrorRate?.rate,
      undefined,
      "equal-error rate: false alarms and misses are equally frequent; lower is better",
      noLabels,
    ],
    [
      "pixel AUC",
      result.pixelAuc,
      undefined,
      "a frame counts as found if 40 % of its abnormal pixels are found",
      hasMasks ? "needs normal and abnormal frames" : "needs pixel masks",
    ],
    [
      "RBDC",
      result.rbdc,
      published.rbdc,
      `share of abnormal regions found, ${upToOne}`,
      hasTracks ? "needs abnormal regions" : "needs tracks or pixel masks",
    ],
    [
      "TBDC",
      result.tbdc,
      published.tbdc,
      `share of abnormal tracks found, ${upToOne}`,
      hasTracks ? "needs abnormal regions" : "needs tracks or pixel masks",
    ],
  ];
  return rows.map(([name, value, paper, meaning, absent]) => ({
    name,
    ...inPercent(value),
    ...(paper !== undefined && { published: paper }),
    note: value === undefined ? absent : meaning,
  }));
}

/** Events and alarms, as names, figures and meanings. */
function eventRows({ result: { events }, settings }: Evaluated): [name: string, text: string, note: string][] {
  if (!events) return [];
  const { found, falseAlarms, falseAlarmsPerHour, hours, delay, threshold } = events;
  const seconds = (value: number) => `${value.toFixed(1)}\u00a0s`;
  const watched = duration(3600 * hours);
  const which =
    settings.threshold === undefined ? "the threshold of the equal-error rate" : "the threshold, by the rule of score";
  return [
    ["events found", `${found} of ${events.events}`, `at ${which}, ${score(threshold)}`],
    [
      "false alarms",
      `${falseAlarmsPerHour < 100 ? falseAlarmsPerHour.toPrecision(3) : falseAlarmsPerHour.toFixed(0)} / h`,
      `${counted(falseAlarms, "false alarm")} in ${watched} of video`,
    ],
    [
      "delay",
      delay ? seconds(delay.median) : "-",
      delay
        ? `median time from an event's begin to its first alarm; the longest is ${seconds(delay.longest)}`
        : "no event was found",
    ],
  ];
}

/** {@link metrics}, and what a report shows of events. */
export function reportMetrics(evaluated: Evaluated): ReportMetric[] {
  return [...metrics(evaluated), ...eventRows(evaluated).map(([name, text, note]) => ({ name, text, note }))];
}

/** The lines that `eval` prints. */
export function summaryLines(evaluated: Evaluated): string[] {
  const { result, dataset, detector, isPart } = evaluated;
  const videos = result.videos.map(({ name, frames, labels, auc }) => [
    name,
    String(frames.length),
    labels ? percent(mean(labels)) : "-",
    percent(auc),
  ]);
  const rows = metrics(evaluated).map(({ name, value, published, note }) => [
    name,
    value?.toFixed(2) ?? "-",
    ...(isPart ? [] : [published?.toFixed(2) ?? "-"]),
    note ?? "",
  ]);
  const count = result.videos.length;
  return [
    `${benchmarkTitle(evaluated)}, ${dataset.root}: ${counted(count, `${dataset.testSplit ?? "test"} video`)}`,
    "",
    ...table(["video", "frames", "abnormal %", "AUC %"], videos),
    "",
    ...table(["in percent", "here", ...(isPart ? [] : ["paper"]), ""], rows, true),
    "",
    ...eventLines(evaluated),
    ...result.notes.map((note) => `note: ${note}`),
    settingsLine(evaluated),
    `adapter: ${detector.gpu.adapter.description}`,
  ];
}

function eventLines(evaluated: Evaluated): string[] {
  const rows = eventRows(evaluated).map(([name, text, note]) => [name, text, note]);
  return rows.length === 0 ? [] : [...table(["events", "", ""], rows, true), ""];
}

function mean(values: ArrayLike<number>): number {
  return values.length === 0 ? Number.NaN : Array.from(values).reduce((a, b) => a + b, 0) / values.length;
}

function settingsLine({ settings, detector, maskings }: Evaluated): string {
  const { size, maskRatio, masking, norm } = detector.settings;
  const model = `${size.height}x${size.width}, ${masking} masks, ratio ${maskRatio}, seed ${detector.seed}`;
  const times = maskings > 1 ? `, ${maskings} maskings` : "";
  return `settings: ${model}${times}; frame score: ${frameScoreText(settings, norm)}; smoothing: ${smoothingText(settings)}; regions in ${settings.map}`;
}

function smoothingText({ smoothing, normalize }: EvaluationSettings): string {
  const filter =
    smoothing.kind === "paper"
      ? `paper's filter, range ${smoothing.range}, mu ${smoothing.mu}`
      : smoothing.kind === "gaussian"
        ? `Gaussian, sigma ${smoothing.sigma}`
        : "none";
  return normalize ? `${filter}; each video scaled to 0…1` : filter;
}

/** Settings and versions, for a report. */
export function facts(evaluated: Evaluated): Fact[] {
  const { settings, dataset, detector, maskings } = evaluated;
  return [
    ["data set", `${benchmarkTitle(evaluated)}, layout ${dataset.layout}, ${dataset.root}`],
    ...modelFacts(detector, maskings),
    ["frame score", frameScoreText(settings, detector.settings.norm)],
    ["smoothing", smoothingText(settings)],
    [
      "regions",
      `where ${settings.map} reaches its ${settings.regionQuantile} quantile; alpha ${settings.alpha}, beta ${settings.beta}`,
    ],
    ...machineFacts(detector),
  ];
}

/** The content of the file that `--json` writes: metrics in percent, settings, and every frame. */
export function evaluationJson(evaluated: Evaluated): object {
  const { result, settings, dataset, detector, maskings } = evaluated;
  const digits = (values: ArrayLike<number>) => Array.from(values, (v) => Number(v.toPrecision(9)));
  return {
    dataset: {
      layout: dataset.layout,
      root: dataset.root,
      split: dataset.testSplit ?? "test",
      videos: dataset.test.map((video) => video.name),
    },
    checkpoint: detector.checkpoint.source,
    model: detector.settings,
    seed: detector.seed,
    maskings,
    settings,
    metrics: metrics(evaluated),
    threshold: result.equalErrorRate?.threshold,
    events: result.events,
    notes: result.notes,
    adapter: detector.gpu.adapter,
    versions: versions(),
    videos: result.videos.map(({ name, frames, times, raw, scores, labels, auc }) => ({
      name,
      auc: auc === undefined ? undefined : 100 * auc,
      frames,
      times,
      raw: digits(raw),
      scores: digits(scores),
      labels: labels && Array.from(labels),
    })),
  };
}
