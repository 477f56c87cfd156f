import { mkdirSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { type Checkpoint, saveCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { CameraWorker } from "../../../src/cluster/cameras/camera_worker.js";
import { type CameraStores, openCameraStores } from "../../../src/cluster/cameras/stores.js";
import { type Cluster, openCluster } from "../../../src/cluster/connection.js";
import { putModel } from "../../../src/cluster/models.js";
import { folderOf, writeKnown } from "../../../src/server/camera/known.js";
import { parseConfig, usualConfig, type WatchConfig } from "../../../src/server/config/config.js";
import { atEnd, endAll, natsFor, until } from "../../support/archive.js";
import { putCameras } from "../../support/cameras.js";
import { scratchPerTest } from "../../support/folders.js";
import { randomCheckpoint, tinyConfig } from "../../support/model.js";
import { hasNats } from "../../support/nats.js";

const at = scratchPerTest();
endAll();
const LEASE = 3;

describe.skipIf(!hasNats())("with a real server", () => {
  let cluster: Cluster;
  let stores: CameraStores;

  beforeEach(async () => {
    mkdirSync(at("data"));
    const { url } = await natsFor(at("nats"));
    cluster = await openCluster({ url }, { lease: LEASE, signal: new AbortController().signal, onWait: () => {} });
    atEnd(() => cluster.close());
    stores = await openCameraStores(cluster);
  });

  /** Puts a model into the store. */
  function modelOf(name: string, settings: Checkpoint["settings"] = {}) {
    writeFileSync(at(name), saveCheckpoint({ ...randomCheckpoint(tinyConfig, 5), settings }));
    return putModel(cluster.models, at(name));
  }

  const base = (): WatchConfig => ({ ...usualConfig(), data: at("data") });
  function workerWith(config: WatchConfig, lines: string[] = [], removed: string[] = []) {
    return new CameraWorker(
      {
        ...{ cluster, stores, name: "one", lease: LEASE, models: at("models"), environment: {}, most: 9 },
        measure: () => Promise.reject(new Error("nothing is measured")),
        onNotice: (_, line) => lines.push(line),
        onRemoved: (id) => removed.push(id),
      },
      config,
    );
  }

  /** Runs a worker whose supervisor watches nothing. @param ends hears of cameras that end */
  function started(ends: (id: string) => Promise<void> = async () => {}) {
    const lines: string[] = [];
    const removed: string[] = [];
    const worker = workerWith(base(), lines, removed);
    let config = base();
    const stopping = new AbortController();
    const run = worker.run(
      {
        ...{ cameras: [], config, delivered: async () => {} },
        change: async (next) => {
          const gone = config.cameras.filter(({ id }) => !next.cameras.some((one) => one.id === id));
          for (const { id } of gone) await ends(id);
          config = next;
          return { added: 0, removed: gone.length, changed: 0, same: 0 };
        },
        run: (_, until) => new Promise((resolve) => until.addEventListener("abort", () => resolve())),
      },
      new Map(),
      stopping.signal,
    );
    atEnd(async () => {
      stopping.abort();
      await run;
    });
    return { worker, lines, removed, ids: () => config.cameras.map(({ id }) => id).sort() };
  }
  const isFree = async (id: string) => {
    const claim = await stores.claims.get(id);
    return claim !== null && !("session" in claim.json<object>());
  };

  test("a camera whose model cannot be run is refused, and the others are watched", async () => {
    await putCameras(stores, ["bad"], { model: await modelOf("odd.safetensors", { inputSize: [33, 50] }) });
    await putCameras(stores, ["good"], { model: await modelOf("tiny.safetensors") });
    const { lines, ids } = started();
    await until(() => expect(ids()).toEqual(["good"]));
    await until(async () => expect(await isFree("bad")).toBe(true));
    expect(lines.join("\n")).toMatch(/bad: cannot be watched: size 33x50 does not divide into patches/);
  });

  test("a camera that gets no scores is given back, and the others are watched", async () => {
    const model = await modelOf("tiny.safetensors");
    await putCameras(stores, ["a", "b"], { model });
    const { worker, lines, ids } = started();
    await until(() => expect(ids()).toEqual(["a", "b"]));
    worker.cannotScore("a", "no adapter was found");
    worker.cannotScore("none", "no adapter was found");
    await until(async () => expect(await isFree("a")).toBe(true));
    expect(ids()).toEqual(["b"]);
    expect(lines).toContain("a: cannot be watched: no adapter was found");
    // Others, and people, hear why.
    const signs = await stores.workers.history();
    const problems: unknown[] = [];
    for await (const entry of signs) {
      if (entry.operation === "PUT") problems.push(entry.json<{ problems?: unknown }>().problems);
    }
    expect(problems).toContainEqual({ a: "no adapter was found" });
  });

  test("what was learnt last goes along with a camera that is given back", async () => {
    await putCameras(stores, ["a"], { model: await modelOf("tiny.safetensors") });
    const seen = { seconds: 700, blocks: [1], median: 1, mapHigh: 1 };
    const { ids } = started(async (id) => {
      const folder = folderOf(at("data"), { id });
      await writeKnown(folder, { model: "abc", settings: "{}" }, { modes: { day: { seen } }, references: {} });
    });
    await until(() => expect(ids()).toEqual(["a"]));
    await stores.cameras.delete("a");
    await until(async () => expect(await isFree("a")).toBe(true));
    expect((await stores.learnt.get("a"))?.json()).toMatchObject({ modes: { day: { seen } } });
  });

  test("of cameras that it gives back, it names those that were removed", async () => {
    const model = await modelOf("tiny.safetensors");
    await putCameras(stores, ["a", "b", "c"], { model });
    const { worker, removed, ids } = started();
    await until(() => expect(ids()).toEqual(["a", "b", "c"]));
    worker.cannotScore("a", "no adapter was found");
    await until(async () => expect(await isFree("a")).toBe(true));
    await stores.cameras.delete("b");
    await until(async () => expect(await isFree("b")).toBe(true));
    expect([ids(), removed]).toEqual([["c"], ["b"]]);
  });

  test("no sink has the name of the stream of events", () => {
    const text = "cameras: { a: { source: rtsp://c/s } }\nsinks: [{ type: webhook, name: cluster, url: http://h/ }]";
    const { sinks } = parseConfig(text, at("worker.yaml"), {});
    expect(() => workerWith({ ...base(), sinks })).toThrow("sinks.cluster: the name cluster is taken");
  });
});
