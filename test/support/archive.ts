// Archives of made-up videos, and workers whose scorers compute nothing.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { afterEach, vi } from "vitest";
import { openArchive, type Plan, submitVideo, type Upload } from "../../src/cluster/archive.js";
import { type Cluster, openCluster } from "../../src/cluster/connection.js";
import type { Archive, VideoRecord } from "../../src/cluster/messages.js";
import { putModel } from "../../src/cluster/models.js";
import type { Scored, Scorer, ScoringJob } from "../../src/cluster/scorer.js";
import { makeUploads, putVideo } from "../../src/cluster/uploads.js";
import { Worker } from "../../src/cluster/worker.js";
import { type NatsServer, startNats } from "./nats.js";

const endings: (() => unknown)[] = [];

/** What is to be ended after a test, the last first. */
export const atEnd = (end: () => unknown): void => void endings.push(end);

/** Ends all that after each test. To be called behind scratchPerTest, which removes the folders. */
export function endAll(): void {
  afterEach(async () => {
    for (const end of endings.splice(0).reverse()) await end();
  });
}

/** Starts a server that is ended after the test. */
export async function natsFor(folder: string | undefined, ...options: string[]): Promise<NatsServer> {
  const server = await startNats(folder, ...options);
  atEnd(() => server.end());
  return server;
}

export const sha256 = (bytes: string | Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Waits until a check passes. */
export const until = <T>(check: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(check, { timeout: 60_000, interval: 20 });

/** Writes a made-up video; its content is its name. */
export function makeVideo(share: string, path: string, content = path): { hash: string; path: string } {
  mkdirSync(dirname(join(share, path)), { recursive: true });
  writeFileSync(join(share, path), content);
  return { hash: sha256(content), path };
}

/** A connection that is closed after the test. */
export async function connected(url: string): Promise<Cluster> {
  const cluster = await openCluster({ url });
  atEnd(() => cluster.close());
  return cluster;
}

/** An archive of videos, whose results go to `scores`. */
export async function makeArchive(cluster: Cluster, share: string, plan: Partial<Plan> = {}) {
  mkdirSync(join(share, "scores"), { recursive: true });
  const file = join(share, "model.safetensors");
  writeFileSync(file, "the model");
  const model = await putModel(cluster.models, file);
  const archive = await openArchive(cluster, {
    ...{ model, how: { seed: 0 }, out: "scores", events: false, report: false },
    ...plan,
  });
  return {
    archive,
    /** Queues a video. */
    submit: (video: { hash: string; path: string }, retry = false) =>
      submitVideo(cluster, archive, video, { share, retry }),
    record: async ({ hash }: { hash: string }) => {
      const entry = await cluster.videos.get(`${archive.id}.${hash}`);
      return entry?.json<VideoRecord>();
    },
  };
}

/** Queues a video by sending it to the server. */
export async function uploadVideo(cluster: Cluster, archive: Archive, file: string, path: string) {
  const store = await makeUploads(cluster);
  const hash = sha256(readFileSync(file));
  const upload: Upload = {
    hasResults: ({ results }) => results !== undefined,
    put: () => putVideo(store, hash, file),
  };
  return { hash, state: await submitVideo(cluster, archive, { hash, path }, { upload, retry: false }) };
}

export type Archived = Awaited<ReturnType<typeof makeArchive>>;

/** How a made-up scorer scores. */
export type Score = (job: ScoringJob, signal: AbortSignal) => Promise<Scored>;

/** Writes scores that name the worker. */
export const signedBy =
  (name: string): Score =>
  async ({ scores }) => {
    await writeFile(scores, `by ${name}`);
    return { frames: 7, seconds: 0.5 };
  };

export interface WorkerSettings {
  url: string;
  /** The shared folder, unless videos are uploaded; and where models are kept. */
  share?: string;
  models: string;
  name: string;
  lease: number;
  score: Score;
  /** Changes the connection, to let it fail. */
  change?(cluster: Cluster): Cluster;
}

/** Starts a worker that is stopped after the test. */
export async function startWorker({ url, score, change = (same) => same, lease, ...settings }: WorkerSettings) {
  const stopping = new AbortController();
  const cluster = await openCluster({ url }, { lease, signal: stopping.signal, onWait: () => {} });
  const lines: string[] = [];
  const scored: string[] = [];
  const scorer: Pick<Scorer, "score" | "close"> = {
    score: (job, signal) => {
      scored.push(settings.share === undefined ? basename(job.input) : job.input.slice(settings.share.length + 1));
      return score(job, signal);
    },
    close: async () => {},
  };
  const worker = new Worker({
    ...{ ...settings, cluster: change(cluster), scorer, lease },
    onNotice: (_, line) => lines.push(line),
  });
  const run = worker.run(stopping.signal).finally(() => cluster.close());
  const stop = async () => {
    stopping.abort();
    await run;
  };
  atEnd(stop);
  return { lines, scored, stop };
}

/** The messages in the queue, waiting or being worked on. */
export async function queued({ manager }: Pick<Cluster, "manager">): Promise<number> {
  return (await manager.streams.info("sdmae_queue")).state.messages;
}

/** A scorer that begins, and ends when it is told to; what it writes is signed. */
export function held(name: string) {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const begun: { input: string; signal: AbortSignal }[] = [];
  const score: Score = async (job, signal) => {
    begun.push({ input: job.input, signal });
    await released;
    return signedBy(name)(job, signal);
  };
  /** Ends at once when it is aborted, as a real scorer does. */
  const obedient: Score = (job, signal) =>
    Promise.race([
      score(job, signal),
      new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    ]);
  return { begun, release, score, obedient };
}

/** What lies in the folder of an archive's results: of a video, and of what is not whole. */
export function resultsIn(share: () => string) {
  const result = (path: string) => join(share(), "scores", `${path}.csv`);
  return {
    result,
    read: (path: string) => readFileSync(result(path), "utf8"),
    unfinished: () => readdirSync(join(share(), "scores", ".sdmae-unfinished")),
  };
}
