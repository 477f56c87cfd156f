// A connection to a NATS server, and what is kept there. The client is loaded only if it is used.
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { KV, KvOptions } from "@nats-io/kv";
import type { ObjectStore } from "@nats-io/obj";
import type { NatsConnection } from "@nats-io/transport-node";
import { InputError } from "../errors.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { parseAddress } from "../node/media/address.js";

/** How a server is reached. */
export interface NatsOptions {
  /** nats:// or tls://, with several servers separated by commas. A login in it is used. */
  url: string;
  user?: string;
  password?: string;
  token?: string;
  /** Path of a credentials file (.creds). */
  creds?: string;
  /** Path of the PEM of who vouches for the server's certificate. */
  ca?: string;
}

/** How workers use a server. */
export interface WorkerConnection {
  /** Seconds without a sign of life after which a video goes to another worker. */
  lease: number;
  /** Ends waiting for a server that is not there. */
  signal: AbortSignal;
  /** Takes in why the worker waits, when it begins to. */
  onWait(line: string): void;
}

/** What a cluster keeps, by the names of its stores. */
export interface Stores {
  /** Each archive, by its id. */
  archives: KV;
  /** What became of each video, by ARCHIVE.HASH. */
  videos: KV;
  /** Models, by their SHA-256. */
  models: ObjectStore;
}

/** A cluster: the machines that use one NATS server. */
export interface Cluster extends Stores {
  /** The server's address without its login. */
  shown: string;
  nats: NatsConnection;
  jetstream: JetStreamClient;
  manager: JetStreamManager;
  /** A key-value store, which is made if it is not there. */
  store(name: string, settings?: Partial<KvOptions>): Promise<KV>;
  close(): Promise<void>;
}

/** The stream of videos that wait for a worker, and the consumer that all workers share. */
export const QUEUE = "sdmae_queue";
export const WORKERS = "workers";
/** The same for videos that were uploaded, which workers without a shared folder take too. */
export const UPLOADS = "sdmae_uploads";
/** The subject of an archive's videos. */
export const subjectOf = (archive: string): string => `sdmae.archive.${archive}`;
export const uploadSubject = (archive: string): string => `sdmae.upload.${archive}`;

/** Seconds until a server that is not there is tried again. */
const TRY_AGAIN = 1;
/** The lease until a worker has named another. */
const LEASE = 30;

/**
 * Connects to a server, and makes what is not there yet.
 * @param worker of workers, which wait for a server that is not there; others do not
 * @throws InputError if the server cannot be used; the reason of the worker's signal
 */
export async function openCluster(options: NatsOptions, worker?: WorkerConnection): Promise<Cluster> {
  if (!worker) return attempt(options);
  for (let said = ""; ; ) {
    try {
      return await attempt(options, worker.lease);
    } catch (error) {
      if (!(error instanceof Away)) throw error;
      if (error.message !== said) worker.onWait(error.message);
      said = error.message;
      await sleep(1000 * TRY_AGAIN, undefined, { signal: worker.signal }).catch(() => {});
      worker.signal.throwIfAborted();
    }
  }
}

/** A server that may answer later. */
class Away extends InputError {}

async function attempt(options: NatsOptions, lease?: number): Promise<Cluster> {
  const { shown, servers, login } = serversOf(options.url);
  const { connect, credsAuthenticator } = await import("@nats-io/transport-node");
  const { jetstream, jetstreamManager } = await import("@nats-io/jetstream");
  const { Kvm } = await import("@nats-io/kv");
  const { Objm } = await import("@nats-io/obj");
  const { user = login?.user, password = login?.password, token, creds, ca } = options;
  const isSecure = servers.some((server) => server.startsWith("tls://")) || ca !== undefined;
  const known = creds === undefined ? undefined : await readCredentials(creds);
  let nats: NatsConnection | undefined;
  try {
    nats = await connect({
      ...{ servers, name: `sdmae on ${hostname()}`, timeout: 5000 },
      maxReconnectAttempts: lease === undefined ? 10 : -1,
      // A server that is back soon must find its workers before their leases are over.
      ...(lease !== undefined && { reconnectTimeWait: Math.min(2000, 100 * lease) }),
      // A login may be refused while the server's accounts are being changed.
      ignoreAuthErrorAbort: lease !== undefined,
      ...(user !== undefined && { user, pass: password }),
      ...(token !== undefined && { token }),
      ...(known && { authenticator: credsAuthenticator(known) }),
      ...(isSecure && { tls: ca === undefined ? {} : { caFile: ca } }),
    });
    const manager = await jetstreamManager(nats);
    const client = jetstream(nats);
    // Workers need not be allowed to make anything: whoever submits has made it.
    await orMake(
      () => manager.streams.info(QUEUE),
      () => manager.streams.add({ name: QUEUE, subjects: [subjectOf(">")], retention: "workqueue" }),
    );
    await openWorkers(manager, QUEUE, lease);
    const values = new Kvm(client);
    const objects = new Objm(client);
    const opened = nats;
    const store: Cluster["store"] = (name, settings) =>
      orMake(
        () => manager.streams.info(`KV_${name}`).then(() => values.open(name)),
        () => values.create(name, settings),
      );
    return {
      ...{ shown, nats, jetstream: client, manager, store },
      archives: await store("sdmae_archives"),
      videos: await store("sdmae_videos"),
      models: await orMake(
        () => objects.open("sdmae_models"),
        () => objects.create("sdmae_models"),
      ),
      close: () => opened.close(),
    };
  } catch (error) {
    await nats?.close().catch(() => {});
    const why = natsReason(error);
    // The network may fail in many ways, but these stay as they are.
    const { code } = error as { code?: unknown };
    const isAway =
      ![NO_LOGIN, NO_RIGHT, NOT_TRUSTED, NO_TLS, NO_JETSTREAM].includes(why) && code !== "ENOENT" && code !== "EACCES";
    throw new (isAway ? Away : InputError)(`${shown}: ${why}`);
  }
}

/** @throws InputError if the file cannot be read, or holds none */
async function readCredentials(path: string): Promise<Buffer> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new InputError(`${path}: ${reasonOf(error)}`);
  });
  const parts = ["BEGIN NATS USER JWT", "BEGIN USER NKEY SEED"];
  if (!parts.every((part) => bytes.includes(part))) throw new InputError(`${path} holds no credentials of NATS`);
  return bytes;
}

/** Makes the workers' consumer. Only workers change its lease: others do not know it. */
export async function openWorkers(manager: JetStreamManager, queue: string, lease: number | undefined): Promise<void> {
  const wait = 1e9 * (lease ?? LEASE);
  const known = await manager.consumers.info(queue, WORKERS).catch(() => undefined);
  if (!known) {
    const consumer = { durable_name: WORKERS, ack_policy: "explicit", ack_wait: wait } as const;
    await manager.consumers
      .add(queue, { ...consumer, max_ack_pending: -1, max_deliver: -1 })
      .catch((error: unknown) => {
        // Another worker may have been faster, with another lease.
        if (!/already exists/i.test(String(error))) throw error;
      });
  } else if (lease !== undefined && known.config.ack_wait !== wait) {
    await manager.consumers.update(queue, WORKERS, { ack_wait: wait });
  }
}

/**
 * Opens a cluster for some work, and closes it.
 * @throws InputError if the server fails; what the work throws
 */
export async function withCluster<T>(options: NatsOptions, work: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = await openCluster(options);
  const { errors } = await import("@nats-io/transport-node");
  const { JetStreamError } = await import("@nats-io/jetstream");
  try {
    return await work(cluster);
  } catch (error) {
    const isOfServer = Object.values(errors).some((kind) => error instanceof kind) || error instanceof JetStreamError;
    throw isOfServer ? new InputError(`${cluster.shown}: ${natsReason(error)}`) : error;
  } finally {
    await cluster.close();
  }
}

/** What is there, or else what is made. */
export async function orMake<T>(look: () => Promise<T>, make: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!/not found/i.test(String(error))) throw error;
    return make();
  }
}

/** The servers of an address, as the client takes them. @throws InputError if it is none */
function serversOf(url: string): {
  shown: string;
  servers: string[];
  login: { user: string; password: string } | undefined;
} {
  const parsed = url.split(",").map((one) => parseAddress(one.includes("://") ? one : `nats://${one}`));
  for (const { url: address, shown } of parsed) {
    if (!/^(nats|tls):$/.test(address.protocol)) throw new InputError(`${shown}: addresses begin with nats or tls`);
  }
  return {
    shown: parsed.map(({ shown }) => shown).join(","),
    servers: parsed.map(({ url: address }) => `${address.protocol}//${address.host}`),
    login: parsed[0].login,
  };
}

const NO_LOGIN = "it refuses the login";
const NO_RIGHT = "this login may not do that";
const NOT_TRUSTED = "nobody known vouches for its certificate (--nats-ca FILE names who does)";
const NO_TLS = "the server runs without TLS";
const NO_JETSTREAM = "the server runs without JetStream (start it with -js)";

/** Why the client failed, in a few words. */
export function natsReason(error: unknown): string {
  const { code } = error as { code?: unknown };
  if (code === "ECONNREFUSED" || /connection[_ ]refused|ECONNREFUSED/i.test(String(error)))
    return "no server answers there";
  const name = error instanceof Error ? error.name : "";
  if (name === "NoRespondersError" || /jetstream (is )?not enabled/i.test(String(error))) return NO_JETSTREAM;
  if (/Authorization|authentication/i.test(String(error))) return NO_LOGIN;
  if (/permissions violation/i.test(String(error))) return NO_RIGHT;
  if (/unable to verify|self.signed|unable to get (local )?issuer/i.test(String(error))) return NOT_TRUSTED;
  if (name === "TimeoutError" || /heartbeats missed/.test(String(error))) return "it does not answer in time";
  if (/does not support 'tls'|'?tls'? is not available/i.test(String(error))) return NO_TLS;
  return oneLine(reasonOf(error));
}
