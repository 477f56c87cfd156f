import { join } from "node:path";
import { Command, Option } from "commander";
import { buildForegroundLibrary } from "../../data/anomalies/library.js";
import { type PseudoAnomalyOptions, pseudoAnomalyDefaults } from "../../data/anomalies/pseudo_anomaly.js";
import type { Dataset, DatasetVideo } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { type AnomalyFrame, pastePseudoAnomalies, pasteSequences } from "../../node/anomalies/anomaly_frames.js";
import { contactSheet, type Moment, MomentFinder } from "../../node/anomalies/contact_sheet.js";
import { AnomalyOutput } from "../../node/anomalies/output.js";
import { abnormalVideos, extractSequences, listSequences } from "../../node/anomalies/sequences.js";
import { layoutNames, openDataset } from "../../node/datasets/index.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { oneLine } from "../../node/files/messages.js";
import { uniformGenerator } from "../../random.js";
import { wholeNumber } from "../options/parse.js";
import { pseudoOf, pseudoOptions } from "../options/pseudo_anomalies.js";
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
/** Videos that a contact sheet shows. */
const previewVideos = 6;

/** `create-anomalies ubnormal|pseudo`: training frames with something abnormal in them, and masks of it. */
export function createAnomaliesCommand(): Command {
  const ubnormal = new Command("ubnormal")
    .description(
      "Cuts the abnormal objects out of UBnormal's videos, and pastes them into the training frames of another data set, at 640x320 " +
        "pixels, as the authors' code does.",
    )
    .argument("<ubnormal-root>", "UBnormal: train/frames and train/annotations")
    .requiredOption("--dataset-root <dir>", "the data set whose training frames are pasted into")
    .option("--sequences <dir>", "where cut-outs are kept (default: UBNORMAL_ROOT/abnormal_sequences)");
  const pseudo = new Command("pseudo")
    .description(
      "Makes anomalies of the training videos themselves: people and things cut out of other videos, larger and faster (cut-outs), and " +
        "windows in which time runs faster (speed-ups). For cameras that stand still.",
    )
    .argument("<root>", "the data set whose training frames are pasted into, and cut out of");
  for (const option of pseudoOptions()) pseudo.addOption(option);
  for (const command of [ubnormal, pseudo]) {
    command
      .option("-o, --out <dir>", "write DIR/train/frames and DIR/train/masks")
      .addOption(
        new Option(
          "--in-place",
          "write train/frames_abnormal and train/masks_abnormal under the data set's root, where training looks for them",
        ).conflicts("out"),
      )
      .addOption(new Option("--dataset <name>", "the data set's layout (default: found out)").choices(layoutNames))
      .addOption(
        new Option("--seed <n>", "the same seed makes the same anomalies").default(0).argParser(wholeNumber(0)),
      )
      .option("--preview <file>", "write a contact sheet (.png) of some moments; alone, nothing else is written")
      .option("-q, --quiet", "no progress, no summary");
  }
  ubnormal.action((root: string, options: UbnormalOptions) =>
    interruptible((signal) => createFromUbnormal(root, options, signal)),
  );
  pseudo.action((root: string, options: PseudoOptions) =>
    interruptible((signal) => createPseudo(root, options, signal)),
  );
  return new Command("create-anomalies")
    .description("Writes training frames with something abnormal in them, and masks of it.")
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
        if ((await extractSequences(root, video, folder, signal)) === 0) without.push(video);
        progress.advance();
      }
    } finally {
      progress.stop();
    }
    if (without.length > 0) process.stderr.write(`warning: no tracks: ${without.map(oneLine).join(", ")}\n`);
    const library = await listSequences(folder);
    await create(job, options, signal, (video) => pasteSequences(video, library, seed, signal));
  });
}

async function createPseudo(root: string, options: PseudoOptions, signal: AbortSignal): Promise<void> {
  const { seed, quiet = false } = options;
  const how = pseudoOf(options, pseudoAnomalyDefaults);
  await withJob(root, options, { kind: "pseudo", seed, ...how }, async (job) => {
    const { train } = job.dataset;
    if (train.length < 2 && how.speedup < 1) {
      throw new InputError(
        `${oneLine(root)} has ${train.length} training video, and cut-outs come from other videos: use --speedup 1`,
      );
    }
    const count = frameCount(train);
    const progress = new Progress("frames looked through", count && 2 * count, quiet);
    const library = await buildForegroundLibrary(train, {
      cropBytes,
      signal,
      onFrame: () => progress.advance(),
    }).finally(() => progress.stop());
    await create(job, options, signal, (video, i) => pastePseudoAnomalies(video, library, i, how, seed, signal));
  });
}

/** Opens a job, and leaves nothing of it where nothing comes of it. */
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
  /** Where the folders lie. */
  folder: string;
}

async function openJob(root: string, options: CommonOptions, settings: Record<string, unknown>): Promise<Job> {
  const { out, inPlace, preview } = options;
  if (out === undefined && !inPlace && preview === undefined) {
    throw new InputError("where to? name --out DIR, --in-place, or --preview FILE alone");
  }
  if (preview !== undefined && !/\.png$/i.test(preview)) {
    throw new InputError(`--preview ${oneLine(preview)}: the name must end in .png`);
  }
  const dataset = await openDataset(root, { layout: options.dataset });
  if (dataset.train.length === 0) throw new InputError(`${oneLine(root)} has no training video`);
  const folder = out ?? root;
  const isWritten = out !== undefined || inPlace === true;
  const output = isWritten ? await AnomalyOutput.open(folder, inPlace ? "training" : "original", settings) : undefined;
  return { dataset, output, folder: join(folder, "train") };
}

/** Makes the anomalies of every training video that is not there yet, and the contact sheet. */
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
      let finder = preview !== undefined && i % stride === 0 ? new MomentFinder(from) : undefined;
      const isThere = output?.has(video.name);
      if (isThere) kept++;
      if (isThere && video.frameCount !== undefined) progress.advance(video.frameCount);
      const target = isThere ? undefined : await output?.video(video.name);
      if (!target && !finder) continue;
      try {
        for await (const frame of framesOf(video, i)) {
          signal.throwIfAborted();
          await target?.write(frame.number, frame.frame, frame.mask);
          if (!isThere) progress.advance();
          if (target) {
            written++;
            if (frame.mask.data.some((value) => value > 0)) abnormal++;
          }
          const moment = finder?.add(frame);
          if (moment) {
            moments.push(moment);
            finder = undefined;
          }
          if (!target && !finder) break;
        }
        await target?.commit();
      } finally {
        await target?.discard();
      }
    }
  } finally {
    progress.stop();
  }
  if (preview !== undefined && moments.length > 0) await writeFileAtomic(preview, await contactSheet(moments));
  if (preview !== undefined && moments.length === 0) {
    process.stderr.write(`warning: nothing was pasted, so there is no ${oneLine(preview)}\n`);
  }
  if (quiet) return;
  const there = kept > 0 ? `, ${kept} videos were there` : "";
  if (output)
    console.log(
      `${written} frames written to ${oneLine(folder)}, ${abnormal} of them with something abnormal, in ${progress.seconds.toFixed(1)} s${there}`,
    );
  if (moments.length > 0) console.log(`${moments.length} moments shown in ${oneLine(preview ?? "")}`);
}

/** undefined where one of the videos does not tell. */
function frameCount(videos: readonly DatasetVideo[]): number | undefined {
  let total = 0;
  for (const { frameCount: own } of videos) {
    if (own === undefined) return undefined;
    total += own;
  }
  return total;
}
