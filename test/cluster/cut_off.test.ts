import { existsSync, mkdirSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import type { Cluster } from "../../src/cluster/connection.js";
import {
  atEnd,
  connected,
  endAll,
  held,
  makeArchive,
  makeVideo,
  natsFor,
  queued,
  resultsIn,
  signedBy,
  startWorker,
  until,
  type WorkerSettings,
} from "../support/archive.js";
import { scratchPerTest } from "../support/folders.js";
import { hasNats, type NatsServer, startWire } from "../support/nats.js";

const at = scratchPerTest();
endAll();
const share = () => at("share");
const { result, read, unfinished } = resultsIn(share);

let server: NatsServer;
let cluster: Cluster;

/** A worker of this test's server. */
const work = (name: string, settings: Partial<WorkerSettings>) =>
  startWorker({
    ...{ url: server.url, share: share(), models: at(`models of ${name}`), name, lease: 30, score: signedBy(name) },
    ...settings,
  });

describe.skipIf(!hasNats())("with a real server", () => {
  beforeEach(async () => {
    mkdirSync(share());
    server = await natsFor(at("nats"));
    cluster = await connected(server.url);
  });

  test("a server that is away while a video ends is waited for, and nothing is scored again", async () => {
    const { submit, record } = await makeArchive(cluster, share());
    const video = makeVideo(share(), "a.mp4");
    await submit(video);
    const { begun, release, score } = held("one");
    let written = () => {};
    const done = new Promise<void>((resolve) => {
      written = resolve;
    });
    const { scored } = await work("one", { score: (...job) => score(...job).finally(() => written()) });
    await until(() => expect(begun).toHaveLength(1));
    await server.end();
    release();
    await done;
    expect(existsSync(result("a.mp4"))).toBe(false);
    await server.start();
    await until(async () => expect(await record(video)).toMatchObject({ state: "done", attempts: 1 }));
    expect(read("a.mp4")).toBe("by one");
    expect(scored).toEqual(["a.mp4"]);
  });

  describe("a worker that is cut off for longer than the lease", () => {
    async function cutOff() {
      const archived = await makeArchive(cluster, share());
      const video = makeVideo(share(), "a.mp4");
      await archived.submit(video);
      const wire = await startWire(server.port);
      atEnd(wire.close);
      const one = held("one");
      // Its scorer does not listen when it is told to stop.
      const cut = await work("one", { url: wire.url, lease: 2, score: one.score });
      await until(() => expect(one.begun).toHaveLength(1));
      wire.stall();
      return { ...archived, video, wire, one, cut };
    }

    test("stops scoring, and writes nothing when it returns after another one has finished", async () => {
      const { record, video, one, cut, wire } = await cutOff();
      const [{ signal }] = one.begun;
      await until(() => expect(signal.aborted).toBe(true));
      await work("two", { lease: 2 });
      await until(async () => expect(await record(video)).toMatchObject({ state: "done", worker: "two", attempts: 2 }));
      const done = await record(video);
      wire.flow();
      one.release();
      await until(() => expect(cut.lines).toHaveLength(1));
      expect(cut.lines[0]).toMatch(/^a\.mp4: stopped, for another worker may have it \(.+\)$/);
      expect(read("a.mp4")).toBe("by two");
      expect(await record(video)).toEqual(done);
      await until(async () => expect(await queued(cluster)).toBe(0));
      expect(unfinished()).toEqual([]);
    });

    test("writes nothing while another one is at it, and does not disturb it", async () => {
      const { record, video, one, cut, wire } = await cutOff();
      const two = held("two");
      await work("two", { lease: 2, score: two.score });
      await until(() => expect(two.begun).toHaveLength(1));
      wire.flow();
      one.release();
      await until(() => expect(cut.lines).toHaveLength(1));
      expect(existsSync(result("a.mp4"))).toBe(false);
      expect(two.begun[0].signal.aborted).toBe(false);
      two.release();
      await until(async () => expect(await record(video)).toMatchObject({ state: "done", worker: "two", attempts: 2 }));
      expect(read("a.mp4")).toBe("by two");
    });

    test("gives up a result that it could not announce", async () => {
      const { record, video, one, cut } = await cutOff();
      one.release();
      await until(() => expect(cut.lines).toHaveLength(1));
      expect(cut.lines[0]).toBe("a.mp4: stopped, for another worker may have it (the server was away)");
      expect(existsSync(result("a.mp4"))).toBe(false);
      await work("two", { lease: 2 });
      await until(async () => expect(await record(video)).toMatchObject({ state: "done", worker: "two" }));
    });
  });
});
