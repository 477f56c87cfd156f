import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ObjectStore } from "@nats-io/obj";
import { strToU8, type Zippable, zipSync } from "fflate";
import { beforeEach, describe, expect, test } from "vitest";
import type { Cluster } from "../../src/cluster/connection.js";
import { fetchResults } from "../../src/cluster/fetching.js";
import type { VideoRecord } from "../../src/cluster/messages.js";
import { makeUploads, type ResultPart, resultName } from "../../src/cluster/uploads.js";
import { type Archived, connected, endAll, makeArchive, natsFor, sha256 } from "../support/archive.js";
import { filesIn } from "../support/cli.js";
import { scratchPerTest } from "../support/folders.js";
import { hasNats } from "../support/nats.js";
import { refusal } from "../support/refusal.js";

const at = scratchPerTest();
endAll();
const hash = sha256("a video");
const token = "0123abcd";

describe.skipIf(!hasNats())("results in the store", () => {
  let cluster: Cluster;
  let store: ObjectStore;
  let archived: Archived;
  beforeEach(async () => {
    const server = await natsFor(at("nats"));
    cluster = await connected(server.url);
    store = await makeUploads(cluster);
    const plan = { out: undefined as unknown as string, events: true, report: true };
    archived = await makeArchive(cluster, at("share"), plan);
    mkdirSync(at("out"));
  });
  const put = (part: ResultPart, content: Uint8Array) =>
    store.putBlob({ name: resultName(archived.archive.id, hash, token, part) }, content);
  const done = async (report: Zippable = { "index.html": strToU8("page"), "parts/a.txt": strToU8("a") }) => {
    await put("scores.csv", strToU8("scores"));
    await put("events.csv", strToU8("events"));
    await put("report.zip", zipSync(report));
    const record: VideoRecord = {
      ...{ state: "done", path: "2026/a.mp4", attempts: 1, since: new Date().toISOString(), results: token },
    };
    await cluster.videos.put(`${archived.archive.id}.${hash}`, JSON.stringify(record));
  };
  const fetch = (keep = false) => {
    const { signal } = new AbortController();
    return fetchResults(cluster, store, archived.archive, hash, { out: at("out"), keep, signal });
  };
  const found = () => readdirSync(at("out"), { recursive: true }).map(String).sort();
  const all = ["a.mp4.csv", "a.mp4.events.csv", "a.mp4.report", "a.mp4.report/index.html"];

  test("come under the names that they have with a shared folder, once, and leave the store", async () => {
    await done();
    mkdirSync(at("out", "2026", "a.mp4.report"), { recursive: true });
    writeFileSync(at("out", "2026", "a.mp4.report", "old.html"), "old");
    expect(await fetch()).toBe(true);
    const names = [...all, "a.mp4.report/parts", "a.mp4.report/parts/a.txt"].map((name) => join("2026", name));
    expect(found()).toEqual([".sdmae-unfinished", "2026", ...names]);
    expect(readFileSync(at("out", "2026", "a.mp4.csv"), "utf8")).toBe("scores");
    expect(readFileSync(at("out", "2026", "a.mp4.report", "parts", "a.txt"), "utf8")).toBe("a");
    expect(await store.list()).toEqual([]);
    expect(await archived.record({ hash })).not.toHaveProperty("results");
    expect(await fetch()).toBe(false);
  });

  test("stay there too if they are kept", async () => {
    await done();
    expect([await fetch(true), await fetch(true)]).toEqual([true, true]);
    expect(await store.list()).toHaveLength(3);
    expect(await archived.record({ hash })).toMatchObject({ state: "done", results: token });
  });

  test("of a video that is not done are not there", async () => {
    expect(await fetch()).toBe(false);
    expect(found()).toEqual([]);
  });

  test.each(["../a.html", "/tmp/a.html", "parts/../../a.html", "..\\a.html", "C:/a.html"])(
    "a report with the file %j is refused, and nothing is written",
    async (name) => {
      await done({ "index.html": strToU8("page"), [name]: strToU8("x") });
      expect(await refusal(fetch())).toBe(`report.zip of 2026/a.mp4 holds a file that leads elsewhere: ${name}`);
      expect(found()).toEqual([".sdmae-unfinished"]);
      expect(filesIn(at())).toEqual(["nats", "out", "share"]);
      expect(await store.list()).toHaveLength(3);
    },
  );

  test("a report that is too large when unpacked, damaged, or missing is refused", async () => {
    await done();
    const bomb = zipSync({ "index.html": strToU8("page") });
    // The central directory says how large the file is.
    const directory = new DataView(bomb.buffer, bomb.byteOffset);
    const start = Buffer.from(bomb).indexOf("PK\x01\x02", 0, "latin1");
    directory.setUint32(start + 24, 0xf0000000, true);
    await put("report.zip", bomb);
    expect(await refusal(fetch())).toBe("report.zip of 2026/a.mp4 is too large when unpacked");
    await put("report.zip", strToU8("no zip archive"));
    expect(await refusal(fetch())).toBe("report.zip of 2026/a.mp4 is damaged");
    await store.delete(resultName(archived.archive.id, hash, token, "report.zip"));
    expect(await refusal(fetch())).toBe("report.zip of 2026/a.mp4 is not in the store");
    expect(found()).toEqual([".sdmae-unfinished"]);
  });
});
