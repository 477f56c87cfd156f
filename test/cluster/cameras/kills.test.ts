import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { openCameraStores } from "../../../src/cluster/cameras/stores.js";
import { openCluster } from "../../../src/cluster/connection.js";
import { putModel } from "../../../src/cluster/models.js";
import { atEnd, endAll, natsFor, until } from "../../support/archive.js";
import { inWords, putCameras, type Streamed, streamed } from "../../support/cameras.js";
import { withBundle } from "../../support/child.js";
import { writeWatched } from "../../support/fake_engine.js";
import { scratchPerTest } from "../../support/folders.js";
import { hasNats } from "../../support/nats.js";

const at = scratchPerTest();
endAll();
/** How often workers are killed; more in a long run. */
const kills = Number(process.env.SDMAE_KILLS) || 5;
const LEASE = 2;
const ids = ["a", "b", "c", "d", "e", "f"];

/** A worker with an engine that computes nothing. Its data folder is its argument. */
const program = (url: string) => `
  import { openCluster } from "./src/cluster/connection.js";
  import { watchCluster, workerConfig, workerNameOf } from "./src/cli/cluster_session.js";
  const stopping = new AbortController();
  process.on("SIGTERM", () => stopping.abort());
  const { signal } = stopping;
  const data = process.argv[2];
  const { web: _, ...config } = await workerConfig({ data });
  const name = await workerNameOf(data, undefined);
  const cluster = await openCluster({ url: ${JSON.stringify(url)} }, { lease: ${LEASE}, signal, onWait: () => {} });
  await watchCluster(cluster, name, { ...config, checkpoint: ${JSON.stringify(at("tiny.safetensors"))} }, {
    ...{ lease: ${LEASE}, models: ${JSON.stringify(at("models"))}, share: ${JSON.stringify(at("share"))} },
    ...{ loop: true, cameras: 4, engine: { program: ${JSON.stringify(at("engine.mjs"))} } },
  }, signal);
  await cluster.close();
`;

test.skipIf(!hasNats())(
  `after ${kills} kills of workers and some of the server, each event is in the stream once, and has ended`,
  async () => {
    await writeWatched(at);
    mkdirSync(at("share"));
    for (const id of ids) copyFileSync(at("cam.mp4"), at("share", `${id}.mp4`));
    const server = await natsFor(at("nats"));
    const { signal } = new AbortController();
    const cluster = await openCluster({ url: server.url }, { lease: LEASE, signal, onWait: () => {} });
    atEnd(() => cluster.close());
    const stores = await openCameraStores(cluster);
    const model = await putModel(cluster.models, at("tiny.safetensors"));
    const usual = { threshold: 0.5, cooldown: "0 s", clip: { before: "0.5 s", after: "0.5 s" }, normal: false };
    for (const id of ids) await putCameras(stores, [id], { settings: { ...usual, source: `${id}.mp4` }, model });
    const said: string[] = [];
    await withBundle(program(server.url), async (file) => {
      const start = (i: number): ChildProcess => {
        const child = spawn(process.execPath, [file, at(`data ${i}`)], { stdio: ["ignore", "ignore", "pipe"] });
        child.stderr!.setEncoding("utf8").on("data", (text: string) => said.push(`${i}: ${text}`));
        return child;
      };
      const end = async (child: ChildProcess, how: NodeJS.Signals) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, "exit");
        child.kill(how);
        await ended;
      };
      const workers = [0, 1, 2].map(start);
      atEnd(() => Promise.all(workers.map((one) => end(one, "SIGKILL"))));
      const last = async () => (await cluster.manager.streams.info("sdmae_events")).state.last_seq;
      /** Waits until there is news of some events. */
      const goOn = async (messages: number) => {
        const before = await until(last);
        await until(async () => expect(await last()).toBeGreaterThan(before + messages));
      };
      await goOn(8);
      for (let i = 0; i < kills; i++) {
        await sleep(Math.random() * 1500);
        const which = Math.floor(Math.random() * workers.length);
        expect(workers[which].exitCode, said.join("")).toBeNull();
        await end(workers[which], "SIGKILL");
        if (i % 20 === 2) {
          await server.end();
          await sleep(Math.random() * 1000);
          await server.start();
          await until(() => cluster.nats.rtt());
        }
        // Now and then it is gone for so long that others take over.
        if (i % 3 === 0) await goOn(6);
        workers[which] = start(which);
        await goOn(2);
      }
      await goOn(8);
      for (const worker of workers) await end(worker, "SIGTERM");
    });
    const found = await streamed(cluster);
    const text = () => `${inWords(found).join("\n")}\n${said.join("")}`;
    expect((await cluster.manager.streams.info("sdmae_events")).state.messages).toBe(found.length);
    for (const camera of ids)
      check(
        found.filter((one) => one.camera === camera),
        text,
      );
    expect(said.filter((line) => /cannot be watched|TypeError|at .*\(/.test(line))).toEqual([]);
    const news = found.filter(({ change }) => change === "new");
    expect(news.length, text()).toBeGreaterThan(kills);
    const workers = new Set(found.map(({ worker }) => worker));
    expect(workers.size).toBe(3);
  },
  60_000 + 30_000 * kills,
);

/** Checks all messages of a camera. */
function check(found: readonly Streamed[], text: () => string): void {
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
