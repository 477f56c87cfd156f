import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { progressOf } from "../../src/cluster/archive.js";
import { openCluster } from "../../src/cluster/connection.js";
import { atEnd, endAll, makeArchive, makeVideo, natsFor, sha256, until } from "../support/archive.js";
import { withBundle } from "../support/child.js";
import { scratchPerTest } from "../support/folders.js";
import { hasNats } from "../support/nats.js";

const at = scratchPerTest();
endAll();
/** How often processes are killed; more in a long run. */
const kills = Number(process.env.SDMAE_KILLS) || 5;
/** Videos that are submitted before each kill, and as many behind the last. */
const batch = 8;
const count = batch * (kills + 1);
const LEASE = 2;

/** Scores the content of a video as its hash, in several steps. */
const program = (url: string) => `
  import { createHash } from "node:crypto";
  import { appendFile, readFile } from "node:fs/promises";
  import { setTimeout as sleep } from "node:timers/promises";
  import { openCluster } from "./src/cluster/connection.js";
  import { Worker } from "./src/cluster/worker.js";
  const { signal } = new AbortController();
  const onWait = () => {};
  const cluster = await openCluster({ url: ${JSON.stringify(url)} }, { lease: ${LEASE}, signal, onWait });
  const scorer = {
    async score({ input, scores }) {
      const hash = createHash("sha256").update(await readFile(input)).digest("hex");
      for (const digit of hash) {
        await appendFile(scores, digit);
        await sleep(2);
      }
      return { frames: 1, seconds: 0.1 };
    },
    async close() {},
  };
  const options = { share: ${JSON.stringify(at("share"))}, models: ${JSON.stringify(at("models"))}, lease: ${LEASE} };
  await new Worker({ ...options, cluster, scorer, onNotice: (_, line) => console.log(line) }).run(signal);
`;

test.skipIf(!hasNats())(
  `after ${kills} kills of workers and one of the server, each video has its result, and nothing else is left`,
  async () => {
    await mkdir(at("share"));
    const server = await natsFor(at("nats"));
    // With the workers' lease from the start, so that it never changes.
    const { signal } = new AbortController();
    const cluster = await openCluster({ url: server.url }, { lease: LEASE, signal, onWait: () => {} });
    atEnd(() => cluster.close());
    const { submit, record } = await makeArchive(cluster, at("share"));
    const videos = Array.from({ length: count }, (_, i) => makeVideo(at("share"), `${i}.mp4`, `content ${i}`));
    const said: string[] = [];
    await withBundle(program(server.url), async (file) => {
      const start = (): ChildProcess => {
        const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "pipe"] });
        for (const stream of [child.stdout, child.stderr])
          stream.setEncoding("utf8").on("data", (text: string) => said.push(text));
        return child;
      };
      const end = async (child: ChildProcess) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, "exit");
        child.kill("SIGKILL");
        await ended;
      };
      const workers = [start(), start(), start()];
      atEnd(() => Promise.all(workers.map(end)));
      // The server may be away. Its queue says less: killed, it may forget to remove a message.
      const done = () => until(async () => (await progressOf(cluster))[0].counts.done);
      /** Submits more videos, and waits until some of them are done. */
      const goOn = async (from: number) => {
        for (const video of videos.slice(from, from + batch)) await submit(video);
        await until(async () => expect(await done()).toBeGreaterThan(Math.max(0, from - batch / 2)));
      };
      for (let i = 0; i < kills; i++) {
        await goOn(batch * i);
        await sleep(Math.random() * 400);
        const which = i % workers.length;
        expect(workers[which].exitCode, said.join("")).toBeNull();
        await end(workers[which]);
        if (i === Math.floor(kills / 2)) {
          await server.end();
          await sleep(Math.random() * 400);
          await server.start();
          await until(() => cluster.nats.rtt());
        }
        workers[which] = start();
      }
      await goOn(batch * kills);
      await until(async () => expect(await done()).toBe(count));
    });
    const scores = join(at("share"), "scores");
    for (const { path, ...video } of videos) {
      expect(await record(video), said.join("")).toMatchObject({ state: "done", frames: 1 });
      expect(readFileSync(join(scores, `${path}.csv`), "utf8")).toBe(sha256(readFileSync(join(at("share"), path))));
    }
    const files = readdirSync(scores, { recursive: true }).map(String);
    expect(files.filter((name) => statSync(join(scores, name)).isFile())).toHaveLength(count);
    expect(readdirSync(join(scores, ".sdmae-unfinished"))).toEqual([]);
    // No kill is a failure of a video, and few are begun again.
    const records = await Promise.all(videos.map(record));
    expect(records.filter((one) => one?.failures !== undefined)).toEqual([]);
    expect(records.filter((one) => one?.attempts !== 1).length).toBeLessThan(count / 2);
  },
  60_000 + 30_000 * kills,
);
