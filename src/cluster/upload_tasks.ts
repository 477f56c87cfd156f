// What a worker does with an uploaded video: it comes from the store, and its results go there.
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { ObjectStore } from "@nats-io/obj";
import { type AsyncZippable, zip } from "fflate";
import { InputError } from "../errors.js";
import { writeFileAtomic } from "../node/files/atomic.js";
import { oneLine } from "../node/files/messages.js";
import type { Claim } from "./claim.js";
import { putFile } from "./objects.js";
import { modelsOf, type TaskOptions, type TaskSignals } from "./tasks.js";
import { fetchFile, LARGEST_VIDEO, type ResultPart, removeFiles, removeVideo, resultName } from "./uploads.js";

/** How the folder of a video on its way begins. */
const FOLDER = "sdmae-video-";
/** Milliseconds after which such a folder is of no worker any more. */
const OLD = 7 * 86_400_000;

/** Does the tasks whose videos were uploaded. */
export class UploadTasks {
  private swept: Promise<void> | undefined;

  constructor(
    private readonly options: Omit<TaskOptions, "share">,
    private readonly store: ObjectStore,
  ) {}

  /** Any machine may have an uploaded video. Those of workers that crashed do not stay for ever. */
  async check(): Promise<void> {
    this.swept ??= removeOldVideos();
    await this.swept;
  }

  /** Removes results of workers that were ended while they had the video. */
  async sweep({ archive, job, record }: Claim): Promise<void> {
    if (record.attempts > 1) await removeFiles(this.store, `${archive.id}.${job.hash}.`).catch(() => {});
  }

  /** Scores a video, and puts its results into the store. @returns what its last record holds */
  async run(claim: Claim, { signal, insist }: TaskSignals) {
    const { archive, job, path } = claim;
    const { cluster, scorer } = this.options;
    const folder = await mkdtemp(join(tmpdir(), FOLDER));
    const results = randomBytes(4).toString("hex");
    const put: string[] = [];
    const input = join(folder, "video", basename(path));
    try {
      // A name of its own, so that it cannot be one of the results.
      await mkdir(join(folder, "video"));
      const shown = `the video ${oneLine(path)}`;
      const fetching = { name: job.hash, shown, to: input, largest: LARGEST_VIDEO, signal };
      if ((await fetchFile(cluster, this.store, fetching)) !== job.hash) {
        throw new InputError(`${shown} that came is not the one with the hash ${job.hash.slice(0, 8)}`);
      }
      const { checkpoint } = await modelsOf(archive, this.options, signal);
      const files = { scores: join(folder, "scores.csv"), events: join(folder, "events.csv") };
      const report = join(folder, "report");
      const scored = await scorer.score(
        {
          ...{ input, checkpoint, model: archive.model.name, how: archive.how, scores: files.scores },
          ...(archive.events && { events: files.events }),
          ...(archive.report && { report }),
        },
        signal,
        (frames, total) => Object.assign(claim.record, { frames, ...(total !== undefined && { total }) }),
      );
      const parts: [ResultPart, string][] = [["scores.csv", files.scores]];
      if (archive.events) parts.push(["events.csv", files.events]);
      if (archive.report) {
        const packed = join(folder, "report.zip");
        await writeFileAtomic(packed, await zipped(report));
        parts.push(["report.zip", packed]);
      }
      for (const [part, file] of parts) {
        signal.throwIfAborted();
        const name = resultName(archive.id, job.hash, results, part);
        put.push(name);
        await putFile(this.store, name, file);
      }
      // Whoever was cut off meanwhile hears of it here. The last record names the results.
      await insist();
      return { ...scored, results };
    } catch (error) {
      for (const name of put) await this.store.delete(name).catch(() => {});
      // Whoever submitted it does not know where it lay here.
      if (error instanceof Error) error.message = error.message.replaceAll(input, oneLine(path));
      throw error;
    } finally {
      await rm(folder, { recursive: true, force: true }).catch(() => {});
    }
  }

  /**
   * Removes a video that is done or put aside from the store, unless another archive waits for it.
   */
  async over({ job }: Pick<Claim, "job">): Promise<void> {
    await removeVideo(this.options.cluster, this.store, job.hash);
  }
}

/** Removes videos that workers have left that were ended long ago. */
async function removeOldVideos(): Promise<void> {
  for (const name of await readdir(tmpdir()).catch(() => [])) {
    const folder = join(tmpdir(), name);
    const age = name.startsWith(FOLDER) ? Date.now() - ((await stat(folder).catch(() => undefined))?.mtimeMs ?? 0) : 0;
    if (age > OLD) await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

/** A folder as a zip archive. */
async function zipped(folder: string): Promise<Uint8Array> {
  const files: AsyncZippable = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files[path.slice(folder.length + 1).replaceAll("\\", "/")] = await readFile(path);
  }
  return new Promise((resolve, reject) => {
    zip(files, (error, bytes) => (error ? reject(error) : resolve(bytes)));
  });
}
