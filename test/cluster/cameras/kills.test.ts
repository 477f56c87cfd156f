import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { endAll, until } from "../../support/archive.js";
import { checkStream, endWorker, startWatched, workerProgram } from "../../support/camera_workers.js";
import { streamed } from "../../support/cameras.js";
import { withBundle } from "../../support/child.js";
import { scratchPerTest } from "../../support/folders.js";
import { hasNats } from "../../support/nats.js";

const at = scratchPerTest();
endAll();
/** How often workers are killed; more in a long run. */
const kills = Number(process.env.SDMAE_KILLS) || 5;
const LEASE = 2;
const ids = ["a", "b", "c", "d", "e", "f"];

test.skipIf(!hasNats())(
  `after ${kills} kills of workers and some of the server, each event is in the stream once, and has ended`,
  async () => {
    const { server, cluster, said, start, goOn } = await startWatched(at, ids, LEASE);
    await withBundle(workerProgram(at, server.url, LEASE), async (file) => {
      const begin = (i: number) => start(file, at(`data ${i}`));
      const workers = [0, 1, 2].map(begin);
      await goOn(8);
      for (let i = 0; i < kills; i++) {
        await sleep(Math.random() * 1500);
        const which = Math.floor(Math.random() * workers.length);
        expect(workers[which].exitCode, said.join("")).toBeNull();
        await endWorker(workers[which], "SIGKILL");
        if (i % 20 === 2) {
          await server.end();
          await sleep(Math.random() * 1000);
          await server.start();
          await until(() => cluster.nats.rtt());
        }
        // Now and then it is gone for so long that others take over.
        if (i % 3 === 0) await goOn(6);
        workers[which] = begin(which);
        await goOn(2);
      }
      // What went on at the last kill has ended once each camera has another event.
      const before = (await streamed(cluster)).at(-1)!.sequence;
      await until(async () => {
        const news = (await streamed(cluster, before)).filter(({ change }) => change === "new");
        expect(new Set(news.map(({ camera }) => camera)).size).toBe(ids.length);
      });
      for (const worker of workers) await endWorker(worker, "SIGTERM");
    });
    const found = await streamed(cluster);
    expect((await cluster.manager.streams.info("sdmae_events")).state.messages).toBe(found.length);
    expect(new Set(found.map(({ camera }) => camera)).size).toBe(ids.length);
    checkStream(found, said);
    expect(found.filter(({ change }) => change === "new").length).toBeGreaterThan(kills);
    const workers = new Set(found.map(({ worker }) => worker));
    expect(workers.size).toBe(3);
  },
  60_000 + 30_000 * kills,
);
