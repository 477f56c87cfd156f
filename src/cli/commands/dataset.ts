import { Command, Option } from "commander";
import { counted, knownTotal } from "../../counted.js";
import type { DatasetVideo } from "../../data/dataset.js";
import { layoutNames, openDataset } from "../../node/datasets/index.js";
import { glance, type VideoFindings, verify } from "../../node/datasets/verify.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { oneLine } from "../../node/files/messages.js";
import { inFlight } from "../../node/media/in_flight.js";
import { CheckFailed } from "../check_failed.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";
import { Progress } from "../terminal/progress.js";
import { table } from "../terminal/table.js";

interface DatasetCommandOptions {
  dataset?: string;
  labels?: string;
  verify?: boolean;
  json?: string;
  quiet?: boolean;
}

/** In the order in which they are listed; validation only if there is one. */
const splits = ["train", "validation", "test"] as const;

/** What is known of a video: a row of the table. */
interface VideoReport {
  split: (typeof splits)[number];
  name: string;
  path: string;
  frames?: number;
  estimatedFrames?: number;
  width?: number;
  height?: number;
  fps?: number;
  hasLabels: boolean;
  /** Runs of abnormal frames: positions from 0, both inclusive. */
  abnormal?: [first: number, last: number][];
  abnormalFrames?: number;
  hasMasks: boolean;
  masks?: number;
  hasTracks: boolean;
  tracks?: number;
  faults: string[];
}

/** `dataset ROOT`: lists what a data set holds, and its faults. */
export function datasetCommand(): Command {
  return new Command("dataset")
    .summary("list what a data set holds, and its faults")
    .description("Lists what a data set holds: videos, frames, sizes, labels, masks, tracks, and what is missing.")
    .argument("<root>", "the data set's folder, with train/ and test/")
    .option("--verify", "decode every frame and every mask, and list every fault")
    .addOption(new Option("--dataset <name>", "the data set's layout (default: detected)").choices(layoutNames))
    .option("--labels <dir>", "folder of the labels, VIDEO.txt, .csv, .npy or .mat (default: the layout's)")
    .option("--json <file>", "write everything as JSON; - prints it in place of the tables")
    .option("-q, --quiet", "no progress")
    .addHelpText("after", examples("npx sdmae dataset ped2/ --verify"))
    .action((root: string, options: DatasetCommandOptions) => interruptible((signal) => show(root, options, signal)));
}

async function show(root: string, options: DatasetCommandOptions, signal: AbortSignal): Promise<void> {
  const faults: string[] = [];
  const dataset = await openDataset(root, {
    layout: options.dataset,
    labels: options.labels,
    onFault: (fault) => faults.push(fault.message),
  });
  const videos = await examine(
    splits.flatMap((split) => (dataset[split] ?? []).map((video) => ({ split, video }))),
    // UBnormal stores its tracks in images, tens of thousands of them.
    { verify: options.verify ?? false, skipTracks: dataset.layout === "ubnormal", quiet: options.quiet ?? false },
    signal,
  );
  faults.push(...videos.flatMap((video) => video.faults));
  const { layout, notes } = dataset;
  const report = { root, layout, verified: options.verify ?? false, splits: totals(videos), videos, notes, faults };
  const json = `${JSON.stringify(report, null, 2)}\n`;
  if (options.json === "-") {
    process.stdout.write(json);
  } else {
    for (const line of describe(report)) console.log(line);
    if (options.json !== undefined) {
      await writeFileAtomic(options.json, json);
      console.log(`written to ${options.json}`);
    }
  }
  if (faults.length > 0) throw new CheckFailed(`${oneLine(root)} has ${counted(faults.length, "fault")}`);
}

async function examine(
  all: { split: VideoReport["split"]; video: DatasetVideo }[],
  how: { verify: boolean; skipTracks: boolean; quiet: boolean },
  signal: AbortSignal,
): Promise<VideoReport[]> {
  // A mask is one more image per frame.
  const images = all.flatMap(({ video: { frameCount, mask } }) => (mask ? [frameCount, frameCount] : [frameCount]));
  const progress = how.verify
    ? new Progress("images", knownTotal(images), how.quiet)
    : new Progress("videos", all.length, how.quiet);
  const reports: VideoReport[] = [];
  try {
    // Verifying a video decodes several images at once already.
    await inFlight(all, how.verify ? 1 : 4, async ({ split, video }, index) => {
      signal.throwIfAborted();
      const findings = how.verify
        ? await verify(video, { signal }, () => progress.advance())
        : await glance(video, { skipTracks: how.skipTracks, signal });
      reports[index] = reportOf(split, video, findings);
      if (!how.verify) progress.advance();
    });
  } finally {
    progress.stop();
  }
  return reports;
}

function reportOf(split: VideoReport["split"], video: DatasetVideo, findings: VideoFindings): VideoReport {
  const { frames, estimatedFrames, width, height, fps, labels, masks, tracks, faults } = findings;
  return {
    split,
    name: video.name,
    path: video.path,
    frames,
    ...(frames === undefined ? { estimatedFrames } : {}),
    width,
    height,
    fps,
    hasLabels: video.labels !== undefined,
    ...(labels && { abnormal: ranges(labels), abnormalFrames: labels.reduce((sum, label) => sum + label, 0) }),
    hasMasks: video.mask !== undefined,
    masks,
    hasTracks: video.tracks !== undefined,
    tracks: tracks && new Set(tracks.map((box) => box.track)).size,
    faults,
  };
}

/** Runs of ones: positions from 0, both inclusive. */
function ranges(labels: Uint8Array): [number, number][] {
  const found: [number, number][] = [];
  labels.forEach((label, i) => {
    if (label !== 1) return;
    const last = found.at(-1);
    if (last && last[1] === i - 1) last[1] = i;
    else found.push([i, i]);
  });
  return found;
}

interface SplitTotals {
  videos: number;
  /** Counted frames, and what headers promise if {@link isEstimate}. */
  frames: number;
  isEstimate: boolean;
  /** "360×240", the most frequent first. */
  sizes: string[];
  labels: number;
  labelledFrames: number;
  abnormalFrames: number;
  masks: number;
  tracks: number;
}

/** Totals by split; of validation only if there are such videos. */
type Totals = Record<"train" | "test", SplitTotals> & { validation?: SplitTotals };

function totals(videos: readonly VideoReport[]): Totals {
  const of = (split: VideoReport["split"]): SplitTotals => {
    const own = videos.filter((video) => video.split === split);
    const sum = (value: (video: VideoReport) => number | undefined) => own.reduce((all, v) => all + (value(v) ?? 0), 0);
    const sizes = new Map<string, number>();
    for (const video of own) {
      if (video.width !== undefined) sizes.set(sizeOf(video), (sizes.get(sizeOf(video)) ?? 0) + 1);
    }
    return {
      videos: own.length,
      frames: sum((v) => v.frames ?? v.estimatedFrames),
      isEstimate: own.some((v) => v.frames === undefined),
      sizes: [...sizes].sort((a, b) => b[1] - a[1]).map(([size]) => size),
      labels: sum((v) => Number(v.hasLabels)),
      labelledFrames: sum((v) => (v.abnormal ? (v.frames ?? v.estimatedFrames) : 0)),
      abnormalFrames: sum((v) => v.abnormalFrames),
      masks: sum((v) => Number(v.hasMasks)),
      tracks: sum((v) => Number(v.hasTracks)),
    };
  };
  const validation = of("validation");
  return { train: of("train"), ...(validation.videos > 0 && { validation }), test: of("test") };
}

interface Report {
  root: string;
  layout: string;
  verified: boolean;
  splits: Totals;
  videos: VideoReport[];
  notes: readonly string[];
  faults: readonly string[];
}

/** The lines that the command prints. */
function describe({ root, layout, verified, splits: bySplit, videos, notes, faults }: Report): string[] {
  const splitRows = splits.flatMap((split) => {
    const totals = bySplit[split];
    if (!totals) return [];
    const { videos, frames, isEstimate, sizes, labels, labelledFrames, abnormalFrames, masks, tracks } = totals;
    const share = `${abnormalFrames} (${((100 * abnormalFrames) / labelledFrames).toFixed(1)} %)`;
    const shownSizes = sizes.length > 2 ? `${sizes.slice(0, 2).join(", ")} …` : sizes.join(", ");
    const row = [
      split,
      String(videos),
      `${isEstimate ? "~" : ""}${frames}`,
      shownSizes || "-",
      labelledFrames > 0 ? share : "-",
      ...[labels, masks, tracks].map((count) => (count === 0 ? "-" : `${count} of ${videos}`)),
    ];
    return [row];
  });
  const videoRows = videos.map((video) => [
    `${video.split}/${oneLine(video.name)}`,
    video.frames === undefined ? `~${video.estimatedFrames ?? "?"}` : String(video.frames),
    video.width === undefined ? "-" : sizeOf(video),
    video.fps === undefined ? "-" : String(Number(video.fps.toFixed(2))),
    labelsInShort(video),
    video.hasMasks ? String(video.masks ?? "yes") : "-",
    video.hasTracks ? String(video.tracks ?? "yes") : "-",
  ]);
  return [
    `${oneLine(root)}: layout ${layout}${verified ? ", every frame decoded" : ""}`,
    "",
    ...filled(["split", "videos", "frames", "size", "abnormal", "labels", "masks", "tracks"], splitRows),
    "",
    ...filled(["video", "frames", "size", "fps", "abnormal (from 0)", "masks", "tracks"], videoRows),
    ...(notes.length > 0 ? ["", ...notes.map((note) => `note: ${oneLine(note)}`)] : []),
    ...(faults.length > 0 ? ["", ...faults.map((fault) => `fault: ${fault}`)] : []),
  ];
}

const sizeOf = ({ width, height }: VideoReport) => `${width}×${height}`;

function labelsInShort({ hasLabels, abnormal }: VideoReport): string {
  if (!hasLabels) return "-";
  if (!abnormal) return "?";
  if (abnormal.length === 0) return "none";
  const shown = abnormal.slice(0, 4).map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`));
  return abnormal.length > 4 ? `${shown.join(" ")} … (${abnormal.length})` : shown.join(" ");
}

/** A table without its empty columns. */
function filled(head: readonly string[], rows: readonly string[][]): string[] {
  const columns = head.map((_, c) => c).filter((c) => rows.some((row) => row[c] !== "-"));
  const pick = (cells: readonly string[]) => columns.map((c) => cells[c]);
  return table(pick(head), rows.map(pick));
}
