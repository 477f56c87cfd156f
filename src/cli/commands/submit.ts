import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, join, resolve, sep } from "node:path";
import type { ObjectStore } from "@nats-io/obj";
import { Command, Option } from "commander";
import type { Upload } from "../../cluster/archive.js";
import type { Cluster } from "../../cluster/connection.js";
import { type Archive, isInside, type VideoRecord } from "../../cluster/messages.js";
import { counted } from "../../counted.js";
import { scoreSettings } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import { VIDEO_EXTENSIONS } from "../../node/datasets/clip.js";
import { makeFolder } from "../../node/files/atomic.js";
import { readCheckpoint } from "../../node/files/checkpoint_file.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";
import { CheckFailed } from "../check_failed.js";
import { fetchAll } from "../fetch_results.js";
import { type FrameScoreOptions, frameScoreOf, frameScoreOptions } from "../options/measure.js";
import { headsOption, type ModelOptions, modelOptions, scoreOptions, seedOption } from "../options/model.js";
import {
  addNatsOptions,
  type NatsCommandOptions,
  natsLogins,
  natsOf,
  sharedPath,
  shareOf,
  shareOption,
} from "../options/nats.js";
import { numberIn } from "../options/parse.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";
import { failureLine, workersLine } from "../terminal/job_lines.js";
import { Progress } from "../terminal/progress.js";

interface SubmitOptions extends NatsCommandOptions, ModelOptions, FrameScoreOptions {
  share?: string;
  upload?: boolean;
  keep?: boolean;
  checkpoint: string;
  out: string;
  events?: boolean;
  report?: boolean;
  threshold?: number;
  heads?: number;
  seed: number;
  retry?: boolean;
  wait?: boolean;
}

/** `submit FILES|ROOT --checkpoint M --out DIR`: queues videos for workers. */
export function submitCommand(): Command {
  const command = new Command("submit")
    .summary("queue videos for workers, to be scored on many machines")
    .description(
      "Queues videos at a NATS server with JetStream: `worker` scores each once, and writes VIDEO.csv below --out, as `score` does. Videos lie in a folder that all machines share, or are sent to the server (--upload). Submitting again continues: what is done, by the content of the video, is not done again. `jobs` shows how far it is.",
    )
    .argument("<videos...>", "video files, and folders in which all videos are meant")
    .requiredOption("-c, --checkpoint <file>", "the model: .safetensors, or .pth of the authors' code")
    .requiredOption("-o, --out <dir>", "the folder of results, below --share unless videos are uploaded")
    .addOption(shareOption(false));
  addNatsOptions(command)
    .option(
      "--upload",
      "send the videos themselves to the server, for workers without the shared folder; results come back with --wait, or with `jobs --fetch`",
    )
    .option("--keep", "with --upload: leave results at the server too")
    .option("--events", "also write the events above the threshold, VIDEO.events.csv")
    .option("--report", "also write a page, VIDEO.report/")
    .addOption(
      new Option(
        "--threshold <t>",
        "for --events and --report: an event begins when the score, averaged over half a second, reaches this",
      ).argParser(numberIn(-1e9, 1e9)),
    )
    .option("--retry", "try videos again that were put aside because they failed")
    .option("--wait", "wait until all videos are done, and show how far it is");
  for (const option of [...modelOptions(), ...frameScoreOptions()]) command.addOption(option);
  return command
    .addOption(seedOption())
    .addOption(headsOption())
    .addHelpText("after", natsLogins)
    .addHelpText(
      "after",
      examples(
        "npx sdmae submit holiday/ --upload --checkpoint models/scene.safetensors --out scores --nats nats://10.0.0.5:4222 --wait",
        "npx sdmae submit /mnt/videos/2026 --share /mnt/videos --checkpoint models/scene.safetensors --out /mnt/videos/scores --nats nats://10.0.0.5:4222 --wait",
      ),
    )
    .action((videos: string[], options: SubmitOptions) => interruptible((signal) => submit(videos, options, signal)));
}

async function submit(inputs: readonly string[], options: SubmitOptions, signal: AbortSignal): Promise<void> {
  const { checkpoint, retry = false, events = false, report = false } = options;
  if ((events || report) && options.threshold === undefined) {
    throw new InputError("--events and --report need --threshold: workers have no calibration of this machine");
  }
  if (options.threshold !== undefined && !events && !report) {
    throw new InputError("--threshold has no effect without --events or --report");
  }
  if (options.keep && !options.upload) throw new InputError("--keep has no effect without --upload");
  if (!options.upload && options.share === undefined) {
    throw new InputError("submit needs --share, the folder that all machines share, or --upload");
  }
  // 1. What it is about: the files, the model, the folder of results.
  const share = options.share === undefined ? undefined : await shareOf(options.share);
  // What contradicts the model would fail on each worker.
  scoreSettings(await readCheckpoint([checkpoint], options.heads), {
    ...scoreOptions(options),
    frameScore: frameScoreOf(options),
  });
  await makeFolder(options.out);
  const out = options.upload ? undefined : await sharedPath(share!, options.out);
  const videos = options.upload
    ? namedVideos(await videosOf(inputs))
    : await sharedVideos(share!, await videosOf(inputs));
  const place = options.upload ? { to: folderHash(await realpath(options.out)) } : { out };
  const plan = { how: howOf(options), ...place, events, report };
  const { withCluster } = await import("../../cluster/connection.js");
  await withCluster(natsOf(options), async (cluster) => {
    const { openArchive } = await import("../../cluster/archive.js");
    const { putModel } = await import("../../cluster/models.js");
    const model = await putModel(cluster.models, checkpoint);
    const archive = await openArchive(cluster, { ...plan, model });
    // 2. Each video, by its content.
    const store = options.upload ? await openUploads(cluster) : undefined;
    const from = store ? { store, folder: options.out } : { share: share! };
    const hashes = await submitAll(cluster, archive, videos, { place: from, retry, signal });
    if (!options.wait) {
      if (store) console.log(`results: sdmae jobs ${archive.id} --fetch --out ${options.out}`);
      return;
    }
    const failed = await waitFor(cluster, archive, hashes, signal);
    if (store) {
      const fetching = { out: options.out, keep: options.keep ?? false, signal };
      await fetchAll(cluster, store, archive, hashes, fetching);
    }
    if (failed > 0) throw new CheckFailed(`${counted(failed, "video")} failed`);
  });
}

/** Where videos lie: on the shared folder, or here, from where they are sent. */
type Place = { share: string } | { store: ObjectStore; folder: string };

async function openUploads(cluster: Cluster): Promise<ObjectStore> {
  const { makeUploads } = await import("../../cluster/uploads.js");
  return makeUploads(cluster);
}

/** What became of a video of a submission, for people. */
const stateTexts = {
  new: "queued",
  queued: "waiting already",
  running: "being scored",
  done: "done before",
  failed: "put aside (--retry tries them again)",
};

/** Queues videos, and says how many. @returns their hashes */
async function submitAll(
  cluster: Cluster,
  archive: Archive,
  videos: readonly { file: string; path: string }[],
  { place, retry, signal }: { place: Place; retry: boolean; signal: AbortSignal },
): Promise<Set<string>> {
  const { pathsOf, submitVideo } = await import("../../cluster/archive.js");
  const { hashOf } = await import("../../cluster/models.js");
  const progress = new Progress("videos read", videos.length, false);
  const counts = new Map<string, number>();
  const seen = new Map<string, string>();
  const known = "store" in place ? await pathsOf(cluster, archive) : new Map<string, string>();
  try {
    for (const { file, path } of videos) {
      const hash = await hashOf(file, signal);
      const other = known.get(path);
      if (other !== undefined && other !== hash) {
        throw new InputError(
          `${oneLine(file)} would have the results of another ${oneLine(path)}, which was submitted before: give another --out`,
        );
      }
      const twin = seen.get(hash);
      if (twin !== undefined) process.stderr.write(`${oneLine(path)} is the same video as ${oneLine(twin)}\n`);
      else {
        seen.set(hash, path);
        const how = "store" in place ? { upload: await uploadOf(place, archive, hash, file) } : place;
        const state = await submitVideo(cluster, archive, { hash, path }, { ...how, retry });
        counts.set(state, (counts.get(state) ?? 0) + 1);
      }
      progress.advance();
      signal.throwIfAborted();
    }
  } finally {
    progress.stop();
  }
  const parts = Object.entries(stateTexts).flatMap(([state, text]) => {
    const count = counts.get(state) ?? 0;
    return count > 0 ? [`${count} ${text}`] : [];
  });
  console.log(`archive ${archive.id}: ${counted(seen.size, "video")}: ${parts.join(", ")}`);
  return new Set(seen.keys());
}

/** How a video gets into the store. Results that somebody has deleted here are made again. */
async function uploadOf(
  { store, folder }: { store: ObjectStore; folder: string },
  archive: Archive,
  hash: string,
  file: string,
): Promise<Upload> {
  const { resultPaths } = await import("../../cluster/archive.js");
  const { putVideo, resultName } = await import("../../cluster/uploads.js");
  return {
    hasResults: async ({ path, results }) => {
      if (existsSync(join(folder, resultPaths(archive, path).scores))) return true;
      const known = results !== undefined && (await store.info(resultName(archive.id, hash, results, "scores.csv")));
      return known ? !known.deleted : false;
    },
    put: () => putVideo(store, hash, file),
  };
}

/**
 * Shows how far the videos are, until all are done or put aside.
 * @returns how many are put aside
 */
async function waitFor(
  cluster: Cluster,
  archive: Archive,
  hashes: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<number> {
  const { waitForVideos } = await import("../../cluster/waiting.js");
  const { QUEUE, UPLOADS } = await import("../../cluster/connection.js");
  const queue = archive.out === undefined ? UPLOADS : QUEUE;
  const progress = new Progress("videos scored", hashes.size, false);
  let before = 0;
  const onLook = (records: readonly VideoRecord[]) => {
    const over = records.filter(({ state }) => state === "done" || state === "failed");
    for (; before < over.length; before++) progress.advance();
  };
  const onWorkers = (areThere: boolean) => progress.print(workersLine(cluster.shown, areThere), process.stderr);
  try {
    const records = await waitForVideos(cluster, { archive: archive.id, hashes, queue, signal, onLook, onWorkers });
    progress.stop();
    const failed = records.filter(({ state }) => state === "failed");
    for (const record of failed) process.stderr.write(`${failureLine(record)}\n`);
    return failed.length;
  } finally {
    progress.stop();
  }
}

/** Names a folder of this machine. */
const folderHash = (path: string): string =>
  createHash("sha256")
    .update(JSON.stringify([hostname(), path]))
    .digest("hex");

function howOf(options: SubmitOptions): Archive["how"] {
  const { preset, size, maskRatio, masking, norm, score, maskedOnly, dtype, heads, seed, threshold } = options;
  const { frameScore, tokens, topK, minMotion } = options;
  const how = {
    ...{ preset, size, maskRatio, masking, norm, score, maskedOnly, dtype, heads, threshold },
    ...{ frameScore, tokens, topK, minMotion },
  };
  const given = Object.entries(how).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(given), seed } as Archive["how"];
}

/** A video's file, and how other machines call it. */
interface NamedVideo {
  file: string;
  path: string;
}

/** Videos by their paths below the shared folder. @throws InputError if one lies elsewhere */
const sharedVideos = (share: string, videos: readonly NamedVideo[]): Promise<NamedVideo[]> =>
  Promise.all(videos.map(async ({ file }) => ({ file, path: await sharedPath(share, file) })));

/** @throws InputError if two videos would have the same results, or a name is none for others */
function namedVideos(videos: readonly NamedVideo[]): readonly NamedVideo[] {
  const known = new Map<string, string>();
  for (const { file, path } of videos) {
    const other = known.get(path);
    if (other !== undefined) throw new InputError(`${oneLine(file)} and ${oneLine(other)} would have the same results`);
    if (!isInside(path)) throw new InputError(`${oneLine(path)} is no name that other machines can use`);
    known.set(path, file);
  }
  return videos;
}

/**
 * All videos that are meant, sorted within folders; each with its path below its folder.
 * @throws InputError if there are none
 */
async function videosOf(inputs: readonly string[]): Promise<NamedVideo[]> {
  const found = new Map<string, string>();
  for (const input of inputs) {
    const info = await stat(input).catch((error: unknown) => {
      throw new InputError(`${oneLine(input)} cannot be read: ${reasonOf(error)}`);
    });
    if (!info.isDirectory()) found.set(resolve(input), basename(input));
    else {
      const names = (await readdir(input, { recursive: true })).filter((name) => VIDEO_EXTENSIONS.test(name)).sort();
      if (names.length === 0) throw new InputError(`${oneLine(input)}: there is no video in this folder`);
      for (const name of names) found.set(resolve(join(input, name)), name.split(sep).join("/"));
    }
  }
  return [...found].map(([file, path]) => ({ file, path }));
}
