// A worker's cameras: the supervisor that watches them, who hears of events, and the page.
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { CameraWorker } from "../cluster/cameras/camera_worker.js";
import { measureCapacity } from "../cluster/cameras/measure.js";
import { openCameraStores } from "../cluster/cameras/stores.js";
import type { Cluster } from "../cluster/connection.js";
import type { CameraFrames } from "../cluster/pace.js";
import { Others } from "../cluster/page/others.js";
import { PageServer } from "../cluster/page/page_server.js";
import { makeFolder, writeFileAtomic } from "../node/files/atomic.js";
import { readConfig, usualConfig, type WatchConfig } from "../server/config/config.js";
import { KnownSecrets } from "../server/config/secrets.js";
import { readModel, sizeOf } from "../server/models.js";
import type { Sink } from "../server/records.js";
import { forgetCamera, openSinks, updateSinks } from "../server/sinks/open.js";
import { Supervisor } from "../server/supervisor.js";
import { webApp } from "../server/web/app.js";
import { type Served, serveWeb } from "../server/web/serve.js";
import { WatchFeed } from "../server/web/watched.js";
import { parseSchedule } from "../watch/schedule.js";
import { checkpointOf } from "./config_paths.js";
import { type DeviceOptions, deviceOf } from "./options/device.js";
import { noticeFor, sinkListener, type Watching, watchListener } from "./watch_session.js";

/** What a worker's cameras are watched with. */
export interface ClusterSession extends DeviceOptions, Pick<Watching, "engine" | "quiet"> {
  lease: number;
  models: string;
  /** The shared folder's real path. */
  share?: string;
  /** Files that are played begin again at their end. */
  loop?: boolean;
  /** Most cameras; default: what the machine carries. */
  cameras?: number;
  /** Takes in how many frames of cameras came and were scored, again and again. */
  onFrames?(counted: CameraFrames): void;
}

/** Milliseconds between counts of frames. */
const COUNT = 2000;

function framesOf({ cameras }: Supervisor): CameraFrames {
  const counts = cameras.map((camera) => camera.counts);
  const sum = (of: (one: (typeof counts)[number]) => number) => counts.reduce((all, one) => all + of(one), 0);
  return { frames: sum(({ frames }) => frames), scored: sum(({ scored }) => scored) };
}

/** Reads a worker's settings, with what the command line says. @throws InputErrors */
export async function workerConfig({
  config: path,
  data,
  port,
}: {
  config?: string;
  data?: string;
  port?: number;
}): Promise<WatchConfig> {
  const checkSchedule = (text: string) => void parseSchedule(text);
  const config = path === undefined ? usualConfig() : await readConfig(path, { checkSchedule, isWorker: true });
  const web = port === undefined ? config.web : { ...(config.web ?? { host: "127.0.0.1" }), port };
  return { ...config, ...(data !== undefined && { data }), ...(web && { web }) };
}

/**
 * The name of the worker of a data folder: what others know its events by. It is made once, and
 * stays: clips would not be found by another name.
 * @param wanted how it begins; default: the machine's name
 * @throws InputError if the folder cannot be written
 */
export async function workerNameOf(data: string, wanted: string | undefined): Promise<string> {
  const path = join(data, "worker");
  const known = (await readFile(path, "utf8").catch(() => "")).trim();
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(known)) return known;
  const begin = (wanted ?? hostname())
    .replace(/[^A-Za-z0-9_-]+/g, "-")
    .replace(/^[-_]+/, "")
    .slice(0, 40);
  const name = `${begin || "worker"}-${randomBytes(3).toString("hex")}`;
  await makeFolder(data);
  await writeFileAtomic(path, `${name}\n`);
  return name;
}

/** Takes cameras of the cluster and watches them, until the signal ends it. */
export async function watchCluster(
  cluster: Cluster,
  name: string,
  config: WatchConfig,
  options: ClusterSession,
  signal: AbortSignal,
): Promise<void> {
  const { lease, models, share, loop = false, engine, cameras: most } = options;
  const secrets = new KnownSecrets(config.secrets);
  const { scrub } = secrets;
  const notice = noticeFor(scrub, config, options);
  const detector = deviceOf(options);
  const feed = new WatchFeed();
  let worker: CameraWorker | undefined;
  const supervisor = await Supervisor.open(
    config,
    { checkpoint: [checkpointOf(config, undefined)], detector, play: { loop }, stays: true, ...(engine && { engine }) },
    {
      ...watchListener(feed, notice, scrub),
      onUnscored: (ids, { message }) => {
        for (const id of ids) worker?.cannotScore(id, message);
      },
    },
  );
  const counting = setInterval(() => options.onFrames?.(framesOf(supervisor)), COUNT);
  let page: Served | undefined;
  let pages: PageServer | undefined;
  let others: Others | undefined;
  const sinks = new Map<string, Sink>();
  try {
    const listener = { ...sinkListener(supervisor, notice), secrets: () => secrets.all, worker: name };
    for (const [sink, opened] of openSinks(config, listener)) sinks.set(sink, opened);
    const stores = await openCameraStores(cluster);
    const watching = new CameraWorker(
      {
        ...{ cluster, name, lease, models, environment: process.env },
        ...{ stores, onNotice: (level, line) => notice(level, "cluster", line) },
        ...(share !== undefined && { share }),
        ...(most !== undefined && { most }),
        onRemoved: (id) => forgetCamera(sinks, id),
        measure: async (checkpoint, camera, until) => {
          const size = sizeOf(camera, await readModel([checkpoint], detector));
          return measureCapacity({ checkpoint: [checkpoint], ...size, detector }, until, engine);
        },
      },
      config,
      (next) => {
        secrets.add(next.secrets);
        updateSinks(sinks, next);
      },
    );
    worker = watching;
    // Pages of other machines ask through the server, which says who may.
    const { nats } = cluster;
    pages = new PageServer({ nats, name, feed, app: webApp(supervisor, feed, { scrub }) });
    if (config.web) {
      others = new Others({
        cluster,
        stores,
        name,
        isInTouch: () => watching.member.isCurrent,
        figures: () => watching.member.figures,
      });
      page = await serveWeb(webApp(supervisor, feed, { ...config.web, scrub, elsewhere: others }), config.web);
    }
    process.stderr.write(`cameras: events and clips in ${config.data}${page ? `; page: ${page.url}` : ""}\n`);
    await watching.run(supervisor, sinks, signal);
  } finally {
    clearInterval(counting);
    await page?.close();
    pages?.close();
    others?.close();
    await supervisor.close();
    for (const sink of sinks.values()) await sink.close?.();
  }
}
