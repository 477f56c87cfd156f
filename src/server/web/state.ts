// The state of the watch process as JSON.

import { freeBytes } from "../../node/files/free_bytes.js";
import { versions } from "../../node/files/versions.js";
import type { Outcome } from "../camera/decisions.js";
import type { NormalState } from "../camera/learner.js";
import type { CameraState, FrameMessage, WatchState } from "./api.js";
import type { Levels } from "./levels.js";
import type { SeenCamera, SeenWatch } from "./watched.js";

/** Null for what JSON cannot say. */
const known = (value: number | undefined): number | null =>
  value !== undefined && Number.isFinite(value) ? value : null;

/**
 * What is known now.
 * @param started when the page began to be served
 * @param editProblem what is wrong with an edit of the configuration
 */
export async function stateOf(
  watch: SeenWatch,
  levels: Levels,
  started: number,
  editProblem?: string,
): Promise<WatchState> {
  const { config, log, clipBytes } = watch;
  return {
    ...{ time: Date.now(), started, ready: watch.isReady },
    engines: [...watch.facts.values()].map(({ adapter, model, settings: { dtype, size } }) => {
      return { adapter, model, dtype, size };
    }),
    queues: watch.queues().map(({ sink, length, problem }) => ({ sink, length, problem: problem ?? null })),
    storage: {
      ...{ clips: clipBytes, most: config.keep.bytes, free: known(await freeBytes(config.data)) },
      ...{ reserve: config.reserve, days: config.keep.days },
    },
    ...{ problem: log.problem ?? null, editProblem: editProblem ?? null },
    versions: ownVersions(),
    cameras: watch.cameras.map((camera) => cameraState(camera, watch, levels)),
    shared: null,
  };
}

let found: WatchState["versions"] | undefined;

/** They are files that are read once. */
export function ownVersions(): WatchState["versions"] {
  found ??= versions();
  return found;
}

function cameraState(camera: SeenCamera, watch: SeenWatch, levels: Levels): CameraState {
  const { config, decisions, status, problem, slowness, picture, counts, outcome, lastFrame, latency } = camera;
  const { id, name, shadow, zones, ignore, privacy } = config;
  const { learning, threshold, mode, isPaused } = decisions;
  const learnt = watch.learnt(id);
  const { hash, isLearnt } = watch.modelOf(id);
  return {
    ...{ id, name, shadow, zones, ignore, privacy, status },
    ...{ problem: problem ?? null, slowness: slowness ?? null },
    ...{ picture: picture !== undefined, counts: { ...counts } },
    ...{ fps: levels.fpsOf(id), wantedFps: config.fps, learning, threshold: known(threshold), mode },
    level: status === "online" ? known(outcome?.level) : null,
    ...{ lastFrame: known(lastFrame), latency: known(latency), paused: isPaused },
    ...{ model: { hash: hash.slice(0, 8), learnt: isLearnt }, machine: null },
    learnt: learnt ? learntState(learnt) : null,
  };
}

/** Without its minutes, which are many. */
function learntState({ threshold, seconds, normal, alarmsPerDay, mapHigh }: NormalState): CameraState["learnt"] {
  return { threshold, seconds, normal, alarmsPerDay, mapHigh };
}

/** A frame's outcome, its map in bytes. */
export function frameMessage(camera: string, { time, level, threshold, mode, map }: Outcome): FrameMessage {
  const high = map.data.reduce((most, value) => (value > most ? value : most), 0);
  const data = Array.from(map.data, (value) => (value > 0 && high > 0 ? Math.round((255 * value) / high) : 0));
  return {
    ...{ camera, time: time.wall, level: known(level), threshold: known(threshold), mode },
    map: { rows: map.rows, columns: map.columns, high, data },
  };
}

/**
 * Keys of names that the configuration gave, or that are made of such. They stay as they are even
 * if a camera is called like its password.
 */
const names = new Set(["id", "camera", "sink", "kind", "change", "status", "mode", "clip", "snapshot", "zones"]);

/** A value without secrets in its texts. */
export function scrubbed(value: unknown, scrub: (text: string) => string): unknown {
  if (typeof value === "string") return scrub(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((part) => scrubbed(part, scrub));
  const parts = Object.entries(value).map(([key, part]) => {
    return [key, names.has(key) && isText(part) ? part : scrubbed(part, scrub)];
  });
  return Object.fromEntries(parts);
}

const isText = (value: unknown): boolean =>
  typeof value === "string" || (Array.isArray(value) && value.every((part) => typeof part === "string"));
