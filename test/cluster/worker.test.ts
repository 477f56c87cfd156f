import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { progressOf, recordHash, submitVideo } from "../../src/cluster/archive.js";
import type { Cluster } from "../../src/cluster/connection.js";
import { NoDevice } from "../../src/cluster/scorer.js";
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
  type Score,
  sha256,
  signedBy,
  startWorker,
  until,
  type WorkerSettings,
} from "../support/archive.js";
import { scratchPerTest } from "../support/folders.js";
import { hasNats, type NatsServer, startWire } from "../support/nats.js";

const at = scratchPerTest();
endAll();
/** Seconds that no test waits for: what happens does not happen because of it. */
const LONG = 3600;
const share = () => at("share");
const { result, read, unfinished } = resultsIn(share);

let server: NatsServer;
let cluster: Cluster;

/** A worker of this test's server. */
const work = (name: string, settings: Partial<WorkerSettings> = {}) =>
  startWorker({
    ...{ url: server.url, share: share(), models: at(`models of ${name}`), name, lease: LONG, score: signedBy(name) },
    ...settings,
  });

describe.skipIf(!hasNats())("with a real server", () => {
  beforeEach(async () => {
    mkdirSync(share());
    server = await natsFor(at("nats"));
    cluster = await connected(server.url);
  });

  test("two workers share the videos, and each is scored once", async () => {
    const { submit, record } = await makeArchive(cluster, share());
    const videos = ["a.mp4", "b.mp4", "c/d.mp4", "c/e.mp4", "f.mp4", "g.mp4"].map((path) => makeVideo(share(), path));
    for (const video of videos) expect(await submit(video)).toBe("new");
    let meet = () => {};
    const met = new Promise<void>((resolve) => {
      meet = resolve;
    });
    let here = 0;
    // Each waits for the other, so that both have a video.
    const together =
      (name: string): Score =>
      async (...job) => {
        if (++here === 2) meet();
        await met;
        return signedBy(name)(...job);
      };
    const [one, two] = [await work("one", { score: together("one") }), await work("two", { score: together("two") })];
    for (const video of videos) {
      await until(async () =>
        expect(await record(video)).toMatchObject({ state: "done", attempts: 1, frames: 7, total: 7, seconds: 0.5 }),
      );
      const { worker } = (await record(video)) ?? {};
      expect(read(video.path)).toBe(`by ${worker}`);
    }
    expect([...one.scored, ...two.scored].sort()).toEqual(videos.map(({ path }) => path));
    expect(one.scored.length * two.scored.length).toBeGreaterThan(0);
    await until(async () => expect(await queued(cluster)).toBe(0));
    expect(unfinished()).toEqual([]);
    const [{ counts, frames, seconds }] = await progressOf(cluster);
    expect({ counts, frames, seconds }).toEqual({
      counts: { queued: 0, running: 0, done: 6, failed: 0 },
      ...{ frames: 42, seconds: 3 },
    });
  });

  test("a video that was submitted twice at once is still scored once", async () => {
    const { archive, record } = await makeArchive(cluster, share());
    const videos = Array.from({ length: 12 }, (_, i) => makeVideo(share(), `${i}.mp4`));
    const others = await connected(server.url);
    for (const video of videos) {
      // As after two minutes: the server does not remember the first message any more.
      const twice = [cluster, others].map(({ videos, jetstream }, i) => ({
        videos,
        jetstream: Object.assign(Object.create(jetstream) as typeof jetstream, {
          publish: (subject: string, text: string) => jetstream.publish(subject, text, { msgID: `${video.path} ${i}` }),
        }),
      }));
      const plan = { share: share(), retry: false };
      const states = await Promise.all(twice.map((one) => submitVideo(one, archive, video, plan)));
      expect(states.filter((state) => state === "new")).toHaveLength(1);
    }
    expect(await queued(cluster)).toBe(24);
    const slow =
      (name: string): Score =>
      async (...job) => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        return signedBy(name)(...job);
      };
    const workers = await Promise.all(["one", "two", "three"].map((name) => work(name, { score: slow(name) })));
    await until(async () => expect(await queued(cluster)).toBe(0));
    for (const video of videos) expect(await record(video)).toMatchObject({ state: "done", attempts: 1 });
    const scored = workers.flatMap((worker) => worker.scored);
    expect(scored.sort()).toEqual(videos.map(({ path }) => path).sort());
  });

  test("a second message of a video that is being scored is dropped", async () => {
    const { archive, submit, record } = await makeArchive(cluster, share());
    const video = makeVideo(share(), "a.mp4");
    await submit(video);
    const { begun, release, score } = held("one");
    await work("one", { score });
    await until(() => expect(begun).toHaveLength(1));
    expect(await submit(video)).toBe("running");
    const again = JSON.stringify({ archive: archive.id, ...video });
    await cluster.jetstream.publish(`sdmae.archive.${archive.id}`, again);
    expect(await queued(cluster)).toBe(2);
    const two = await work("two");
    await until(async () => expect(await queued(cluster)).toBe(1));
    release();
    await until(async () => expect(await queued(cluster)).toBe(0));
    expect(await record(video)).toMatchObject({ state: "done", worker: "one", attempts: 1 });
    expect(read("a.mp4")).toBe("by one");
    expect(two.scored).toEqual([]);
  });

  test("results appear whole, and only those that were asked for", async () => {
    const plan = { events: true, report: true, how: { seed: 3, threshold: 1 } };
    const { submit } = await makeArchive(cluster, share(), plan);
    const video = makeVideo(share(), "2026/a.mp4");
    const folder = join(share(), "scores", "2026");
    // Of an earlier run.
    mkdirSync(join(folder, "a.mp4.report"), { recursive: true });
    writeFileSync(join(folder, "a.mp4.report", "old.html"), "old");
    const { begun, release, score } = held("one");
    const whole: Score = async (job, signal) => {
      const { scores, events, report } = job;
      await writeFile(scores, "half");
      await writeFile(events!, "half");
      await mkdir(report!);
      const scored = await score(job, signal);
      await writeFile(events!, "events");
      await writeFile(join(report!, "index.html"), "page");
      return scored;
    };
    await submit(video);
    await work("one", { score: whole });
    await until(() => expect(begun).toHaveLength(1));
    expect(readdirSync(folder, { recursive: true })).toEqual(["a.mp4.report", join("a.mp4.report", "old.html")]);
    expect(unfinished()).toHaveLength(1);
    release();
    await until(async () => expect(await queued(cluster)).toBe(0));
    expect(unfinished()).toEqual([]);
    const names = ["a.mp4.csv", "a.mp4.events.csv", "a.mp4.report", join("a.mp4.report", "index.html")];
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual(names);
    expect(readFileSync(join(folder, "a.mp4.events.csv"), "utf8")).toBe("events");
    expect(read("2026/a.mp4")).toBe("by one");
  });

  test("what is done is not done again, unless its results were deleted", async () => {
    const { submit, record } = await makeArchive(cluster, share());
    const videos = ["a.mp4", "b.mp4"].map((path) => makeVideo(share(), path));
    for (const video of videos) await submit(video);
    const worker = await work("one");
    await until(async () => expect(await queued(cluster)).toBe(0));
    // One that was moved is known by its content.
    renameSync(join(share(), "b.mp4"), join(share(), "moved.mp4"));
    const moved = { ...videos[1], path: "moved.mp4" };
    expect([await submit(videos[0]), await submit(moved)]).toEqual(["done", "done"]);
    rmSync(result("a.mp4"));
    rmSync(result("b.mp4"));
    expect([await submit(videos[0]), await submit(moved)]).toEqual(["new", "new"]);
    await until(async () => expect(await queued(cluster)).toBe(0));
    expect(worker.scored).toEqual(["a.mp4", "b.mp4", "a.mp4", "moved.mp4"]);
    expect([read("a.mp4"), read("moved.mp4")]).toEqual(["by one", "by one"]);
    expect(await record(moved)).toMatchObject({ state: "done", path: "moved.mp4" });
  });

  test("a video that was moved while it waited is found by its new name", async () => {
    const { submit } = await makeArchive(cluster, share());
    const video = makeVideo(share(), "a.mp4");
    await submit(video);
    expect(await submit(video)).toBe("queued");
    renameSync(join(share(), "a.mp4"), join(share(), "moved.mp4"));
    expect(await submit({ ...video, path: "moved.mp4" })).toBe("new");
    const { scored } = await work("one");
    await until(async () => expect(await queued(cluster)).toBe(0));
    expect(scored).toEqual(["moved.mp4"]);
  });

  test("a video whose message the server has lost is queued again after hours", async () => {
    const { archive, submit, record } = await makeArchive(cluster, share());
    const video = makeVideo(share(), "a.mp4");
    await submit(video);
    const known = JSON.stringify({
      ...(await record(video)),
      state: "running",
      attempts: 1,
      worker: "gone",
      message: 1,
    });
    await cluster.videos.put(`${archive.id}.${video.hash}`, known);
    await cluster.manager.streams.purge("sdmae_queue");
    expect(await submit(video)).toBe("running");
    const now = vi.spyOn(Date, "now").mockReturnValue(Date.now() + 3 * 3_600_000);
    expect(await submit(video).finally(() => now.mockRestore())).toBe("new");
    await work("one");
    await until(async () => expect(await record(video)).toMatchObject({ state: "done", worker: "one", attempts: 1 }));
  });

  test("a video that fails three times is put aside with its line, until it is tried again", async () => {
    const { submit, record } = await makeArchive(cluster, share());
    const video = makeVideo(share(), "a.mp4");
    await submit(video);
    let isGood = false;
    const score: Score = async (job, signal) => {
      if (isGood) return signedBy("one")(job, signal);
      await writeFile(job.scores, "half");
      throw new Error("the video\nis damaged");
    };
    const { lines, scored } = await work("one", { score });
    await until(async () => expect(await record(video)).toMatchObject({ state: "failed" }));
    expect(await record(video)).toMatchObject({ attempts: 3, failures: 3, error: "the video is damaged" });
    await until(() => expect(lines).toHaveLength(3));
    expect(lines).toEqual([
      "a.mp4: failure 1 of 3: the video is damaged",
      "a.mp4: failure 2 of 3: the video is damaged",
      "a.mp4: put aside: the video is damaged",
    ]);
    await until(async () => expect(await queued(cluster)).toBe(0));
    expect(readdirSync(join(share(), "scores"), { recursive: true })).toEqual([".sdmae-unfinished"]);
    expect(await submit(video)).toBe("failed");
    expect(await queued(cluster)).toBe(0);
    isGood = true;
    expect(await submit(video, true)).toBe("new");
    await until(async () => expect(await record(video)).toMatchObject({ state: "done", attempts: 1 }));
    expect(scored).toHaveLength(4);
  });

  test("a video whose workers have ended ten times is put aside", async () => {
    const { archive, submit, record } = await makeArchive(cluster, share());
    const [good, bad] = ["good.mp4", "bad.mp4"].map((path) => makeVideo(share(), path));
    for (const [video, attempts] of [
      [bad, 10],
      [good, 9],
    ] as const) {
      await submit(video);
      const known = JSON.stringify({ ...(await record(video)), attempts });
      await cluster.videos.put(`${archive.id}.${video.hash}`, known);
    }
    const { lines, scored } = await work("one");
    await until(async () => expect(await queued(cluster)).toBe(0));
    expect(scored).toEqual(["good.mp4"]);
    expect(await record(bad)).toMatchObject({ state: "failed", attempts: 10, error: "its workers ended 10 times" });
    await until(() => expect(lines[0]).toBe("bad.mp4: put aside: its workers ended 10 times"));
  });

  test("hostile messages are thrown away and do no harm", async () => {
    const { archive, submit, record } = await makeArchive(cluster, share());
    const hash = sha256("x");
    const job = { archive: archive.id, hash, path: "x.mp4" };
    const record_ = { video: "../../etc/passwd", seed: 0 };
    const recordJob = { record: record_, hash: recordHash(record_) };
    const hostile: [string, RegExp][] = [
      ["{", /is no video: it was thrown away$/],
      ["", /is no video/],
      [JSON.stringify([job]), /is no video/],
      [JSON.stringify({ ...job, path: "../x.mp4" }), /is no video/],
      [JSON.stringify({ ...job, path: at("outside.mp4") }), /is no video/],
      [JSON.stringify({ ...job, checkpoint: "/etc/passwd" }), /is no video/],
      [JSON.stringify({ ...job, hash: "*" }), /is no video/],
      [JSON.stringify({ ...job, record: { video: "01", seed: 0 } }), /is no video/],
      [JSON.stringify({ ...job, ...recordJob }), /^x\.mp4 does not belong into its archive: it was thrown away$/],
      [JSON.stringify({ ...job, archive: "0".repeat(16) }), /^x\.mp4 is of no known archive: it was thrown away$/],
    ];
    writeFileSync(at("outside.mp4"), "x");
    for (const [text] of hostile) await cluster.jetstream.publish("sdmae.archive.0", text);
    const video = makeVideo(share(), "a.mp4");
    await submit(video);
    const before = readdirSync(at());
    const { lines, scored } = await work("one");
    await until(async () => expect(await queued(cluster)).toBe(0));
    expect(scored).toEqual(["a.mp4"]);
    await until(() => expect(lines).toHaveLength(hostile.length + 1));
    for (const [i, [, says]] of hostile.entries()) expect(lines[i]).toMatch(says);
    expect(await record({ hash })).toBeUndefined();
    expect(readdirSync(at()).filter((name) => !before.includes(name))).toEqual(["models of one"]);
  });

  test("a message cannot give a known video another path", async () => {
    const { archive, submit } = await makeArchive(cluster, share());
    const video = makeVideo(share(), "a.mp4");
    makeVideo(share(), "b.mp4");
    const job = { archive: archive.id, hash: video.hash, path: "b.mp4" };
    await cluster.jetstream.publish(`sdmae.archive.${archive.id}`, JSON.stringify(job));
    await submit(video);
    const { scored } = await work("one");
    await until(async () => expect(await queued(cluster)).toBe(0));
    expect(scored).toEqual(["a.mp4"]);
  });

  test("a worker that is stopped leaves its video to another at once, and this is no attempt", async () => {
    const { submit, record } = await makeArchive(cluster, share());
    const video = makeVideo(share(), "a.mp4");
    await submit(video);
    const { begun, obedient } = held("one");
    const one = await work("one", { score: obedient });
    await until(() => expect(begun).toHaveLength(1));
    expect(await record(video)).toMatchObject({ state: "running", worker: "one", attempts: 1 });
    await one.stop();
    expect(one.lines).toEqual(["a.mp4: left to another worker"]);
    expect(await record(video)).toMatchObject({ state: "queued", attempts: 0 });
    expect(unfinished()).toEqual([]);
    // The lease is an hour.
    await work("two");
    await until(async () => expect(await record(video)).toMatchObject({ state: "done", worker: "two", attempts: 1 }));
    expect(read("a.mp4")).toBe("by two");
  });

  test("a machine whose GPU cannot be used fails no video, and takes none for a while", async () => {
    const { submit, record } = await makeArchive(cluster, share());
    const videos = ["a.mp4", "b.mp4"].map((name) => makeVideo(share(), name));
    for (const video of videos) await submit(video);
    const broken: Score = async () => {
      throw new NoDevice("the driver is gone");
    };
    const { lines, scored } = await work("one", { score: broken });
    await until(() => expect(lines).toContain("takes no videos for 60 s: the driver is gone"));
    await work("two");
    for (const video of videos) {
      await until(async () => expect(await record(video)).toMatchObject({ state: "done", worker: "two", attempts: 1 }));
    }
    expect(scored).toHaveLength(1);
  });

  test("a worker without the shared folder says so, and fails no video", async () => {
    const { submit, record } = await makeArchive(cluster, share());
    const video = makeVideo(share(), "a.mp4");
    await submit(video);
    mkdirSync(at("not mounted"));
    const { lines, scored } = await work("one", { share: at("not mounted") });
    await until(() => expect(lines).toHaveLength(1));
    expect(lines[0]).toMatch(/: the results' folder scores is not in .*not mounted: is it mounted here\?$/);
    await work("two");
    await until(async () => expect(await record(video)).toMatchObject({ state: "done", worker: "two", attempts: 1 }));
    expect(scored).toEqual([]);
    expect(readdirSync(at("not mounted"))).toEqual([]);
  });

  test("a video that is done stays done on a slow network", async () => {
    const { submit, record } = await makeArchive(cluster, share());
    const video = makeVideo(share(), "a.mp4");
    await submit(video);
    const wire = await startWire(server.port);
    atEnd(wire.close);
    const { begun, release, score } = held("one");
    const { scored } = await work("one", { url: wire.url, lease: 2, score });
    await until(() => expect(begun).toHaveLength(1));
    // An answer now takes longer than the time between two signs of life.
    wire.slow(250);
    release();
    await until(async () => expect(await queued(cluster)).toBe(0));
    expect(await record(video)).toMatchObject({ state: "done", attempts: 1 });
    expect(scored).toEqual(["a.mp4"]);
  });

  test("a write whose answer was lost does not make a worker give up its video", async () => {
    const { submit, record } = await makeArchive(cluster, share());
    const video = makeVideo(share(), "a.mp4");
    await submit(video);
    let lost = 0;
    const forgetful = (whole: Cluster): Cluster => {
      const videos = Object.create(whole.videos) as Cluster["videos"];
      videos.update = async (...args) => {
        const revision = await whole.videos.update(...args);
        // The first write is the claim; this is the one before the results get their names.
        if (++lost === 2) throw Object.assign(new Error("timeout"), { name: "TimeoutError" });
        return revision;
      };
      return { ...whole, videos };
    };
    const { lines, scored } = await work("one", { change: forgetful });
    await until(async () => expect(await record(video)).toMatchObject({ state: "done", attempts: 1 }));
    expect(lost).toBeGreaterThan(2);
    await until(() => expect(lines).toEqual(["a.mp4: 7 frames in 0.5 s"]));
    expect(scored).toEqual(["a.mp4"]);
  });
});
