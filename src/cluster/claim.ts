// A worker's hold on a video: the record at the server, which only its worker changes. Each change
// names the revision that it follows, so a worker that was cut off finds out that it lost the
// video.
import { setTimeout as sleep } from "node:timers/promises";
import type { JsMsg } from "@nats-io/jetstream";
import type { KV } from "@nats-io/kv";
import { InputError } from "../errors.js";
import { parsed } from "./archive.js";
import { natsReason } from "./connection.js";
import { type Archive, type VideoJob, type VideoRecord, videoSchema } from "./messages.js";

/** The reason to stop when another worker may have the video. */
export class Lost extends Error {}

/** What a claim is made of. */
export interface Claimed {
  /** Of the video's record. */
  key: string;
  /** Below the shared folder; of an uploaded video, its name. */
  path: string;
  job: VideoJob;
  archive: Archive;
  record: VideoRecord;
  /** Of the record; another one says that the video was lost. */
  revision: number;
}

/** A video that this worker has. */
export class Claim {
  readonly key: string;
  readonly path: string;
  readonly job: VideoJob;
  readonly archive: Archive;
  readonly record: VideoRecord;
  private revision: number;
  /** Whether its last record is being written: the lease is not renewed any more. */
  private isOver = false;
  /** The last change of the record that was begun: they are made one after the other. */
  private last: Promise<unknown> = Promise.resolve();

  /** @param worker the name of the worker that has it */
  constructor(
    private readonly videos: KV,
    private readonly worker: string,
    { key, path, job, archive, record, revision }: Claimed,
  ) {
    [this.key, this.path, this.job, this.archive] = [key, path, job, archive];
    [this.record, this.revision] = [record, revision];
  }

  /** Tells the server that the video is worked on, and how far; and finds out if it was lost. */
  renew(message: JsMsg, lease: number, lost: AbortController): NodeJS.Timeout {
    let renewed = performance.now();
    let isAsking = false;
    return setInterval(
      () => {
        if (performance.now() - renewed > 1000 * lease) lost.abort(new Lost("the server was away"));
        if (isAsking || this.isOver) return;
        isAsking = true;
        // The server counts from about now, and not from when its answer arrives.
        const asked = performance.now();
        message.working();
        this.update(this.record)
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

  /** Writes the last record of a claim. @throws Lost */
  finish(end: Partial<VideoRecord>, lost?: AbortSignal): Promise<void> {
    // Else a renewal might follow it, and the video would be scored for ever.
    this.isOver = true;
    return this.insist({ ...this.record, ...end }, lost);
  }

  /** Writes a record, also if the server is away for a while. @throws Lost */
  async insist(record: VideoRecord, lost?: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return await this.update(record);
      } catch (error) {
        if (error instanceof Lost || !lost) throw error;
        lost.throwIfAborted();
        await sleep(200, undefined, { signal: lost }).catch(() => lost.throwIfAborted());
      }
    }
  }

  /** Writes a record. @throws Lost if it is another worker's, InputError if the server is away */
  update(record: VideoRecord): Promise<void> {
    const text = JSON.stringify({ ...record, since: new Date().toISOString() });
    const done = this.last.then(() => this.write(text));
    this.last = done.catch(() => {});
    return done;
  }

  private async write(text: string): Promise<void> {
    const write = async () => {
      this.revision = await (this.revision === 0
        ? this.videos.create(this.key, text)
        : this.videos.update(this.key, text, this.revision));
    };
    const explained = (error: unknown) => (isOutdated(error) ? new Lost("it has another worker") : away(error));
    try {
      await write();
    } catch (error) {
      if (!isOutdated(error)) throw away(error);
      // The server may have taken a write whose answer was lost.
      const revision = await this.ownRevision().catch((again: unknown) => {
        throw away(again);
      });
      if (revision === undefined) throw explained(error);
      this.revision = revision;
      await write().catch((again: unknown) => {
        throw explained(again);
      });
    }
  }

  /** The revision of the record, if it still is this worker's. */
  private async ownRevision(): Promise<number | undefined> {
    const entry = await this.videos.get(this.key);
    const found = entry ? parsed(videoSchema, entry) : undefined;
    const { message, attempts } = this.record;
    const isOwn = found?.worker === this.worker && found.message === message && found.attempts === attempts;
    return isOwn ? entry?.revision : undefined;
  }
}

const isOutdated = (error: unknown): boolean => /wrong last sequence/i.test(String(error));
const away = (error: unknown): InputError => new InputError(natsReason(error));
