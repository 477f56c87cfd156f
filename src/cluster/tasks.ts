// What a worker does with a video that it has: where the video comes from, and how its results
// appear, whole and once.
import { randomBytes } from "node:crypto";
import { access, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { InputError } from "../errors.js";
import { makeFolder } from "../node/files/atomic.js";
import { oneLine } from "../node/files/messages.js";
import { resultPaths, scoresPath, UNFINISHED, unfinishedName } from "./archive.js";
import type { Claim } from "./claim.js";
import type { Cluster } from "./connection.js";
import type { Archive } from "./messages.js";
import { fetchModel } from "./models.js";
import type { Scored, Scorer } from "./scorer.js";

/** What tasks need of their worker. */
export interface TaskOptions {
  cluster: Cluster;
  /** The folder that machines share. */
  share: string;
  /** Where models are kept on this machine. */
  models: string;
  scorer: Pick<Scorer, "score" | "close">;
}

/** How a task ends. */
export interface TaskSignals {
  /** Ends it. */
  signal: AbortSignal;
  /** Finds out whether the video still is this worker's, before results get their names. */
  insist(): Promise<void>;
}

/** Does the tasks of a worker with a shared folder. */
export class Tasks {
  constructor(private readonly options: TaskOptions) {}

  /**
   * Refuses to work where the shared folder is not: each video would fail.
   * @throws InputError that says so
   */
  async check({ out = "." }: Archive): Promise<void> {
    const { share } = this.options;
    try {
      await access(join(share, out));
    } catch {
      throw new InputError(`the results' folder ${oneLine(out)} is not in ${oneLine(share)}: is it mounted here?`);
    }
  }

  /** Removes what workers have left that were ended while they had the video. */
  async sweep({ archive, job }: Pick<Claim, "archive" | "job">): Promise<void> {
    const folder = join(this.options.share, archive.out ?? ".", UNFINISHED);
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter((one) => one.startsWith(unfinishedName(archive, job)))) {
      await rm(join(folder, name), { recursive: true, force: true }).catch(() => {});
    }
  }

  /** Scores a video, and gives its results their names. @returns what its last record holds */
  async run(claim: Claim, { signal, insist }: TaskSignals): Promise<Scored> {
    const { archive, job, path } = claim;
    const { share, scorer } = this.options;
    const folder = join(
      ...[share, archive.out ?? ".", UNFINISHED],
      `${unfinishedName(archive, job)}${randomBytes(4).toString("hex")}`,
    );
    await makeFolder(folder);
    try {
      const made = { scores: "scores.csv", events: "events.csv", report: "report" } as const;
      const wanted = ["scores", ...(archive.events ? ["events"] : []), ...(archive.report ? ["report"] : [])] as const;
      const outputs = Object.fromEntries(wanted.map((what) => [what, join(folder, made[what as keyof typeof made])]));
      const paths = { ...resultPaths(archive, path), scores: scoresPath(archive, { path, record: job.record }) };
      const input = join(share, archive.records?.root ?? path);
      const { checkpoint, student } = await modelsOf(archive, this.options, signal);
      const record = archive.records && { ...archive.records, ...job.record!, student };
      const scored = await scorer.score(
        {
          ...{ input, checkpoint, model: archive.model.name, how: archive.how, scores: "", ...outputs },
          ...(record && { record }),
        },
        signal,
        (frames, total) => Object.assign(claim.record, { frames, ...(total !== undefined && { total }) }),
      );
      signal.throwIfAborted();
      // Whoever was cut off meanwhile hears of it here.
      await insist();
      for (const what of wanted as readonly (keyof typeof made)[]) {
        const to = join(share, paths[what]);
        await makeFolder(dirname(to));
        if (what === "report") await rm(to, { recursive: true, force: true });
        await rename(outputs[what], to);
      }
      return scored;
    } finally {
      await rm(folder, { recursive: true, force: true }).catch(() => {});
    }
  }

  /** The video stays where it is. */
  async over(): Promise<void> {}
}

/** The checkpoints of an archive on this machine. */
export async function modelsOf(
  { model, records }: Archive,
  { cluster, models }: Pick<TaskOptions, "cluster" | "models">,
  signal: AbortSignal,
) {
  const checkpoint = await fetchModel(cluster.models, model, models, signal);
  const { student } = records ?? {};
  return { checkpoint, ...(student && { student: await fetchModel(cluster.models, student, models, signal) }) };
}
