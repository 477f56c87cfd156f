// A worker: takes videos from the queue, one after another, and has each scored. Whoever is cut off
// from the server for a lease stops, and writes nothing when it returns: another worker may have
// the video by then.
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { JsMsg } from "@nats-io/jetstream";
import { InputError } from "../errors.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { parsed, recordHash, videoKey } from "./archive.js";
import { Claim, Lost } from "./claim.js";
import { natsReason, QUEUE, subjectOf, UPLOADS, uploadSubject, WORKERS } from "./connection.js";
import {
  type Archive,
  archiveSchema,
  type VideoJob,
  type VideoRecord,
  videoJobSchema,
  videoSchema,
} from "./messages.js";
import { Queues } from "./queues.js";
import { NoDevice, Unfit } from "./scorer.js";
import { type TaskOptions, Tasks } from "./tasks.js";
import { UploadTasks } from "./upload_tasks.js";
import { findUploads } from "./uploads.js";

/** A video that fails so often is put aside. */
export const MOST_FAILURES = 3;
/**
 * So is a video that was begun so often. Workers may end for reasons of their own, such as a power
 * cut, so this is more; but a video that ends its workers must not do so for ever.
 */
export const MOST_ATTEMPTS = 10;
/** Seconds between looks for a video, and until a video is tried again. */
const LOOK = 2;
const TRY_AGAIN = 2;
/** Seconds without a video after the GPU could not be used. */
const REST = 60;
/** Milliseconds between videos that are left to others: they are not to wait for them. */
const PAUSE = 200;

/** What a worker is made with. */
export interface WorkerOptions extends Omit<TaskOptions, "share"> {
  /** The folder that machines share. Without it, only uploaded videos are scored. */
  share?: string;
  /** Seconds; the same as the queue's. */
  lease: number;
  /** Names the worker. Default: the machine and the process. */
  name?: string;
  /** Takes in a line of the log. */
  onNotice(level: "info" | "warn", line: string): void;
}

/** Scores what is queued, until it is stopped. */
export class Worker {
  readonly name: string;
  private readonly tasks: Tasks | undefined;
  /** Of videos that were uploaded, once there are any. */
  private uploadTasks: UploadTasks | undefined;
  /** Archives of whose videos this machine would make something else. */
  private readonly unfit = new Set<string>();
  /** Until when it takes no video, in milliseconds of this machine's steady clock. */
  private restUntil = 0;

  constructor(private readonly options: WorkerOptions) {
    this.name = options.name ?? `${hostname()}-${process.pid}`;
    const { share } = options;
    this.tasks = share === undefined ? undefined : new Tasks({ ...options, share });
  }

  /** Works until the signal ends it; a video that is not done goes to another worker at once. */
  async run(signal: AbortSignal): Promise<void> {
    const { cluster, scorer, onNotice } = this.options;
    const queues = new Queues(LOOK);
    if (this.tasks) queues.add(await cluster.jetstream.consumers.get(QUEUE, WORKERS));
    /** Why there was no message, as it was said. */
    let said = "";
    /** How often in a row the server gave no sign of life: a busy machine may miss one. */
    let missed = 0;
    try {
      while (!signal.aborted) {
        try {
          const rest = this.restUntil - performance.now();
          if (rest > 0) {
            await sleep(rest, undefined, { signal }).catch(() => {});
            continue;
          }
          await this.findUploads(queues);
          const message = await queues.next(signal);
          if (!message && !this.tasks && !this.uploadTasks) {
            await sleep(1000 * LOOK, undefined, { signal }).catch(() => {});
          }
          missed = 0;
          if (message && signal.aborted) {
            message.nak();
            await cluster.nats.flush();
          } else if (message) {
            await this.take(message, signal);
            said = "";
          }
        } catch (error) {
          if (/heartbeats missed/.test(String(error)) && !cluster.nats.isClosed() && ++missed < 3) continue;
          const why = natsReason(error);
          if (cluster.nats.isClosed()) throw new InputError(`${cluster.shown}: ${why}`);
          if (why !== said && !signal.aborted) onNotice("warn", `${cluster.shown}: ${why}`);
          said = why;
          await sleep(1000, undefined, { signal }).catch(() => {});
        }
      }
    } finally {
      await scorer.close();
    }
  }

  /** Takes uploaded videos as well, once somebody has uploaded one. */
  private async findUploads(queues: Queues): Promise<void> {
    if (this.uploadTasks) return;
    const { cluster, lease } = this.options;
    const store = await findUploads(cluster, lease);
    if (!store) return;
    queues.add(await cluster.jetstream.consumers.get(UPLOADS, WORKERS));
    this.uploadTasks = new UploadTasks(this.options, store);
  }

  /** Who does the tasks of an archive; undefined if a message of it came by the wrong queue. */
  private tasksOf({ id, out }: Archive, { subject }: JsMsg): Tasks | UploadTasks | undefined {
    if (subject === uploadSubject(id)) return out === undefined ? this.uploadTasks : undefined;
    return subject === subjectOf(id) && out !== undefined ? this.tasks : undefined;
  }

  private async take(message: JsMsg, signal: AbortSignal): Promise<void> {
    const { onNotice } = this.options;
    const job = jobOf(message);
    if (!job || (job.record && job.hash !== recordHash(job.record))) {
      onNotice("warn", `a message of ${oneLine(message.subject)} is no video: it was thrown away`);
      return message.ack();
    }
    const taken = await this.claim(job, message).catch((error: unknown) => {
      if (!(error instanceof Lost)) throw error;
      // Another worker was faster; if it fails, the message comes again.
      message.nak(1000 * TRY_AGAIN);
    });
    if (!taken) return;
    const { claim, tasks } = taken;
    const path = oneLine(claim.path);
    const lost = new AbortController();
    const renewal = claim.renew(message, this.options.lease, lost);
    try {
      const insist = () => claim.insist(claim.record, lost.signal);
      const scored = await tasks.run(claim, { signal: AbortSignal.any([signal, lost.signal]), insist });
      await claim.finish({ state: "done", ...scored, total: scored.frames }, lost.signal);
      // Without this, the message comes again, and is found to be done.
      await message.ackAck().catch(() => {});
      onNotice("info", `${path}: ${scored.frames} frames in ${scored.seconds.toFixed(1)} s`);
    } catch (error) {
      await this.leave(claim, message, error, signal, lost.signal).catch((again: unknown) => {
        if (!lost.signal.aborted && !(again instanceof Lost)) throw again;
        const why = reasonOf(lost.signal.reason ?? again);
        onNotice("warn", `${path}: stopped, for another worker may have it (${why})`);
      });
    } finally {
      clearInterval(renewal);
      await tasks.over(claim).catch(() => {});
    }
  }

  /** Gives a video back that is not done. @throws Lost if it is not this worker's any more */
  private async leave(
    claim: Claim,
    message: JsMsg,
    error: unknown,
    signal: AbortSignal,
    lost: AbortSignal,
  ): Promise<void> {
    if (lost.aborted || error instanceof Lost) throw error;
    const isOfMachine = error instanceof Unfit || error instanceof NoDevice;
    if (!signal.aborted && !isOfMachine) return this.failed(claim, message, reasonOf(error), lost);
    // It was no failure of the video.
    if (error instanceof NoDevice) {
      this.restUntil = performance.now() + 1000 * REST;
      this.options.onNotice("warn", `takes no videos for ${REST} s: ${error.message}`);
    }
    if (error instanceof Unfit) return this.leaveToOthers(claim, message, error.message, lost);
    await claim.finish({ state: "queued", attempts: claim.record.attempts - 1 });
    message.nak();
    await this.options.cluster.nats.flush();
    this.options.onNotice("info", `${oneLine(claim.path)}: left to another worker`);
  }

  /** Leaves a video, and all others of its archive, to workers that come to the wanted results. */
  private async leaveToOthers(claim: Claim, message: JsMsg, why: string, lost: AbortSignal): Promise<void> {
    const { id } = claim.archive;
    this.unfit.add(id);
    const error = shortened(`not on ${this.name}: ${why}`);
    await claim.finish({ state: "queued", attempts: claim.record.attempts - 1, error }, lost);
    message.nak(1000 * LOOK);
    this.options.onNotice("warn", `archive ${id} is left to other workers: ${why}`);
  }

  /** Takes a video, unless it is done, or another worker's. */
  private async claim(
    job: VideoJob,
    message: JsMsg,
  ): Promise<{ claim: Claim; tasks: Tasks | UploadTasks } | undefined> {
    const { archives, videos } = this.options.cluster;
    const key = videoKey(job.archive, job.hash);
    const known = await archives.get(job.archive);
    const archive = known ? parsed(archiveSchema, known) : undefined;
    if (!archive) {
      this.options.onNotice("warn", `${oneLine(job.path)} is of no known archive: it was thrown away`);
      message.ack();
      return undefined;
    }
    const tasks = this.tasksOf(archive, message);
    if (!tasks || (archive.records === undefined) !== (job.record === undefined)) {
      this.options.onNotice("warn", `${oneLine(job.path)} does not belong into its archive: it was thrown away`);
      message.ack();
      return undefined;
    }
    if (this.unfit.has(archive.id)) {
      message.nak(1000 * LOOK);
      await sleep(PAUSE);
      return undefined;
    }
    await tasks.check(archive).catch((error: unknown) => {
      message.nak(1000 * LOOK);
      throw error;
    });
    const entry = await videos.get(key);
    const before = entry ? parsed(videoSchema, entry) : undefined;
    // A message that comes again is the one that its worker has lost; another one is superfluous.
    const isElsewhere = before?.state === "running" && before.message !== message.seq;
    if (before?.state === "done" || before?.state === "failed" || isElsewhere) {
      message.ack();
      // Its worker may have been ended before it did this.
      if (before?.state !== "running") await tasks.over({ job }).catch(() => {});
      return undefined;
    }
    const attempts = before?.attempts ?? 0;
    // The record's path is newer than that of the message.
    const path = before?.path ?? job.path;
    const record: VideoRecord = {
      ...{ state: "running", path, attempts: attempts + 1, since: new Date().toISOString() },
      ...{ worker: this.name, message: message.seq },
      ...(before?.failures !== undefined && { failures: before.failures }),
      ...(before?.error !== undefined && { error: before.error }),
    };
    const revision = entry?.revision ?? 0;
    const claimed = (own: VideoRecord) =>
      new Claim(videos, this.name, { key, path, job, archive, record: own, revision });
    if (attempts >= MOST_ATTEMPTS) {
      // It ended its workers, so that none could say so.
      const claim = claimed({ ...record, attempts });
      await this.putAside(claim, message, `its workers ended ${attempts} times`);
      await tasks.sweep(claim);
      await tasks.over(claim).catch(() => {});
      return undefined;
    }
    const claim = claimed(record);
    await claim.update(record);
    await tasks.sweep(claim);
    return { claim, tasks };
  }

  private async failed(claim: Claim, message: JsMsg, why: string, lost: AbortSignal): Promise<void> {
    const failures = (claim.record.failures ?? 0) + 1;
    Object.assign(claim.record, { failures });
    if (failures >= MOST_FAILURES) return this.putAside(claim, message, why, lost);
    await claim.finish({ state: "queued", error: shortened(why) }, lost);
    message.nak(1000 * TRY_AGAIN * failures);
    this.options.onNotice("warn", `${oneLine(claim.path)}: failure ${failures} of ${MOST_FAILURES}: ${why}`);
  }

  private async putAside(claim: Claim, message: JsMsg, why: string, lost?: AbortSignal): Promise<void> {
    await claim.finish({ state: "failed", error: shortened(why) }, lost);
    message.ack();
    this.options.onNotice("warn", `${oneLine(claim.path)}: put aside: ${why}`);
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
