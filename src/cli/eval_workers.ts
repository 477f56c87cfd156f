// Has workers make the records of a data set's videos, which `eval` then finds in its folder.
import type { ArchiveVideo, Plan } from "../cluster/archive.js";
import type { Cluster } from "../cluster/connection.js";
import { isInside, type VideoRecord } from "../cluster/messages.js";
import { counted } from "../counted.js";
import type { Dataset, TestSplit } from "../data/dataset.js";
import { InputError } from "../errors.js";
import { makeFolder } from "../node/files/atomic.js";
import { oneLine } from "../node/files/messages.js";
import type { RecordStore } from "../node/files/record_store.js";
import { CheckFailed } from "./check_failed.js";
import { type NatsCommandOptions, natsOf, sharedPath, shareOf } from "./options/nats.js";
import type { EvalDetectorOptions } from "./recording.js";
import { failureLine, workersLine } from "./terminal/job_lines.js";
import { Progress } from "./terminal/progress.js";

/** The options of `eval` that count here. */
export interface WorkersOptions extends Partial<NatsCommandOptions>, EvalDetectorOptions {
  share?: string;
  work?: string;
  root: string;
  checkpoint: string;
  student?: string;
  split: TestSplit;
  heads?: number;
  quiet?: boolean;
}

/** The share and what lies below it, as all machines know it. */
interface Shared {
  share: string;
  root: string;
  work: string;
}

/** @throws InputError if the folders are not where workers find them, or options do not fit */
export async function sharedFolders(options: WorkersOptions): Promise<Shared | undefined> {
  if (options.nats === undefined) return undefined;
  if (options.share === undefined) throw new InputError("--nats needs --share, the folder that all machines share");
  if (options.work === undefined)
    throw new InputError("--nats needs --work, a folder below --share for the token maps");
  const share = await shareOf(options.share);
  // Only of a folder that is there the real path is known.
  await makeFolder(options.work);
  return { share, root: await sharedPath(share, options.root), work: await sharedPath(share, options.work) };
}

/**
 * Has workers make all records that are not there yet, and waits for them.
 * @throws CheckFailed if some cannot be made
 */
export async function recordOnWorkers(
  options: WorkersOptions,
  { share, root, work }: Shared,
  { dataset, store, maskings, signal }: { dataset: Dataset; store: RecordStore; maskings: number; signal: AbortSignal },
): Promise<void> {
  const videos: ArchiveVideo[] = [];
  const { recordHash } = await import("../cluster/archive.js");
  let frames: number | undefined = 0;
  for (const { name, frameCount } of dataset.test) {
    const path = `${root}/${name}`;
    if (!isInside(path)) throw new InputError(`workers cannot be told of the video ${oneLine(name)}`);
    for (let seed = options.seed; seed < options.seed + maskings; seed++) {
      if (await store.has(name, seed)) continue;
      const record = { video: name, seed };
      videos.push({ hash: recordHash(record), path, record });
      frames = frameCount === undefined || frames === undefined ? undefined : frames + frameCount;
    }
  }
  if (videos.length === 0) return;
  const { preset, size, maskRatio, masking, norm, score, maskedOnly, dtype, heads } = options;
  const given = Object.entries({ preset, size, maskRatio, masking, norm, score, maskedOnly, dtype, heads });
  // The seed of each record is its own.
  const how = { ...Object.fromEntries(given.filter(([, value]) => value !== undefined)), seed: 0 } as Plan["how"];
  const { withCluster } = await import("../cluster/connection.js");
  await withCluster(natsOf(options as NatsCommandOptions), async (cluster) => {
    const { openArchive, submitVideo } = await import("../cluster/archive.js");
    const { putModel } = await import("../cluster/models.js");
    const { student, batch, split, checkpoint } = options;
    const archive = await openArchive(cluster, {
      ...{ model: await putModel(cluster.models, checkpoint), how, out: work, events: false, report: false },
      records: {
        ...{ root, layout: dataset.layout, split, made: store.made },
        ...(student !== undefined && { student: await putModel(cluster.models, student) }),
        ...(batch !== undefined && { batch }),
      },
    });
    for (const video of videos) {
      await submitVideo(cluster, archive, video, { share, retry: true });
      signal.throwIfAborted();
    }
    const hashes = new Set(videos.map(({ hash }) => hash));
    await waitForRecords(cluster, archive.id, hashes, { frames, signal, quiet: options.quiet ?? false });
  });
}

async function waitForRecords(
  cluster: Cluster,
  archive: string,
  hashes: ReadonlySet<string>,
  { frames, signal, quiet }: { frames: number | undefined; signal: AbortSignal; quiet: boolean },
): Promise<void> {
  const { waitForVideos } = await import("../cluster/waiting.js");
  const progress = new Progress("frames on all workers", frames, quiet);
  const say = (line: string) => progress.print(line, process.stderr);
  let shown = 0;
  const told = new Set<string>();
  const onLook = (records: readonly VideoRecord[]) => {
    const now = records.reduce((sum, record) => sum + (record.state === "queued" ? 0 : (record.frames ?? 0)), 0);
    // A video that is begun again has fewer frames.
    if (now > shown) progress.advance(now - shown);
    shown = Math.max(shown, now);
    for (const { path, state, error } of records) {
      if (error === undefined || state === "done" || told.has(`${path} ${error}`)) continue;
      told.add(`${path} ${error}`);
      if (state !== "failed") say(`${oneLine(path)}: ${oneLine(error)}`);
    }
  };
  const onWorkers = (areThere: boolean) => say(workersLine(cluster.shown, areThere));
  try {
    const records = await waitForVideos(cluster, { archive, hashes, signal, onLook, onWorkers });
    progress.stop();
    const failed = records.filter(({ state }) => state === "failed");
    for (const one of failed) process.stderr.write(`${failureLine(one)}\n`);
    if (failed.length > 0) throw new CheckFailed(`${counted(failed.length, "record")} could not be made`);
  } finally {
    progress.stop();
  }
}
