// What a cluster keeps of cameras.
import type { KV } from "@nats-io/kv";
import { type Cluster, orMake } from "../connection.js";

/** What is kept of cameras, by the names of the stores. */
export interface CameraStores {
  /** Each camera's settings, by its id. */
  cameras: KV;
  /** Who has each camera, by its id. */
  claims: KV;
  /** Signs of life, by the workers' sessions. */
  workers: KV;
  /** What each worker is to watch, by their sessions; and who leads, see {@link LEADER}. */
  plans: KV;
  /** What was learnt of each camera, by its id. */
  learnt: KV;
}

/** Names the leader among the plans; sessions have other names. */
export const LEADER = "leader";

/** The stream of events, and the subjects of a camera's. */
export const EVENTS = "sdmae_events";
export const eventSubject = (camera: string): string => `sdmae.event.${camera}`;
/** What people say of a camera's events: whoever has the event passes it on. */
export const feedbackSubject = (camera: string): string => `sdmae.feedback.${camera}`;

const DAY = 24 * 3600;
/** Seconds for which events are kept. */
const KEPT = 30 * DAY;
/** Seconds in which an event that comes again is known: as long as a worker tries to send it. */
const KNOWN = DAY;

/** Opens the stores, and makes what is not there yet. */
export async function openCameraStores(cluster: Cluster): Promise<CameraStores> {
  const { manager } = cluster;
  const subjects = [eventSubject("*"), feedbackSubject("*")];
  const events = { name: EVENTS, subjects, max_age: 1e9 * KEPT, duplicate_window: 1e9 * KNOWN };
  await orMake(
    () => manager.streams.info(EVENTS),
    () => manager.streams.add(events),
  );
  return {
    cameras: await cluster.store("sdmae_cameras"),
    claims: await cluster.store("sdmae_claims"),
    // In a file: a server that is started again does not make a store in memory again.
    workers: await cluster.store("sdmae_workers", { ttl: 1000 * DAY }),
    plans: await cluster.store("sdmae_plans", { ttl: 1000 * DAY }),
    learnt: await cluster.store("sdmae_learnt"),
  };
}
