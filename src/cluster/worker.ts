// A worker: takes videos from the queue, one after another, and has each scored. Whoever is cut off
// from the server for a lease stops, and writes nothing when it returns: another worker may have
// the video by then.
import { rename, rm, rmdir } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { JsMsg } from "@nats-io/jetstream";
import { InputError } from "../errors.js";
import { makeFolder } from "../node/files/atomic.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { parsed, resultPaths, videoKey } from "./archive.js";
import { type Cluster, natsReason, QUEUE, WORKERS } from "./connection.js";
import {
  type Archive,
  archiveSchema,
  type VideoJob,
  type VideoRecord,
  videoJobSchema,
  videoSchema,
} from "./messages.js";
import { fetchModel } from "./models.js";
import type { Scored, Scorer } from "./scorer.js";

/** A video that fails so often is put aside. */
export const MOST_ATTEMPTS = 3;
/** The folder of results that are not whole, in that of the results. */
const UNFINISHED = ".sdmae-unfinished";
/** Seconds between looks for a video, and until a video is tried again. */
const LOOK = 5;
const TRY_AGAIN = 2;

/** What a worker is made with. */
export interface WorkerOptions {
  cluster: Cluster;
  /** The folder that machines share: videos and results lie in it. */
  share: string;
  /** Where models are kept on this machine. */
  models: string;
  scorer: Pick<Scorer, "score" | "close">;
  /** Seconds; the same as the queue's. */
  lease: number;
  /** Names the worker. Default: the machine and the process. */
  name?: string;
  /** Takes in a line of the log. */
  onNotice(level: "info" | "warn", line: string): void;
}

/** A video that this worker has. */
interface Claim {
  key: string;
  job: VideoJob;
  archive: Archive;
  record: VideoRecord;
  /** Of the record; another one says that the video was lost. */
  revision: number;
  /** The last change of the record that was begun: they are made one after the other. */
  last: Promise<unknown>;
}

/** The reason to stop when another worker may have the video. */
class Lost extends Error {}

/** Scores what is queued, until it is stopped. */
export class Worker {
  readonly name: string;

  constructor(private readonly options: WorkerOptions) {
    this.name = options.name ?? `${hostname()}-${process.pid}`;
  }

  /** Works until the signal ends it; a video that is not done goes to another worker at once. */
  async run(signal: AbortSignal): Promise<void> {
    const { cluster, scorer, onNotice } = this.options;
    const consumer = await cluster.jetstream.consumers.get(QUEUE, WORKERS);
    /** Why there was no message, as it was said. */
    let said = "";
    try {
      while (!signal.aborted) {
        try {
          const message = await consumer.next({ expires: 1000 * LOOK });
          said = "";
          if (message && signal.aborted) message.nak();
          else if (message) await this.take(message, signal);
        } catch (error) {
          const why = natsReason(error);
          if (why !== said && !signal.aborted) onNotice("warn", `${cluster.shown}: ${why}`);
          said = why;
          await sleep(1000, undefined, { signal }).catch(() => {});
        }
      }
    } finally {
      await scorer.close();
    }
  }

  private async take(message: JsMsg, signal: AbortSignal): Promise<void> {
    const { onNotice } = this.options;
    const job = jobOf(message);
    if (!job) {
      onNotice("warn", `a message of ${oneLine(message.subject)} is no video: it was thrown away`);
      return message.term("it is no video");
    }
    const claim = await this.claim(job, message).catch((error: unknown) => {
      if (!(error instanceof Lost)) throw error;
      // Another worker was faster; if it fails, the message comes again.
      message.nak(1000 * TRY_AGAIN);
    });
    if (!claim) return;
    const { path, record } = { path: oneLine(job.path), record: claim.record };
    const lost = new AbortController();
    const renewal = this.renew(claim, message, lost);
    try {
      const scored = await this.score(claim, AbortSignal.any([signal, lost.signal]));
      await this.update(claim, { ...record, state: "done", ...scored, total: scored.frames });
      await message.ackAck();
      onNotice("info", `${path}: ${scored.frames} frames in ${scored.seconds.toFixed(1)} s`);
    } catch (error) {
      if (lost.signal.aborted || error instanceof Lost) {
        onNotice("warn", `${path}: stopped, for another worker may have it (${reasonOf(lost.signal.reason ?? error)})`);
      } else if (signal.aborted) {
        // It was no failure of the video.
        await this.update(claim, { ...record, state: "queued", attempts: record.attempts - 1 });
        message.nak();
        onNotice("info", `${path}: left to another worker`);
      } else await this.failed(claim, message, reasonOf(error));
    } finally {
      clearInterval(renewal);
    }
  }

  /** Takes a video, unless it is done, or another worker's. */
  private async claim(job: VideoJob, message: JsMsg): Promise<Claim | undefined> {
    const { archives, videos } = this.options.cluster;
    const key = videoKey(job.archive, job.hash);
    const known = await archives.get(job.archive);
    const archive = known ? parsed(archiveSchema, known) : undefined;
    if (!archive) {
      message.term("its archive is not known");
      return undefined;
    }
    const entry = await videos.get(key);
    const before = entry ? parsed(videoSchema, entry) : undefined;
    const isElsewhere = before?.state === "running" && !message.redelivered;
    if (before?.state === "done" || before?.state === "failed" || isElsewhere) {
      // A second message of the same video.
      message.ack();
      return undefined;
    }
    const attempts = before?.attempts ?? 0;
    const record: VideoRecord = {
      ...{ state: "running", path: job.path, attempts: attempts + 1, since: new Date().toISOString() },
      ...{ worker: this.name, ...(before?.error !== undefined && { error: before.error }) },
    };
    const claim: Claim = { key, job, archive, record, revision: entry?.revision ?? 0, last: Promise.resolve() };
    if (attempts >= MOST_ATTEMPTS) {
      // It ended its workers, so that none could say so.
      await this.putAside(claim, before?.error ?? `its workers ended ${attempts} times while they scored it`);
      message.term("it was put aside");
      return undefined;
    }
    await this.update(claim, record);
    return claim;
  }

  /** Tells the server that the video is worked on, and how far; and finds out if it was lost. */
  private renew(claim: Claim, message: JsMsg, lost: AbortController): NodeJS.Timeout {
    const { lease } = this.options;
    let renewed = performance.now();
    let isAsking = false;
    return setInterval(
      () => {
        if (performance.now() - renewed > 1000 * lease) lost.abort(new Lost("the server was away"));
        if (isAsking) return;
        isAsking = true;
        message.working();
        this.update(claim, claim.record)
          .then(
            () => {
              renewed = performance.now();
            },
            (error: unknown) => {
              if (error instanceof Lost) lost.abort(error);
            },
          )
          .finally(() => {
            isAsking = false;
          });
      },
      1000 * (lease / 5),
    );
  }

  /** Scores a video, and gives its results their names. */
  private async score(claim: Claim, signal: AbortSignal): Promise<Scored> {
    const { job, archive } = claim;
    const { cluster, share, models, scorer } = this.options;
    const [out, paths] = [join(share, archive.out), resultPaths(archive, job.path)];
    const folder = join(out, UNFINISHED, `${job.hash}-${this.name}`);
    await makeFolder(folder);
    try {
      const checkpoint = await fetchModel(cluster.models, archive.model, models);
      const made = { scores: "scores.csv", events: "events.csv", report: "report" } as const;
      const wanted = ["scores", ...(archive.events ? ["events"] : []), ...(archive.report ? ["report"] : [])] as const;
      const outputs = Object.fromEntries(wanted.map((what) => [what, join(folder, made[what as keyof typeof made])]));
      const scored = await scorer.score(
        { input: join(share, job.path), checkpoint, how: archive.how, scores: "", ...outputs },
        signal,
        (frames, total) => Object.assign(claim.record, { frames, ...(total !== undefined && { total }) }),
      );
      // Whoever was cut off meanwhile hears of it here.
      await this.update(claim, claim.record);
      for (const what of wanted as readonly (keyof typeof made)[]) {
        const to = join(share, paths[what]);
        await makeFolder(dirname(to));
        if (what === "report") await rm(to, { recursive: true, force: true });
        await rename(outputs[what], to);
      }
      return scored;
    } finally {
      await rm(folder, { recursive: true, force: true }).catch(() => {});
      // Unless another worker is in it.
      await rmdir(dirname(folder)).catch(() => {});
    }
  }

  private async failed(claim: Claim, message: JsMsg, why: string): Promise<void> {
    const { record } = claim;
    const path = oneLine(claim.job.path);
    if (record.attempts >= MOST_ATTEMPTS) {
      await this.putAside(claim, why);
      message.term("it was put aside");
      return;
    }
    await this.update(claim, { ...record, state: "queued", error: shortened(why) });
    message.nak(1000 * TRY_AGAIN * record.attempts);
    this.options.onNotice("warn", `${path}: attempt ${record.attempts} of ${MOST_ATTEMPTS} failed: ${why}`);
  }

  private async putAside(claim: Claim, why: string): Promise<void> {
    await this.update(claim, { ...claim.record, state: "failed", error: shortened(why) });
    this.options.onNotice("warn", `${oneLine(claim.job.path)}: put aside: ${why}`);
  }

  /** Writes a record. @throws Lost if it is another worker's, InputError if the server is away */
  private update(claim: Claim, record: VideoRecord): Promise<void> {
    const done = claim.last.then(() => this.write(claim, record));
    claim.last = done.catch(() => {});
    return done;
  }

  private async write(claim: Claim, record: VideoRecord): Promise<void> {
    const { videos } = this.options.cluster;
    const text = JSON.stringify({ ...record, since: new Date().toISOString() });
    try {
      claim.revision = await (claim.revision === 0
        ? videos.create(claim.key, text)
        : videos.update(claim.key, text, claim.revision));
    } catch (error) {
      if (/wrong last sequence/i.test(String(error))) throw new Lost("it has another worker");
      throw new InputError(natsReason(error));
    }
  }
}

/** What a message asks for; undefined if it is no video. */
function jobOf(message: JsMsg): VideoJob | undefined {
  try {
    return videoJobSchema.parse(message.json());
  } catch {
    return undefined;
  }
}

const shortened = (text: string): string => oneLine(text).slice(0, 1000);
