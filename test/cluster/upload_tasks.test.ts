import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ObjectStore } from "@nats-io/obj";
import { strFromU8, unzipSync } from "fflate";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Cluster } from "../../src/cluster/connection.js";
import { findUploads, makeUploads, resultName } from "../../src/cluster/uploads.js";
import {
  connected,
  endAll,
  held,
  makeArchive,
  makeVideo,
  natsFor,
  queued,
  type Score,
  sha256,
  signedBy,
  startWorker,
  until,
  uploadVideo,
  type WorkerSettings,
} from "../support/archive.js";
import { filesIn } from "../support/cli.js";
import { scratchPerTest } from "../support/folders.js";
import { hasNats, type NatsServer } from "../support/nats.js";

const at = scratchPerTest();
endAll();
let server: NatsServer;
let cluster: Cluster;
/** A worker without a shared folder. */
const work = (name: string, settings: Partial<WorkerSettings> = {}) =>
  startWorker({ url: server.url, models: at("models"), name, lease: 3600, score: signedBy(name), ...settings });
const uploadPlan = { out: undefined as unknown as string };

function written(name: string, content = name): string {
  writeFileSync(at(name), content);
  return at(name);
}
/** What the store holds, by name. */
const stored = async (store: ObjectStore) => (await store.list()).map(({ name }) => name).sort();

afterEach(() => vi.unstubAllEnvs());

describe.skipIf(!hasNats())("with a real server", () => {
  beforeEach(async () => {
    mkdirSync(at("share"));
    server = await natsFor(at("nats"));
    cluster = await connected(server.url);
  });

  test("an uploaded video is scored without a shared folder, and leaves the store when it is done", async () => {
    const { archive, record } = await makeArchive(cluster, at("share"), {
      ...uploadPlan,
      ...{ events: true, report: true },
    });
    const inputs: string[] = [];
    const score: Score = async (job, signal) => {
      inputs.push(job.input, readFileSync(job.input, "utf8"));
      await writeFile(job.events!, "events");
      await mkdir(join(job.report!, "parts"), { recursive: true });
      await writeFile(join(job.report!, "parts", "a.txt"), "a part");
      return signedBy("one")(job, signal);
    };
    // Of a worker that crashed long ago, and of one that works.
    vi.stubEnv("TMPDIR", at("temporary"));
    for (const [name, days] of [
      ["sdmae-video-old", 8],
      ["sdmae-video-new", 1],
      ["other", 8],
    ] as const) {
      mkdirSync(at("temporary", name), { recursive: true });
      const then = Date.now() / 1000 - 86_400 * days;
      utimesSync(at("temporary", name), then, then);
    }
    // It is there before anything was ever uploaded.
    expect(await findUploads(cluster)).toBeUndefined();
    await work("one", { score });
    const { hash, state } = await uploadVideo(cluster, archive, written("a.mp4", "content"), "2026/a.mp4");
    expect(state).toBe("new");
    await until(async () => expect(await record({ hash })).toMatchObject({ state: "done", path: "2026/a.mp4" }));
    expect(inputs[1]).toBe("content");
    await until(() => expect(existsSync(inputs[0])).toBe(false));
    await until(() => expect(filesIn(at("temporary"))).toEqual(["other", "sdmae-video-new"]));
    const { results = "" } = (await record({ hash })) ?? {};
    const store = (await findUploads(cluster))!;
    const names = (["events.csv", "report.zip", "scores.csv"] as const).map((part) =>
      resultName(archive.id, hash, results, part),
    );
    await until(async () => expect(await stored(store)).toEqual(names));
    const blobs = await Promise.all(names.map((name) => store.getBlob(name)));
    expect([blobs[0], blobs[2]].map((blob) => strFromU8(blob!))).toEqual(["events", "by one"]);
    const report = unzipSync(blobs[1]!);
    expect(Object.entries(report).map(([name, content]) => [name, strFromU8(content)])).toEqual([
      ["parts/a.txt", "a part"],
    ]);
  });

  test("workers without the shared folder take uploaded videos only, those with it take all", async () => {
    const { submit, record: shared } = await makeArchive(cluster, at("share"));
    const { archive, record } = await makeArchive(cluster, at("share"), uploadPlan);
    const video = makeVideo(at("share"), "shared.mp4");
    await submit(video);
    const [first, second] = [
      await uploadVideo(cluster, archive, written("a.mp4"), "a.mp4"),
      await uploadVideo(cluster, archive, written("b.mp4"), "b.mp4"),
    ];
    const one = await work("one");
    for (const { hash } of [first, second]) {
      await until(async () => expect(await record({ hash })).toMatchObject({ state: "done", worker: "one" }));
    }
    expect(await shared(video)).toMatchObject({ state: "queued", attempts: 0 });
    await one.stop();
    await work("two", { share: at("share") });
    await until(async () => expect(await shared(video)).toMatchObject({ state: "done", worker: "two" }));
    const third = await uploadVideo(cluster, archive, written("c.mp4"), "c.mp4");
    await until(async () => expect(await record(third)).toMatchObject({ state: "done", worker: "two" }));
    expect(one.scored.sort()).toEqual(["a.mp4", "b.mp4"]);
  });

  test("a video stays in the store while another archive waits for it", async () => {
    const one = await makeArchive(cluster, at("share"), uploadPlan);
    const other = await makeArchive(cluster, at("share"), { ...uploadPlan, how: { seed: 1 } });
    const { begun, release, score } = held("one");
    let isFirst = true;
    const both: Score = (job, signal) => {
      if (!isFirst) return score(job, signal);
      isFirst = false;
      return signedBy("one")(job, signal);
    };
    const { hash } = await uploadVideo(cluster, one.archive, written("a.mp4"), "a.mp4");
    await uploadVideo(cluster, other.archive, at("a.mp4"), "a.mp4");
    await work("one", { score: both });
    await until(() => expect(begun).toHaveLength(1));
    const store = (await findUploads(cluster))!;
    expect(await stored(store)).toContain(hash);
    release();
    await until(async () => expect(await stored(store)).not.toContain(hash));
    expect([await one.record({ hash }), await other.record({ hash })]).toMatchObject(
      Array(2).fill({ state: "done", attempts: 1 }),
    );
  });

  test("another file in a video's place is refused, and a video that fails leaves the store", async () => {
    const { archive, record } = await makeArchive(cluster, at("share"), uploadPlan);
    const store = await makeUploads(cluster);
    const { hash } = await uploadVideo(cluster, archive, written("a.mp4"), "a.mp4");
    await store.putBlob({ name: hash }, new TextEncoder().encode("another"));
    const { scored, lines } = await work("one");
    await until(async () => expect(await record({ hash })).toMatchObject({ state: "failed", attempts: 3 }));
    expect(scored).toEqual([]);
    expect(lines[0]).toBe(
      `a.mp4: failure 1 of 3: the video a.mp4 that came is not the one with the hash ${hash.slice(0, 8)}`,
    );
    await until(async () => expect(await stored(store)).toEqual([]));
  });

  test("why a video failed is said without the place where it lay on the worker", async () => {
    const { archive, record } = await makeArchive(cluster, at("share"), uploadPlan);
    await makeUploads(cluster);
    const { hash } = await uploadVideo(cluster, archive, written("a.mp4"), "b/a.mp4");
    const score: Score = async ({ input }) => {
      throw new Error(`${input} is no video`);
    };
    await work("one", { score });
    await until(async () => expect(await record({ hash })).toMatchObject({ state: "failed" }));
    expect(await record({ hash })).toMatchObject({ error: "b/a.mp4 is no video" });
  });

  test("results that could not be announced, or that a worker left behind, are removed", async () => {
    const { archive, record } = await makeArchive(cluster, at("share"), uploadPlan);
    const { hash } = await uploadVideo(cluster, archive, written("a.mp4"), "a.mp4");
    const store = (await findUploads(cluster))!;
    await store.putBlob({ name: resultName(archive.id, hash, "0".repeat(8), "scores.csv") }, new Uint8Array(9));
    const key = `${archive.id}.${hash}`;
    const known = { ...(await record({ hash })), attempts: 1 };
    await cluster.videos.put(key, JSON.stringify(known));
    const { begun, release, score } = held("one");
    const one = await work("one", { score });
    await until(() => expect(begun).toHaveLength(1));
    expect(await stored(store)).toEqual([hash]);
    // Another worker has it now.
    const other = { ...(await record({ hash })), worker: "other", attempts: 3, message: 99 };
    await cluster.videos.put(key, JSON.stringify(other));
    release();
    await until(() => expect(one.lines).toHaveLength(1));
    expect(one.lines[0]).toMatch(/^a\.mp4: stopped, for another worker may have it/);
    expect(await stored(store)).toEqual([hash]);
    expect(await record({ hash })).toMatchObject({ worker: "other" });
  });

  test("messages in the wrong queue are thrown away", async () => {
    const { archive } = await makeArchive(cluster, at("share"));
    const uploaded = await makeArchive(cluster, at("share"), uploadPlan);
    await makeUploads(cluster);
    const job = (id: string) => JSON.stringify({ archive: id, hash: sha256("x"), path: "x.mp4" });
    await cluster.jetstream.publish(`sdmae.upload.${archive.id}`, job(archive.id));
    await cluster.jetstream.publish(`sdmae.archive.${uploaded.archive.id}`, job(uploaded.archive.id));
    const { lines, scored } = await work("one", { share: at("share") });
    await until(() =>
      expect(lines).toEqual(Array(2).fill("x.mp4 does not belong into its archive: it was thrown away")),
    );
    await until(async () => expect(await queued(cluster)).toBe(0));
    expect(scored).toEqual([]);
  });
});
