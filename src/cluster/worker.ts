// A worker: takes videos from the queue, one after another, and has each scored. Whoever is cut off
// from the server for a lease stops, and writes nothing when it returns: another worker may have
// the video by then.
import { randomBytes } from "node:crypto";
import { access, readdir, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Consumer, JsMsg } from "@nats-io/jetstream";
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
export const MOST_FAILURES = 3;
/**
 * So is a video that was begun so often. Workers may end for reasons of their own, such as a power
 * cut, so this is more; but a video that ends its workers must not do so for ever.
 */
export const MOST_ATTEMPTS = 10;
/**
 * The folder of results that are not whole, in that of the results. It stays: if it were removed
 * while it is empty, another worker could just be about to make a folder in it.
 */
const UNFINISHED = ".sdmae-unfinished";
/** Seconds between looks for a video, and until a video is tried again. */
const LOOK = 2;
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
  hash: string;
  /** Below the shared folder. */
  path: string;
  archive: Archive;
  record: VideoRecord;
  /** Of the record; another one says that the video was lost. */
  revision: number;
  /** Whether its last record is being written: the lease is not renewed any more. */
  isOver: boolean;
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
    /** How often in a row the server gave no sign of life: a busy machine may miss one. */
    let missed = 0;
    try {
      while (!signal.aborted) {
        try {
          const message = await nextOf(consumer, signal);
          [said, missed] = ["", 0];
          if (message && signal.aborted) {
            message.nak();
            await cluster.nats.flush();
          } else if (message) await this.take(message, signal);
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

  private async take(message: JsMsg, signal: AbortSignal): Promise<void> {
    const { onNotice } = this.options;
    const job = jobOf(message);
    if (!job) {
      onNotice("warn", `a message of ${oneLine(message.subject)} is no video: it was thrown away`);
      return message.ack();
    }
    const claim = await this.claim(job, message).catch((error: unknown) => {
      if (!(error instanceof Lost)) throw error;
      // Another worker was faster; if it fails, the message comes again.
      message.nak(1000 * TRY_AGAIN);
    });
    if (!claim) return;
    const path = oneLine(claim.path);
    const lost = new AbortController();
    const renewal = this.renew(claim, message, lost);
    try {
      const scored = await this.score(claim, AbortSignal.any([signal, lost.signal]), lost.signal);
      await this.finish(claim, { state: "done", ...scored, total: scored.frames }, lost.signal);
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
    if (!signal.aborted) return this.failed(claim, message, reasonOf(error), lost);
    // It was no failure of the video.
    claim.isOver = true;
    await this.update(claim, { ...claim.record, state: "queued", attempts: claim.record.attempts - 1 });
    message.nak();
    await this.options.cluster.nats.flush();
    this.options.onNotice("info", `${oneLine(claim.path)}: left to another worker`);
  }

  /** Takes a video, unless it is done, or another worker's. */
  private async claim(job: VideoJob, message: JsMsg): Promise<Claim | undefined> {
    const { archives, videos } = this.options.cluster;
    const key = videoKey(job.archive, job.hash);
    const known = await archives.get(job.archive);
    const archive = known ? parsed(archiveSchema, known) : undefined;
    if (!archive) {
      this.options.onNotice("warn", `${oneLine(job.path)} is of no known archive: it was thrown away`);
      message.ack();
      return undefined;
    }
    await this.checkShare(archive, message);
    const entry = await videos.get(key);
    const before = entry ? parsed(videoSchema, entry) : undefined;
    // A message that comes again is the one that its worker has lost; another one is superfluous.
    const isElsewhere = before?.state === "running" && before.message !== message.seq;
    if (before?.state === "done" || before?.state === "failed" || isElsewhere) {
      message.ack();
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
    const claim: Claim = {
      ...{ key, path, hash: job.hash, archive, record, revision: entry?.revision ?? 0 },
      ...{ isOver: false, last: Promise.resolve() },
    };
    if (attempts >= MOST_ATTEMPTS) {
      // It ended its workers, so that none could say so.
      await this.putAside(
        { ...claim, record: { ...record, attempts } },
        message,
        `its workers ended ${attempts} times`,
      );
      await this.sweep(claim);
      return undefined;
    }
    await this.update(claim, record);
    await this.sweep(claim);
    return claim;
  }

  /**
   * Refuses to work where the shared folder is not: each video would fail.
   * @throws InputError that says so
   */
  private async checkShare({ out }: Archive, message: JsMsg): Promise<void> {
    const { share } = this.options;
    try {
      await access(join(share, out));
    } catch {
      message.nak(1000 * LOOK);
      throw new InputError(`the results' folder ${oneLine(out)} is not in ${oneLine(share)}: is it mounted here?`);
    }
  }

  /** Removes what workers have left that were ended while they had the video. */
  private async sweep(claim: Claim): Promise<void> {
    const folder = join(this.options.share, claim.archive.out, UNFINISHED);
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter((one) => one.startsWith(unfinishedName(claim)))) {
      await rm(join(folder, name), { recursive: true, force: true }).catch(() => {});
    }
  }

  /** Tells the server that the video is worked on, and how far; and finds out if it was lost. */
  private renew(claim: Claim, message: JsMsg, lost: AbortController): NodeJS.Timeout {
    const { lease } = this.options;
    let renewed = performance.now();
    let isAsking = false;
    return setInterval(
      () => {
        if (performance.now() - renewed > 1000 * lease) lost.abort(new Lost("the server was away"));
        if (isAsking || claim.isOver) return;
        isAsking = true;
        // The server counts from about now, and not from when its answer arrives.
        const asked = performance.now();
        message.working();
        this.update(claim, claim.record)
          .then(
            () => {
              renewed = asked;
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
  private async score(claim: Claim, signal: AbortSignal, lost: AbortSignal): Promise<Scored> {
    const { archive, path } = claim;
    const { cluster, share, models, scorer } = this.options;
    const [out, paths] = [join(share, archive.out), resultPaths(archive, path)];
    const folder = join(out, UNFINISHED, `${unfinishedName(claim)}${randomBytes(4).toString("hex")}`);
    await makeFolder(folder);
    try {
      const checkpoint = await fetchModel(cluster.models, archive.model, models);
      const made = { scores: "scores.csv", events: "events.csv", report: "report" } as const;
      const wanted = ["scores", ...(archive.events ? ["events"] : []), ...(archive.report ? ["report"] : [])] as const;
      const outputs = Object.fromEntries(wanted.map((what) => [what, join(folder, made[what as keyof typeof made])]));
      const scored = await scorer.score(
        { input: join(share, path), checkpoint, how: archive.how, scores: "", ...outputs },
        signal,
        (frames, total) => Object.assign(claim.record, { frames, ...(total !== undefined && { total }) }),
      );
      signal.throwIfAborted();
      // Whoever was cut off meanwhile hears of it here.
      await this.insist(claim, claim.record, lost);
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

  private async failed(claim: Claim, message: JsMsg, why: string, lost: AbortSignal): Promise<void> {
    const failures = (claim.record.failures ?? 0) + 1;
    Object.assign(claim.record, { failures });
    if (failures >= MOST_FAILURES) return this.putAside(claim, message, why, lost);
    await this.finish(claim, { state: "queued", error: shortened(why) }, lost);
    message.nak(1000 * TRY_AGAIN * failures);
    this.options.onNotice("warn", `${oneLine(claim.path)}: failure ${failures} of ${MOST_FAILURES}: ${why}`);
  }

  private async putAside(claim: Claim, message: JsMsg, why: string, lost?: AbortSignal): Promise<void> {
    await this.finish(claim, { state: "failed", error: shortened(why) }, lost);
    message.ack();
    this.options.onNotice("warn", `${oneLine(claim.path)}: put aside: ${why}`);
  }

  /** Writes the last record of a claim. */
  private finish(claim: Claim, end: Partial<VideoRecord>, lost?: AbortSignal): Promise<void> {
    // Else a renewal might follow it, and the video would be scored for ever.
    claim.isOver = true;
    return this.insist(claim, { ...claim.record, ...end }, lost);
  }

  /** Writes a record, also if the server is away for a while. @throws Lost */
  private async insist(claim: Claim, record: VideoRecord, lost?: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return await this.update(claim, record);
      } catch (error) {
        if (error instanceof Lost || !lost) throw error;
        lost.throwIfAborted();
        await sleep(200, undefined, { signal: lost }).catch(() => lost.throwIfAborted());
      }
    }
  }

  /** Writes a record. @throws Lost if it is another worker's, InputError if the server is away */
  private update(claim: Claim, record: VideoRecord): Promise<void> {
    const text = JSON.stringify({ ...record, since: new Date().toISOString() });
    const done = claim.last.then(() => this.write(claim, text));
    claim.last = done.catch(() => {});
    return done;
  }

  private async write(claim: Claim, text: string): Promise<void> {
    const { videos } = this.options.cluster;
    const write = async () => {
      claim.revision = await (claim.revision === 0
        ? videos.create(claim.key, text)
        : videos.update(claim.key, text, claim.revision));
    };
    const explained = (error: unknown) => (isOutdated(error) ? new Lost("it has another worker") : away(error));
    try {
      await write();
    } catch (error) {
      if (!isOutdated(error)) throw away(error);
      // The server may have taken a write whose answer was lost.
      const revision = await this.ownRevision(claim).catch((again: unknown) => {
        throw away(again);
      });
      if (revision === undefined) throw explained(error);
      claim.revision = revision;
      await write().catch((again: unknown) => {
        throw explained(again);
      });
    }
  }

  /** The revision of a claim's record, if it still is this worker's. */
  private async ownRevision({ key, record }: Claim): Promise<number | undefined> {
    const entry = await this.options.cluster.videos.get(key);
    const found = entry ? parsed(videoSchema, entry) : undefined;
    const isOwn = found?.worker === this.name && found.message === record.message && found.attempts === record.attempts;
    return isOwn ? entry?.revision : undefined;
  }
}

/** How the folder of a video's unfinished results begins. */
const unfinishedName = ({ archive, hash }: Pick<Claim, "archive" | "hash">): string => `${archive.id}-${hash}-`;

const isOutdated = (error: unknown): boolean => /wrong last sequence/i.test(String(error));
const away = (error: unknown): InputError => new InputError(natsReason(error));

/** The next message, if there is one soon. The signal ends the wait. */
async function nextOf(consumer: Consumer, signal: AbortSignal): Promise<JsMsg | undefined> {
  const messages = await consumer.fetch({ max_messages: 1, expires: 1000 * LOOK });
  const stop = () => void messages.close();
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  try {
    for await (const message of messages) return message;
    return undefined;
  } finally {
    signal.removeEventListener("abort", stop);
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
