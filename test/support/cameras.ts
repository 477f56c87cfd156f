// Cameras of a cluster: their settings at the server, workers that watch nothing, and the stream.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { EventStream, type EventStreamOptions, messageOf } from "../../src/cluster/cameras/event_stream.js";
import { type HeldCamera, Member, type MemberOptions } from "../../src/cluster/cameras/member.js";
import type { CameraRecord, EventMessage } from "../../src/cluster/cameras/messages.js";
import { type CameraStores, EVENTS, openCameraStores } from "../../src/cluster/cameras/stores.js";
import { ClusterView } from "../../src/cluster/cameras/view.js";
import { type Cluster, openCluster } from "../../src/cluster/connection.js";
import { putModel } from "../../src/cluster/models.js";
import type { EventChange } from "../../src/server/records.js";
import { atEnd } from "./archive.js";

/** A model that nobody reads. */
export const noModel: CameraRecord["model"] = { hash: "0".repeat(64), extension: ".safetensors", name: "none" };

/** What is kept of a camera, unless a test says otherwise. */
export const recordOf = (more: Partial<CameraRecord> = {}): CameraRecord => ({
  ...{ settings: { source: "rtsp://camera/stream" }, model: noModel, fps: 10, enabled: true },
  ...more,
});

/** Puts cameras into the store. */
export async function putCameras(stores: CameraStores, ids: readonly string[], more: Partial<CameraRecord> = {}) {
  for (const id of ids) await stores.cameras.put(id, JSON.stringify(recordOf(more)));
}

/** Puts a file into the store as a model. */
export async function putFile(cluster: Cluster, folder: string, content: string | Uint8Array) {
  const path = join(folder, "model.safetensors");
  writeFileSync(path, content);
  return putModel(cluster.models, path);
}

/** A message of the stream, and its number. */
export interface Streamed extends EventMessage {
  sequence: number;
  camera: string;
}

/** All messages of the stream that are what they should be, in order. @param behind a number */
export async function streamed({ manager }: Pick<Cluster, "manager">, behind = 0): Promise<Streamed[]> {
  const { first_seq, last_seq } = (await manager.streams.info(EVENTS)).state;
  const found: Streamed[] = [];
  for (let sequence = Math.max(behind + 1, first_seq); sequence <= last_seq; sequence++) {
    const stored = await manager.streams.getMessage(EVENTS, { seq: sequence });
    const message = stored && messageOf(stored.data);
    if (message) found.push({ ...message, sequence, camera: stored.subject.split(".")[2] });
  }
  return found;
}

/** Messages in a few words each. */
export const inWords = (messages: readonly EventMessage[]): string[] =>
  messages.map(({ change, event, worker, revision }) => `${worker} ${revision} ${change} ${event?.id ?? "-"}`);

/** A worker's stream, with leases that the test gives. */
export function streamWith(cluster: Pick<Cluster, "jetstream" | "manager">, worker: string) {
  const leases = new Map<string, number>();
  const refused: EventChange[] = [];
  const state = { isElsewhere: false };
  const options: EventStreamOptions = {
    ...{ cluster, worker },
    leaseOf: (camera) => leases.get(camera),
    isElsewhere: () => state.isElsewhere,
    onRefused: (change) => refused.push(change),
  };
  return { stream: new EventStream(options), leases, refused, state };
}

/** How a member is started, see {@link startMember}. */
export interface MemberSettings {
  url: string;
  name: string;
  lease: number;
  /** Most cameras. */
  most?: number;
  /** Frames per second; NaN: it was not measured. */
  capacity?: number;
  change?(stores: CameraStores): CameraStores;
  watch?(held: ReadonlyMap<string, HeldCamera>): Promise<void>;
  settled?: MemberOptions["settled"];
  /** Cameras that it cannot watch, and why. */
  problems?: Record<string, string>;
}

/** Starts a member that watches nothing; it is stopped after the test. */
export async function startMember(settings: MemberSettings) {
  const { url, name, lease, most, capacity = 1000, change = (same) => same } = settings;
  const stopping = new AbortController();
  const cluster = await openCluster({ url }, { lease, signal: stopping.signal, onWait: () => {} });
  const stores = await openCameraStores(cluster);
  let view: ClusterView | undefined;
  const lines: string[] = [];
  /** What it was to watch, one after the other. */
  const watched: string[][] = [];
  const taken: string[] = [];
  const member = new Member({
    ...{ cluster, stores: change(stores), name, lease },
    facts: () => ({
      ...{ isOpen: true, ...(!Number.isNaN(capacity) && { capacity }), ...(most !== undefined && { most }) },
      ...(settings.problems && { problems: settings.problems }),
    }),
    watch: async (held) => {
      watched.push([...held.keys()].sort());
      await settings.watch?.(held);
    },
    taken: async ({ id, revision }) => void taken.push(`${id} ${revision}`),
    settled: settings.settled ?? (async () => {}),
    onNotice: (_, line) => lines.push(line),
  });
  const run = member
    .run(stopping.signal)
    .catch((error: Error) => {
      // Tests close connections to let a member crash.
      if (!cluster.nats.isClosed()) throw error;
      lines.push(error.message);
    })
    .finally(async () => {
      view?.close();
      await cluster.close();
    });
  const stop = async () => {
    stopping.abort();
    await run;
  };
  atEnd(stop);
  const ids = () => [...member.cameras.keys()].sort();
  return {
    ...{ member, cluster, stores, lines, watched, taken, ids, stop },
    /** What the cluster is like; followed from the first look on. */
    get view(): ClusterView {
      view ??= new ClusterView(cluster, stores);
      return view;
    },
  };
}
