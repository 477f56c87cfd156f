import { mkdirSync } from "node:fs";
import { expect, test } from "vitest";
import { waitForVideos } from "../../src/cluster/waiting.js";
import {
  connected,
  endAll,
  held,
  makeArchive,
  makeVideo,
  natsFor,
  startWorker,
  until,
  type WorkerSettings,
} from "../support/archive.js";
import { scratchPerTest } from "../support/folders.js";
import { hasNats } from "../support/nats.js";

const at = scratchPerTest();
endAll();

test.skipIf(!hasNats())("who waits hears that all workers are gone, and that one is there again", async () => {
  mkdirSync(at("share"));
  const server = await natsFor(at("nats"));
  const cluster = await connected(server.url);
  const { archive, submit } = await makeArchive(cluster, at("share"));
  const video = makeVideo(at("share"), "a.mp4");
  await submit(video);
  const [said, states]: [boolean[], Set<string>] = [[], new Set()];
  const waited = waitForVideos(cluster, {
    ...{ archive: archive.id, hashes: new Set([video.hash]), signal: new AbortController().signal },
    onWorkers: (areThere) => said.push(areThere),
    onLook: (records) => {
      for (const { state } of records) states.add(state);
    },
  });
  await until(() => expect(said).toEqual([false]));
  const { begun, release, score } = held("one");
  const settings: WorkerSettings = {
    url: server.url,
    share: at("share"),
    models: at("models"),
    name: "one",
    lease: 30,
    score,
  };
  await startWorker(settings);
  await until(() => expect(begun).toHaveLength(1));
  // It asks for no other video now, but it works.
  await until(() => expect(said).toEqual([false, true]));
  release();
  expect(await waited).toMatchObject([{ state: "done", path: "a.mp4", worker: "one" }]);
  expect(states).toEqual(new Set(["queued", "running", "done"]));
});
