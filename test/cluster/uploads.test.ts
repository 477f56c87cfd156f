import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { ObjectStore } from "@nats-io/obj";
import { beforeEach, describe, expect, test } from "vitest";
import type { Cluster } from "../../src/cluster/connection.js";
import { fetchFile, makeUploads, putVideo } from "../../src/cluster/uploads.js";
import { connected, endAll, natsFor, sha256 } from "../support/archive.js";
import { scratchPerTest } from "../support/folders.js";
import { hasNats } from "../support/nats.js";
import { refusal } from "../support/refusal.js";

const at = scratchPerTest();
endAll();
/** More chunks than are asked for at once. */
const bytes = randomBytes(9_000_001);
const hash = sha256(bytes);

describe.skipIf(!hasNats())("a file in the store", () => {
  let cluster: Cluster;
  let store: ObjectStore;
  beforeEach(async () => {
    const server = await natsFor(at("nats"));
    cluster = await connected(server.url);
    store = await makeUploads(cluster);
    mkdirSync(at("to"));
  });
  const fetch = (change: object = {}) => {
    const { signal } = new AbortController();
    const usual = { name: hash, shown: "the video", to: at("to", "a.mp4"), largest: 1e9, signal };
    return fetchFile(cluster, store, { ...usual, ...change });
  };
  const put = async () => {
    writeFileSync(at("a.mp4"), bytes);
    await putVideo(store, hash, at("a.mp4"));
  };

  test("arrives as it was, and was sent once", async () => {
    await put();
    const { nuid } = (await store.info(hash))!;
    await put();
    expect((await store.info(hash))?.nuid).toBe(nuid);
    expect(await fetch()).toBe(hash);
    expect(readFileSync(at("to", "a.mp4")).equals(bytes)).toBe(true);
    expect(readdirSync(at("to"))).toEqual(["a.mp4"]);
    // The server keeps nothing of who fetched it.
    expect((await cluster.manager.streams.info("OBJ_sdmae_files")).state.consumer_count).toBe(0);
  });

  test("of no bytes arrives too", async () => {
    await store.putBlob({ name: "empty" }, new Uint8Array());
    expect(await fetch({ name: "empty" })).toBe(sha256(""));
    expect(readFileSync(at("to", "a.mp4"))).toHaveLength(0);
  });

  test("that is too large, not there, a link or damaged is refused, and leaves nothing", async () => {
    expect(await refusal(fetch())).toBe("the video is not in the store");
    await put();
    expect(await refusal(fetch({ largest: bytes.length - 1 }))).toMatch(/^the video is larger than \d+ bytes$/);
    await store.link("link", (await store.info(hash))!);
    expect(await refusal(fetch({ name: "link" }))).toBe("the video leads to another object");
    const { name, bucket, nuid, size, chunks, digest } = (await store.info(hash))!;
    const info = { name, bucket, nuid, size, chunks, digest };
    const change = (changed: object) =>
      cluster.jetstream.publish(
        `$O.sdmae_files.M.${Buffer.from(hash).toString("base64url").padEnd(88, "=")}`,
        JSON.stringify({ ...info, ...changed }),
      );
    await change({ digest: `SHA-256=${Buffer.alloc(32).toString("base64url")}=` });
    expect(await refusal(fetch())).toBe("the video arrived damaged");
    await change({ nuid: "*" });
    expect(await refusal(fetch())).toBe("the video is damaged in the store");
    await change({ size: -1 });
    expect(await refusal(fetch())).toBe("the video is damaged in the store");
    await change({ size: 1e15 });
    expect(await refusal(fetch({ largest: 1e16 }))).toMatch(/^the video: there is no space for 10+ bytes in /);
    await change({ size: 5 });
    expect(await refusal(fetch())).toBe("the video is larger than it was said to be");
    expect(existsSync(at("to")) ? readdirSync(at("to")) : undefined).toEqual([]);
  });

  test("is not fetched on after the signal", async () => {
    await put();
    await expect(fetch({ signal: AbortSignal.abort(new Error("stopped")) })).rejects.toThrow("stopped");
    expect(readdirSync(at("to"))).toEqual([]);
  });
});
