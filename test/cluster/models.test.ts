import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fetchModel, hashOf, putModel } from "../../src/cluster/models.js";
import { connected, endAll, natsFor, sha256 } from "../support/archive.js";
import { scratchPerTest } from "../support/folders.js";
import { hasNats } from "../support/nats.js";
import { refusal } from "../support/refusal.js";

const at = scratchPerTest();
endAll();

async function openStore() {
  const server = await natsFor(at("nats"));
  return (await connected(server.url)).models;
}

/** More than one chunk of the store. */
const bytes = randomBytes(300_000);
const model = { hash: sha256(bytes), extension: ".safetensors", name: "scene.safetensors" } as const;
const whole = () => [`${model.hash}.safetensors`];

function written(name: string): string {
  writeFileSync(at(name), bytes);
  return at(name);
}

test("a file that is no checkpoint, or is not there, is refused in a line", async () => {
  const store = undefined as unknown as Parameters<typeof putModel>[0];
  expect(await refusal(putModel(store, at("video.mp4")))).toMatch(/video\.mp4 is no checkpoint/);
  expect(await refusal(putModel(store, at("none.pth")))).toMatch(/none\.pth cannot be read: no such file/);
  expect(await refusal(hashOf(at()))).toMatch(/cannot be read: it is a folder/);
});

describe.skipIf(!hasNats())("a model in the store", () => {
  test("arrives as it was, under its hash", async () => {
    const store = await openStore();
    expect(await putModel(store, written("scene.safetensors"))).toEqual(model);
    const path = await fetchModel(store, model, at("models"));
    expect(path).toBe(at("models", ...whole()));
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(readdirSync(at("models"))).toEqual(whole());
  });

  test("stays on the machine: it is found there when the store has lost it", async () => {
    const store = await openStore();
    await putModel(store, written("scene.safetensors"));
    await fetchModel(store, model, at("models"));
    await store.delete(model.hash);
    expect(await fetchModel(store, model, at("models"))).toBe(at("models", ...whole()));
    const absent = `the model scene.safetensors (${model.hash.slice(0, 8)}) is not in the store`;
    expect(await refusal(fetchModel(store, model, at("others")))).toBe(absent);
    expect(existsSync(at("others"))).toBe(false);
  });

  test("is put once, and again if the store has lost it or holds something else", async () => {
    const store = await openStore();
    const file = written("scene.safetensors");
    await putModel(store, file);
    const first = (await store.info(model.hash))?.nuid;
    await putModel(store, file);
    expect((await store.info(model.hash))?.nuid).toBe(first);
    await store.delete(model.hash);
    await putModel(store, file);
    await fetchModel(store, model, at("models"));
    await store.putBlob({ name: model.hash }, randomBytes(100));
    await putModel(store, file);
    await fetchModel(store, model, at("again"));
    expect(readdirSync(at("again"))).toEqual(whole());
  });

  test("is refused if it is another one, and leaves nothing in the folder", async () => {
    const store = await openStore();
    await store.putBlob({ name: model.hash }, randomBytes(300_000));
    expect(await refusal(fetchModel(store, model, at("models")))).toBe(
      `the model scene.safetensors that came is not the one with the hash ${model.hash.slice(0, 8)}`,
    );
    expect(readdirSync(at("models"))).toEqual([]);
  });

  test("is read once, and again if its file seems to have changed", async () => {
    const store = await openStore();
    await putModel(store, written("scene.safetensors"));
    const path = await fetchModel(store, model, at("models"));
    utimesSync(path, 1000, 1000);
    await fetchModel(store, model, at("models"));
    await store.delete(model.hash);
    writeFileSync(path, Buffer.alloc(bytes.length));
    utimesSync(path, 1000, 1000);
    expect(await fetchModel(store, model, at("models"))).toBe(path);
    utimesSync(path, 1000, 1001);
    expect(await refusal(fetchModel(store, model, at("models")))).toMatch(/is not in the store$/);
  });

  test("ends with the signal's reason while it is fetched", async () => {
    const store = await openStore();
    await putModel(store, written("scene.safetensors"));
    const stopped = AbortSignal.abort(new Error("stopped"));
    await expect(fetchModel(store, model, at("models"), stopped)).rejects.toThrow("stopped");
    expect(existsSync(at("models")) ? readdirSync(at("models")) : []).toEqual([]);
  });

  test("is fetched again if the machine's copy is damaged", async () => {
    const store = await openStore();
    await putModel(store, written("scene.safetensors"));
    mkdirSync(at("models"));
    writeFileSync(at("models", ...whole()), bytes.subarray(1));
    const path = await fetchModel(store, model, at("models"));
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(readdirSync(at("models"))).toEqual(whole());
  });
});
