import { join } from "node:path";
import { Command, Option } from "commander";
import { counted } from "../../counted.js";
import { trainingObjects } from "../../data/anomalies/drawn_kinds.js";
import { drawnCount, drawObjects } from "../../data/anomalies/drawn_object.js";
import { buildForegroundLibrary, keptCrop } from "../../data/anomalies/library.js";
import { type PseudoAnomalyOptions, pseudoAnomalyDefaults } from "../../data/anomalies/pseudo_anomaly.js";
import type { Dataset, DatasetVideo } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { type AnomalyFrame, pastePseudoAnomalies, pasteSequences } from "../../node/anomalies/anomaly_frames.js";
import { contactSheet, type Moment, MomentFinder } from "../../node/anomalies/contact_sheet.js";
import { AnomalyOutput, type AnomalyVideo } from "../../node/anomalies/output.js";
import { abnormalVideos, extractSequences, listSequences } from "../../node/anomalies/sequences.js";
import { layoutNames, openDataset } from "../../node/datasets/index.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { oneLine } from "../../node/files/messages.js";
import { uniformGenerator } from "../../random.js";
import { wholeNumber } from "../options/parse.js";
import { pseudoOf, pseudoOptions } from "../options/pseudo_anomalies.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";
import { Progress } from "../terminal/progress.js";

interface CommonOptions {
  out?: string;
  inPlace?: boolean;
  dataset?: string;
  seed: number;
  preview?: string;
  quiet?: boolean;
}

interface UbnormalOptions extends CommonOptions {
  datasetRoot: string;
  sequences?: string;
}

type PseudoOptions = CommonOptions & Partial<PseudoAnomalyOptions>;

/** Memory for pixels of cut-outs. */
const cropBytes = 256e6;
/** Number of videos that a contact sheet shows. */
const previewVideos = 6;

/**
 * `create-anomalies ubnormal|pseudo`: writes training frames with pasted anomalies, and their
 * masks.
 */
export function createAnomaliesCommand(): Command {
  const ubnormal = new Command("ubnormal")
    .summary("paste objects cut out of UBnormal's videos")
    .description(
      "Cuts abnormal objects out of UBnormal's videos, and pastes them into the training frames of another data set, at 640x320 " +
        "pixels, as the authors' code does.",
    )
    .argument("<ubnormal-root>", "UBnormal's folder: as distributed, or with train/frames and train/annotations")
    .requiredOption("--dataset-root <dir>", "the data set to paste into")
    .option("--sequences <dir>", "where to keep cut-outs (default: UBNORMAL_ROOT/abnormal_sequences)");
  const pseudo = new Command("pseudo")
    .summary("paste cut-outs and speed-ups made from the training videos themselves")
    .description(
      "Makes anomalies from the training videos themselves: people and things cut out of other videos, larger and faster (cut-outs), " +
        "and windows in which time runs faster (speed-ups). The cameras must not move.",
    )
    .argument("<root>", "the data set to cut out of and to paste into");
  for (const command of [ubnormal, pseudo]) {
    command
      .option("-o, --out <dir>", "write DIR/train/frames and DIR/train/masks")
      .addOption(
        new Option(
          "--in-place",
          "write frames_abnormal and masks_abnormal beside the data set's training videos, where `train` looks for them",
        ).conflicts("out"),
      )
      .option(
        "--preview <file>",
        "write a contact sheet (.png) of some moments; without --out and --in-place only that",
      )
      .addOption(new Option("--dataset <name>", "the data set's layout (default: detected)").choices(layoutNames))
      .addOption(
        new Option("--seed <n>", "the same seed makes the same anomalies").default(0).argParser(wholeNumber(0)),
      )
      .option("-q, --quiet", "no progress, no summary");
  }
  for (const option of pseudoOptions()) {
    // Decoys are pasted into normal samples, and those are not written.
    if (!["decoys", "objects"].includes(option.attributeName())) pseudo.addOption(option);
  }
  ubnormal.action((root: string, options: UbnormalOptions) =>
    interruptible((signal) => createFromUbnormal(root, options, signal)),
  );
  ubnormal.addHelpText(
    "after",
    examples("node tools/create-anomalies.js ubnormal UBNORMAL --dataset-root ped2/ --out anomalies/"),
  );
  pseudo.addHelpText(
    "after",
    examples("node tools/create-anomalies.js pseudo ped2/ --out anomalies/ --preview sheet.png"),
  );
  pseudo.action((root: string, options: PseudoOptions) =>
    interruptible((signal) => createPseudo(root, options, signal)),
  );
  return new Command("create-anomalies")
    .summary("write training frames with pasted anomalies")
    .description("Writes training frames with pasted anomalies, and masks of the anomalies.")
    .addCommand(ubnormal)
    .addCommand(pseudo);
}

async function createFromUbnormal(root: string, options: UbnormalOptions, signal: AbortSignal): Promise<void> {
  const { seed, quiet = false } = options;
  const videos = await abnormalVideos(root);
  await withJob(options.datasetRoot, options, { kind: "ubnormal", seed }, async (job) => {
    const folder = options.sequences ?? join(root, "abnormal_sequences");
    const progress = new Progress("videos of UBnormal", videos.length, quiet);
    const without: string[] = [];
    try {
      for (const video of videos) {
        if ((await extractSequences(video, folder, signal)) === 0) without.push(video.name);
        progress.advance();
      }
    } finally {
      progress.stop();
    }
    if (without.length > 0) process.stderr.write(`warning: no tracks in ${without.map(oneLine).join(", ")}\n`);
    const library = await listSequences(folder);
    await create(job, options, signal, (video) => pasteSequences(video, library, seed, signal));
  });
}

async function createPseudo(root: string, options: PseudoOptions, signal: AbortSignal): Promise<void> {
  const { seed, quiet = false } = options;
  const how = pseudoOf(options, pseudoAnomalyDefaults);
  await withJob(root, options, { kind: "pseudo", seed, ...how }, async (job) => {
    const { train } = job.dataset;
    const count = frameCount(train);
    const progress = new Progress("frames looked through", count && 2 * count, quiet);
    const found = await buildForegroundLibrary(train, {
      cropBytes,
      signal,
      onFrame: () => progress.advance(),
    }).finally(() => progress.stop());
    const what = { kinds: trainingObjects, count: drawnCount, seed, cropOf: keptCrop };
    const library = how.drawn > 0 ? { ...found, drawn: (await drawObjects(found, what)).clip } : found;
    await create(job, options, signal, (video, i) => pastePseudoAnomalies(video, library, i, how, seed, signal));
  });
}

/** Opens a job for `work`, and removes what it left unfinished. */
async function withJob(
  root: string,
  options: CommonOptions,
  settings: Record<string, unknown>,
  work: (job: Job) => Promise<void>,
): Promise<void> {
  const job = await openJob(root, options, settings);
  try {
    await work(job);
  } finally {
    await job.output?.tidy();
  }
}

interface Job {
  dataset: Dataset;
  output: AnomalyOutput | undefined;
  /** The folder that holds frames and masks. */
  folder: string;
}

async function openJob(root: string, options: CommonOptions, settings: Record<string, unknown>): Promise<Job> {
  const { out, inPlace, preview } = options;
  if (out === undefined && !inPlace && preview === undefined) {
    throw new InputError("nothing to write: give --out DIR, --in-place or --preview FILE");
  }
  if (preview !== undefined && !/\.png$/i.test(preview)) {
    throw new InputError(`--preview ${oneLine(preview)}: the name must end in .png`);
  }
  const dataset = await openDataset(root, { layout: options.dataset });
  if (dataset.train.length === 0) throw new InputError(`${oneLine(root)} has no training video`);
  const folder = out === undefined ? (dataset.trainFolder ?? join(root, "train")) : join(out, "train");
  const isWritten = out !== undefined || inPlace === true;
  const output = isWritten ? await AnomalyOutput.open(folder, inPlace ? "training" : "original", settings) : undefined;
  return { dataset, output, folder };
}

/** Writes every training video that is not there yet, and the contact sheet; prints a summary. */
async function create(
  { dataset: { train }, output, folder }: Job,
  { seed, preview, quiet = false }: CommonOptions,
  signal: AbortSignal,
  framesOf: (video: DatasetVideo, index: number) => AsyncGenerator<AnomalyFrame>,
): Promise<void> {
  const moments: Moment[] = [];
  const stride = Math.ceil(train.length / previewVideos);
  const random = uniformGenerator(seed);
  const progress = new Progress("frames", output ? frameCount(train) : undefined, quiet);
  let [written, abnormal, kept] = [0, 0, 0];
  try {
    for (const [i, video] of train.entries()) {
      signal.throwIfAborted();
      const from = Math.floor(random() * Math.min(60, (video.frameCount ?? 60) / 2));
      const finder = preview !== undefined && i % stride === 0 ? new MomentFinder(from) : undefined;
      const isThere = output?.has(video.name);
      if (isThere) kept++;
      if (isThere && video.frameCount !== undefined) progress.advance(video.frameCount);
      const target = isThere ? undefined : await output?.video(video.name);
      if (!target && !finder) continue;
      const pasted = await writeVideo(framesOf(video, i), target, finder, signal, () => {
        if (!isThere) progress.advance();
      });
      written += pasted.written;
      abnormal += pasted.abnormal;
      if (pasted.moment) moments.push(pasted.moment);
    }
  } finally {
    progress.stop();
  }
  if (preview !== undefined && moments.length > 0) await writeFileAtomic(preview, await contactSheet(moments));
  if (preview !== undefined && moments.length === 0) {
    process.stderr.write(`warning: ${oneLine(preview)} is not written, because nothing was pasted\n`);
  }
  if (quiet) return;
  const there = kept > 0 ? `; there already: ${counted(kept, "video")}` : "";
  if (output)
    console.log(
      `${counted(written, "frame")} written to ${oneLine(folder)}, ${abnormal} of them abnormal, in ${progress.seconds.toFixed(1)} s${there}`,
    );
  if (moments.length > 0) console.log(`${moments.length} moments shown in ${oneLine(preview ?? "")}`);
}

/**
 * Writes the frames of one video, and finds its moment for the contact sheet.
 * @param target absent if only the moment is wanted; then the rest of the video is not read
 */
async function writeVideo(
  frames: AsyncGenerator<AnomalyFrame>,
  target: AnomalyVideo | undefined,
  finder: MomentFinder | undefined,
  signal: AbortSignal,
  onFrame: () => void,
): Promise<{ written: number; abnormal: number; moment?: Moment }> {
  let [written, abnormal] = [0, 0];
  let moment: Moment | undefined;
  try {
    for await (const frame of frames) {
      signal.throwIfAborted();
      await target?.write(frame.number, frame.frame, frame.mask);
      onFrame();
      if (target) {
        written++;
        if (frame.mask.data.some((value) => value > 0)) abnormal++;
      }
      moment ??= finder?.add(frame);
      if (!target && moment) break;
    }
    await target?.commit();
  } finally {
    await target?.discard();
  }
  return { written, abnormal, moment };
}

/** The number of frames; undefined if a video does not say. */
function frameCount(videos: readonly DatasetVideo[]): number | undefined {
  let total = 0;
  for (const { frameCount: own } of videos) {
    if (own === undefined) return undefined;
    total += own;
  }
  return total;
}
