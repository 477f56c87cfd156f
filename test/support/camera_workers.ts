// Whole workers that watch files of a shared folder, with an engine that computes nothing.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import { EVENTS, openCameraStores } from "../../src/cluster/cameras/stores.js";
import { openCluster } from "../../src/cluster/connection.js";
import { putModel } from "../../src/cluster/models.js";
import { atEnd, natsFor, until } from "./archive.js";
import { inWords, putCameras, type Streamed, streamed } from "./cameras.js";
import { fakeEngine, writeWatched } from "./fake_engine.js";
import type { PathIn } from "./folders.js";

/** A server with cameras, and what workers need. */
export async function startWatched(at: PathIn, ids: readonly string[], lease: number) {
  await writeWatched(at);
  // An event every two seconds.
  writeFileSync(at("engine.mjs"), fakeEngine.replace("m.number % 50 < 20", "m.number % 20 < 8"));
  mkdirSync(at("share"));
  for (const id of ids) copyFileSync(at("cam.mp4"), at("share", `${id}.mp4`));
  const server = await natsFor(at("nats"));
  const { signal } = new AbortController();
  const cluster = await openCluster({ url: server.url }, { lease, signal, onWait: () => {} });
  atEnd(() => cluster.close());
  const stores = await openCameraStores(cluster);
  const model = await putModel(cluster.models, at("tiny.safetensors"));
  const usual = { threshold: 0.5, cooldown: "0 s", clip: { before: "0.5 s", after: "0.5 s" }, normal: false };
  for (const id of ids) await putCameras(stores, [id], { settings: { ...usual, source: `${id}.mp4` }, model });
  const said: string[] = [];
  return {
    ...{ server, cluster, stores, said },
    /** Starts a worker. @param file of its program @param data its folder */
    start(file: string, data: string): ChildProcess {
      const child = spawn(process.execPath, [file, data], { stdio: ["ignore", "ignore", "pipe"] });
      child.stderr.setEncoding("utf8").on("data", (text: string) => said.push(`${data}: ${text}`));
      atEnd(() => endWorker(child, "SIGKILL"));
      return child;
    },
    /** Waits until there are more messages than so many. @param by of this worker alone */
    async goOn(messages: number, by?: string): Promise<void> {
      const last = async () => (await cluster.manager.streams.info(EVENTS)).state.last_seq;
      const before = await until(last);
      const count = async () => {
        if (by === undefined) return (await last()) - before;
        return (await streamed(cluster, before)).filter(({ worker }) => worker.startsWith(`${by}-`)).length;
      };
      await until(async () => expect(await count()).toBeGreaterThan(messages));
    },
  };
}

/** The text of a worker's program, for withBundle. It takes its data folder, which names it. */
export const workerProgram = (at: PathIn, url: string, lease: number) => `
  import { basename } from "node:path";
  import { openCluster } from "./src/cluster/connection.js";
  import { watchCluster, workerConfig, workerNameOf } from "./src/cli/cluster_session.js";
  const stopping = new AbortController();
  process.on("SIGTERM", () => stopping.abort());
  const { signal } = stopping;
  const data = process.argv[2];
  const { web: _, ...config } = await workerConfig({ data });
  const name = await workerNameOf(data, basename(data));
  const cluster = await openCluster({ url: ${JSON.stringify(url)} }, { lease: ${lease}, signal, onWait: () => {} });
  await watchCluster(cluster, name, { ...config, checkpoint: ${JSON.stringify(at("tiny.safetensors"))} }, {
    ...{ lease: ${lease}, models: ${JSON.stringify(at("models"))}, share: ${JSON.stringify(at("share"))} },
    ...{ loop: true, cameras: 4, engine: { program: ${JSON.stringify(at("engine.mjs"))} } },
  }, signal);
  await cluster.close();
`;

/** Ends a process. */
export async function endWorker(child: ChildProcess, how: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(how);
  await ended;
}

/** Checks all messages of the stream, after all workers were stopped. */
export function checkStream(found: readonly Streamed[], said: readonly string[]): void {
  const text = () => `${inWords(found).join("\n")}\n${said.join("")}`;
  for (const camera of new Set(found.map((one) => one.camera))) {
    checkCamera(
      found.filter((one) => one.camera === camera),
      text,
    );
  }
  expect(said.filter((line) => /cannot be watched|TypeError|at .*\(/.test(line))).toEqual([]);
}

/** Each event begins and ends once, and only the owner writes. */
function checkCamera(found: readonly Streamed[], text: () => string): void {
  let owner = { worker: "", revision: -1 };
  const open = new Set<string>();
  const begun = new Set<string>();
  const seen = new Set<string>();
  for (const { change, event, time, worker, revision, open: said, sequence } of found) {
    const where = () => `at ${sequence}: ${text()}`;
    if (change === "taken") {
      expect(revision, where()).toBeGreaterThan(owner.revision);
      owner = { worker, revision };
    } else expect({ worker, revision }, where()).toEqual(owner);
    if (event) {
      const key = `${event.id} ${change} ${time}`;
      expect(seen.has(key), where()).toBe(false);
      seen.add(key);
      if (change === "new") {
        expect(begun.has(event.id), where()).toBe(false);
        begun.add(event.id);
        open.add(event.id);
      } else if (change === "end") expect(open.delete(event.id), where()).toBe(true);
      else if (change === "update") expect(open.has(event.id), where()).toBe(true);
    }
    expect(said.map((one) => one.event.id).sort(), where()).toEqual([...open].sort());
  }
  expect([...open], text()).toEqual([]);
  expect(begun.size, text()).toBeGreaterThan(0);
}
