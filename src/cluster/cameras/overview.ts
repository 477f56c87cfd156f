// Cameras and workers as they are now, for people.
import type { Cluster } from "../connection.js";
import { openView } from "./on_demand.js";
import { type CameraStores, openCameraStores } from "./stores.js";
import type { ClusterView } from "./view.js";

/** What is known of a camera. */
export interface CameraOverview {
  id: string;
  fps: number;
  /** The name and the SHA-256 of its model's file. */
  model: string;
  hash: string;
  /** Who watches it; absent if nobody does. */
  worker?: string;
  /** Since when, ISO 8601. */
  since?: string;
  /** Offline and ended ones have a worker, but give no frames. */
  state: "watched" | "offline" | "ended" | "not watched" | "off";
  /** Why a worker cannot watch it. */
  problem?: string;
}

/** What is known of a worker that is alive. */
export interface WorkerOverview {
  name: string;
  cameras: number;
  /** Frames per second of its cameras. */
  fps: number;
  /** Frames per second that it carries; absent if it was not measured. */
  capacity?: number;
  /** Most cameras that it takes. */
  most?: number;
}

/** All cameras and workers. */
export interface Overview {
  cameras: CameraOverview[];
  workers: WorkerOverview[];
}

/** Looks once. */
export async function overviewOf(cluster: Cluster): Promise<Overview> {
  const stores = await openCameraStores(cluster);
  const view = await openView(cluster, stores, () => serverTime(cluster, stores));
  try {
    return overview(view);
  } finally {
    view.close();
  }
}

/** The server's clock, in milliseconds since 1970: it says when it made a consumer. */
async function serverTime(
  { manager }: Pick<Cluster, "manager">,
  { workers }: Pick<CameraStores, "workers">,
): Promise<number> {
  const stream = (await workers.status()).streamInfo.config.name;
  const { name, created } = await manager.consumers.add(stream, { ack_policy: "none" });
  await manager.consumers.delete(stream, name);
  return Date.parse(created);
}

/** What is known now. */
export function overview(view: ClusterView): Overview {
  const workers = new Map<string, WorkerOverview>();
  for (const [session, { worker: name, capacity, most }] of view.alive) {
    workers.set(session, {
      ...{ name, cameras: 0, fps: 0 },
      // What was given by --cameras is not measured.
      ...(capacity !== undefined && most === undefined && { capacity }),
      ...(most !== undefined && { most }),
    });
  }
  const problems = new Map<string, string>();
  for (const [, { worker, problems: own = {} }] of view.alive) {
    for (const [id, text] of Object.entries(own)) problems.set(id, `${worker} cannot watch it: ${text}`);
  }
  const cameras: CameraOverview[] = [];
  for (const [id, { value }] of view.cameras) {
    if (!value) continue;
    const { enabled, fps, model } = value;
    const session = view.ownerOf(id);
    const worker = session === undefined ? undefined : workers.get(session);
    const problem = problems.get(id);
    const silent = session === undefined ? undefined : view.workers.get(session)?.sign.silent?.[id];
    const watched = worker ? (silent ?? "watched") : "not watched";
    if (worker) {
      worker.cameras++;
      worker.fps += fps;
    }
    cameras.push({
      ...{ id, state: enabled ? watched : "off", fps, model: model.name, hash: model.hash },
      ...(worker && { worker: worker.name, since: view.claims.get(id)?.value?.since }),
      ...(problem !== undefined && { problem }),
    });
  }
  cameras.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { cameras, workers: [...workers.values()].sort((a, b) => (a.name < b.name ? -1 : 1)) };
}
