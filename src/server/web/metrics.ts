// Figures for Prometheus.
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Elsewhere } from "./elsewhere.js";
import { ownVersions } from "./state.js";
import type { SeenCamera, SeenWatch, WatchFeed } from "./watched.js";

/** Upper ends of the histogram of latencies, in seconds. */
const LATENCIES = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10];

/**
 * A registry of all figures of a watch process. What it counts by itself begins now; the rest is
 * read when somebody asks.
 */
export function watchMetrics(
  watch: SeenWatch,
  feed: WatchFeed,
  elsewhere?: Pick<Elsewhere, "isInTouch" | "figures">,
): Registry {
  const registry = new Registry();
  if (elsewhere) clusterMetrics(elsewhere, registry);
  cameraMetrics(watch, registry);
  countedMetrics(feed, registry);
  new Gauge({
    ...about("alert_queue_length", "Changes of events that wait to be delivered.", registry, ["sink"]),
    collect() {
      this.reset();
      for (const { sink, length } of watch.queues()) this.set({ sink }, length);
    },
  });
  new Gauge({
    ...about("sink_up", "1 if nothing is known to be wrong with a sink.", registry, ["sink"]),
    collect() {
      this.reset();
      for (const { sink, problem } of watch.queues()) this.set({ sink }, problem === undefined ? 1 : 0);
    },
  });
  new Gauge({
    ...about("storage_bytes", "Bytes of clips and snapshots.", registry),
    collect() {
      this.set(watch.clipBytes);
    },
  });
  const build = about("build_info", "Versions, as labels.", registry, ["version", "node", "webgpu"]);
  const { sdmae, node, webgpu } = ownVersions();
  new Gauge(build).set({ version: sdmae, node, webgpu }, 1);
  return registry;
}

/** What all metrics have. */
function about<Label extends string = never>(name: string, help: string, registry: Registry, labels: Label[] = []) {
  return { name: `sdmae_${name}`, help, registers: [registry], labelNames: labels };
}

/** What a worker knows of the others. */
function clusterMetrics(elsewhere: Pick<Elsewhere, "isInTouch" | "figures">, registry: Registry): void {
  const gauge = (name: string, help: string, read: () => number | undefined) =>
    new Gauge({
      ...about(name, help, registry),
      collect() {
        const value = read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  gauge("cluster_up", "1 if this worker is in touch with the server.", () => Number(elsewhere.isInTouch));
  gauge(
    "cluster_workers",
    "Workers that are alive; the worker that plans counts them.",
    () => elsewhere.figures?.workers,
  );
  gauge(
    "cluster_unwatched_cameras",
    "Cameras that nobody watches; the worker that plans counts them.",
    () => elsewhere.figures?.unwatched,
  );
}

/** What is read off cameras. */
function cameraMetrics(watch: SeenWatch, registry: Registry): void {
  const gauge = (name: string, help: string, read: (camera: SeenCamera) => number | undefined) =>
    new Gauge({
      ...about(name, help, registry, ["camera"]),
      collect() {
        this.reset();
        for (const camera of watch.cameras) {
          const value = read(camera);
          if (value !== undefined && Number.isFinite(value)) this.set({ camera: camera.config.id }, value);
        }
      },
    });
  const isOnline = ({ status }: SeenCamera) => status === "online";
  gauge("camera_up", "1 if frames come, or a folder waits for files.", (camera) =>
    isOnline(camera) || camera.status === "waiting" ? 1 : 0,
  );
  gauge("last_frame_timestamp_seconds", "When the last frame came.", ({ lastFrame }) => lastFrame / 1000);
  gauge("score", "The level that is compared with the threshold.", (camera) =>
    isOnline(camera) ? camera.outcome?.level : undefined,
  );
  gauge("threshold", "From here on a level is abnormal.", ({ decisions }) => decisions.threshold);
  new Counter({
    ...about("frames_total", "Frames that were scored or dropped.", registry, ["camera", "result"]),
    collect() {
      this.reset();
      for (const { config, counts } of watch.cameras) {
        for (const result of ["scored", "dropped"] as const) this.inc({ camera: config.id, result }, counts[result]);
      }
    },
  });
  new Counter({
    ...about("reconnects_total", "Connections that were lost.", registry, ["camera"]),
    collect() {
      this.reset();
      for (const { config, counts } of watch.cameras) this.inc({ camera: config.id }, counts.reconnects);
    },
  });
}

/** What is counted as it happens. */
function countedMetrics(feed: WatchFeed, registry: Registry): void {
  const latency = new Histogram({
    ...about("frame_latency_seconds", "From a frame's arrival to its score.", registry, ["camera"]),
    buckets: LATENCIES,
  });
  const events = new Counter(about("events_total", "Events that began.", registry, ["camera", "kind"]));
  const alerts = new Counter(about("alerts_total", "Attempts to deliver a change.", registry, ["sink", "result"]));
  feed.listen({
    onOutcome: ({ config, latency: seconds }) => {
      if (Number.isFinite(seconds)) latency.observe({ camera: config.id }, seconds);
    },
    onChange: ({ change, event: { camera, kind } }) => {
      if (change === "new") events.inc({ camera, kind });
    },
    onDelivery: (sink, result) => alerts.inc({ sink, result }),
  });
}
