import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { saveCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { comparable, type ScoreSettings } from "../../src/detector/settings.js";
import { layAside, writeKnown } from "../../src/server/camera/known.js";
import { type CameraConfig, configOf, type WatchConfig } from "../../src/server/config/config.js";
import { readEvents } from "../../src/server/event_query.js";
import { changeKinds, type EventChange, eventKinds } from "../../src/server/records.js";
import { Supervisor } from "../../src/server/supervisor.js";
import { fakeWatch, writeWatched } from "../support/fake_engine.js";
import { scratchPerTest } from "../support/folders.js";
import { randomCheckpoint, tinyConfig } from "../support/model.js";

const at = scratchPerTest();
const kinds = (changes: readonly EventChange[]) => changes.map(({ change, event }) => `${change} ${event.kind}`);

/** An engine that computes nothing: everything is abnormal. Its model is the checkpoint's file. */
const engine = `
  import { readFileSync } from "node:fs";
  const settings = { score: "teacher", size: { height: 32, width: 48 },
    frameScore: { scoring: "top-anomaly", tokens: "all", topK: 1, minMotion: 0 } };
  const map = (value) => new Float32Array(24).fill(value);
  let model = "";
  process.on("message", (m) => {
    if (m.type === "setup") {
      model = m.checkpoint[0].includes("cameras") ? "learnt" : "usual";
      if (readFileSync(m.checkpoint[0]).includes("unusable")) {
        process.send({ type: "failed", message: "it is unusable", wrong: true }, () => process.exit(2));
        return;
      }
      process.send({ type: "ready", adapter: "none", settings, model });
    }
    if (m.type === "stop") process.exit(0);
    if (m.type !== "frame") return;
    process.send({ type: "taken", camera: m.camera });
    const value = model === "learnt" ? 0.7 : 0.9;
    const tokens = { rows: 4, columns: 6, student: map(0), target: map(0), anomaly: map(value), motion: map(0),
      movingAnomaly: map(0), largestMotion: map(0), visible: new Uint8Array(24) };
    process.send({ type: "score", camera: m.camera, number: m.number, score: value, tokens });
  });
  process.on("disconnect", () => process.exit(0));
`;

/** Waits until it is true. */
async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 50));
}

test("a model that was learnt takes a camera over, with what is known of its scores", async () => {
  await writeWatched(at);
  writeFileSync(at("engine.mjs"), engine);
  const read = configOf([at("cam.mp4")]);
  const camera = { ...read.cameras[0], cooldown: 0 };
  // Two cameras, one of which names its own model.
  writeFileSync(at("own.safetensors"), saveCheckpoint(randomCheckpoint(tinyConfig, 5)));
  const own = { ...camera, id: "own", checkpoint: at("own.safetensors") };
  const settings = { ...read, cameras: [camera, own], data: at("data") };
  const of = (id: string) => at("data", "cameras", id);
  for (const id of ["cam", "own"]) mkdirSync(join(of(id), "model"), { recursive: true });
  const model = join(of("cam"), "model", "model.safetensors");
  // The fake engine's settings.
  const frameScore = { scoring: "top-anomaly", tokens: "all", topK: 1, minMotion: 0 };
  const size = { height: 32, width: 48 };
  const by = { settings: comparable({ score: "teacher", size, frameScore } as ScoreSettings) };
  const knows = (threshold: number) => {
    const seen = { seconds: 600, blocks: Array<number>(120).fill(threshold / 2), median: 0.1, mapHigh: 0.3 };
    const state = {
      threshold,
      normal: 0.1,
      alarmsPerDay: 1,
      extrapolation: 2,
      seconds: 600,
      mapHigh: 0.3,
      minutes: [],
    };
    return { day: { state, seen } };
  };
  const folder = of("cam");
  await writeKnown(folder, { model: "usual", ...by }, { modes: knows(0.8), references: {} });
  await layAside(folder, { model: "learnt", ...by }, knows(0.6));

  const changes: EventChange[] = [];
  const notices: string[] = [];
  const supervisor = await Supervisor.open(
    settings,
    {
      ...{ checkpoint: [at("tiny.safetensors")], play: { loop: true }, lookAtModels: 0.1 },
      ...{ detector: { size: { height: 32, width: 48 } }, engine: { program: at("engine.mjs") } },
    },
    {
      onChange: (change) => changes.push(change),
      onNotice: (level, from, line) => notices.push(`${level} ${from}: ${line}`),
    },
  );
  const stop = new AbortController();
  const running = supervisor.run(new Map(), stop.signal);
  /** That this machine is slow is none of a model. */
  const warnings = () => notices.filter((line) => line.startsWith("warn") && line.includes("model"));
  const threshold = () => supervisor.cameras[0].decisions.threshold;
  const pids = () => supervisor.enginePids.length;
  await until(() => kinds(changes).includes("new anomaly"));
  expect(threshold()).toBe(0.8);
  expect(pids()).toBe(2);
  const isLearnt = () => ["cam", "own"].map((id) => supervisor.modelOf(id).isLearnt);
  expect(isLearnt()).toEqual([false, false]);
  const { hash } = supervisor.modelOf("cam");

  // 1. A damaged file is one warning, and nothing changes.
  writeFileSync(model, "damaged");
  await until(() => notices.some((line) => line.startsWith("warn cam: the model that was learnt is not used: ")));
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(warnings()).toHaveLength(1);
  expect(threshold()).toBe(0.8);

  // So is one that the engine refuses.
  const unusable = { ...randomCheckpoint(tinyConfig, 6), settings: { dataset: "unusable" } };
  writeFileSync(at("new.safetensors"), saveCheckpoint(unusable));
  renameSync(at("new.safetensors"), model);
  await until(() => notices.includes("warn cam: the new model is not used: it is unusable"));
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(warnings()).toHaveLength(2);
  expect(threshold()).toBe(0.8);

  // 2. A good one takes over: the event ends, and its threshold is known.
  writeFileSync(at("new.safetensors"), saveCheckpoint(randomCheckpoint(tinyConfig, 7)));
  renameSync(at("new.safetensors"), model);
  await until(() => threshold() === 0.6);
  await until(() => kinds(changes).filter((kind) => kind === "new anomaly").length >= 2);
  const ended = changes.find(({ change, event }) => change === "end" && event.camera === "cam");
  expect(ended?.event).toMatchObject({ kind: "anomaly", threshold: 0.8, reason: "the camera has another model" });
  const second = changes.filter(({ change, event }) => change === "new" && event.camera === "cam")[1];
  expect(second.event.threshold).toBe(0.6);
  expect(notices.some((line) => line.startsWith(`info cam: uses the model ${model}`))).toBe(true);
  // The engine that no camera uses has ended; the other camera's goes on.
  await until(() => pids() === 2);
  expect(supervisor.isReady).toBe(true);
  expect(isLearnt()).toEqual([true, false]);
  expect(supervisor.modelOf("cam").hash).not.toBe(hash);

  // 3. Without it the usual model is back, and its threshold.
  renameSync(model, `${model}.old`);
  await until(() => threshold() === 0.8);
  expect(supervisor.modelOf("cam")).toMatchObject({ hash, isLearnt: false });
  stop.abort();
  await running;
  await supervisor.close();
  expect(notices.filter((line) => line.startsWith("error"))).toEqual([]);
  expect(changes.filter(({ event }) => event.camera === "own")).toEqual([]);
  const events = await readEvents(at("data", "events"), {}, () => {});
  expect(events.every(({ end }) => end !== undefined)).toBe(true);
}, 300_000);

test("cameras come and go while others are watched, in the engine that runs", async () => {
  const changes: EventChange[] = [];
  const supervisor = await fakeWatch(at, {}, { onChange: (change) => changes.push(change) });
  const stop = new AbortController();
  const sent: string[] = [];
  const sink = { name: "all", send: async ({ change, event }: EventChange) => void sent.push(`${change} ${event.id}`) };
  const running = supervisor.run(new Map([["all", sink]]), stop.signal);
  const { config } = supervisor;
  const [first] = config.cameras;
  /** A configuration of some cameras, whose events a sink gets. */
  const watching = (cameras: readonly CameraConfig[]): WatchConfig => {
    const what = { kinds: eventKinds, changes: changeKinds, cameras: cameras.map(({ id }) => id) };
    return { ...config, cameras, sinks: [{ type: "folder", name: "all", path: at("all"), ...what }] };
  };
  const camera = (id: string, more: Partial<CameraConfig> = {}) => ({ ...first, id, ...more });
  const news = (id: string) => changes.filter(({ change, event }) => change === "new" && event.camera === id);
  await until(() => news("cam").length > 0);
  const [watched] = supervisor.cameras;
  const [pid] = supervisor.enginePids;

  // 1. Five more: three have a place in the engine, the others get one of their own.
  const ids = ["a", "b", "c", "d", "e"];
  const all = [first, ...ids.map((id) => camera(id))];
  expect(await supervisor.change(watching(all))).toEqual({ added: 5, removed: 0, changed: 0, same: 1 });
  expect(supervisor.cameras.map((one) => one.config.id)).toEqual(["cam", ...ids]);
  await until(() => ids.every((id) => news(id).length > 0));
  expect(supervisor.enginePids).toHaveLength(2);
  expect(supervisor.isReady).toBe(true);

  // 2. Some leave, one changes, one comes. Whoever is switched off stays so.
  supervisor.cameras[1].decisions.isPaused = true;
  const next = [camera("new"), camera("a", { fps: 5 }), first];
  expect(await supervisor.change(watching(next))).toEqual({ added: 1, removed: 4, changed: 1, same: 1 });
  // Whoever heard that an event began hears that it has ended, though its camera is gone.
  await supervisor.delivered("all", 30);
  const gone = news("e").map(({ event }) => event.id);
  expect(gone.length).toBeGreaterThan(0);
  for (const id of gone) expect(sent).toContain(`end ${id}`);
  expect(supervisor.cameras.map((one) => one.config.id)).toEqual(["new", "a", "cam"]);
  expect(supervisor.cameras[2]).toBe(watched);
  expect(supervisor.cameras[1].decisions.isPaused).toBe(true);
  await until(() => news("new").length > 0);
  await until(() => supervisor.enginePids.length === 1);
  expect(supervisor.enginePids).toEqual([pid]);

  // 3. What cannot be used changes nothing.
  const wrong = { ...config, cameras: [camera("bad", { checkpoint: at("cam.mp4") })] };
  await expect(supervisor.change(wrong)).rejects.toThrow("cam.mp4");
  expect(supervisor.cameras).toHaveLength(3);

  stop.abort();
  await running;
  await supervisor.close();
  // Nothing of the camera that stayed was cut.
  const reasons = changes.filter(({ event }) => event.camera === "cam").flatMap(({ event }) => event.reason ?? []);
  expect(new Set(reasons)).not.toContain("the configuration has changed");
  const open = new Set(changes.map(({ event }) => event.id));
  for (const { change, event } of changes) if (change === "end") open.delete(event.id);
  expect([...open]).toEqual([]);
}, 300_000);

test("cameras that leave together can be looked at until the last one has ended", async () => {
  const changes: EventChange[] = [];
  const supervisor = await fakeWatch(at, {}, { onChange: (change) => changes.push(change) });
  // An event of each camera goes on all the time.
  writeFileSync(at("engine.mjs"), engine);
  const { config, log } = supervisor;
  const [first] = config.cameras;
  const stop = new AbortController();
  const running = supervisor.run(new Map(), stop.signal);
  await supervisor.change({ ...config, cameras: [first, { ...first, id: "quick" }, { ...first, id: "slow" }] });
  const has = (id: string, kind: EventChange["change"]) =>
    changes.some(({ change, event }) => change === kind && event.camera === id);
  await until(() => has("quick", "new") && has("slow", "new"));
  // Of what is recorded by then a clip can be made.
  await until(() => readdirSync(at("data", "segments", "quick")).filter((name) => name.endsWith(".mkv")).length > 3);

  let goOn = () => {};
  const held = new Promise<void>((resolve) => (goOn = resolve));
  const append = log.append.bind(log);
  log.append = async (change) => {
    if (change.event.camera === "slow") await held;
    return append(change);
  };
  const segments = (id: string) => existsSync(at("data", "segments", id));
  const left = supervisor.change({ ...config, cameras: [first] });
  // The recording goes last.
  await until(() => !segments("quick"));
  expect(has("quick", "clip")).toBe(true);
  expect(supervisor.cameras.map(({ config: { id } }) => supervisor.modelOf(id).isLearnt)).toEqual([
    false,
    false,
    false,
  ]);
  goOn();
  expect(await left).toEqual({ added: 0, removed: 2, changed: 0, same: 1 });
  expect(supervisor.cameras).toHaveLength(1);
  expect(["cam", "quick", "slow"].map(segments)).toEqual([true, false, false]);
  stop.abort();
  await running;
  await supervisor.close();
}, 300_000);

test("cameras that no engine can score are named, the others go on, and a later one gets an engine of its own", async () => {
  await writeWatched(at);
  writeFileSync(at("engine.mjs"), engine);
  const unusable = { ...randomCheckpoint(tinyConfig, 6), settings: { dataset: "unusable" } };
  writeFileSync(at("own.safetensors"), saveCheckpoint(unusable));
  const read = configOf([at("cam.mp4")]);
  const [camera] = read.cameras;
  const own = { ...camera, id: "own", checkpoint: at("own.safetensors") };
  const settings = (cameras: CameraConfig[]) => ({ ...read, cameras, data: at("data") });
  const unscored: string[] = [];
  const supervisor = await Supervisor.open(
    settings([camera, own]),
    {
      ...{ checkpoint: [at("tiny.safetensors")], play: { loop: true }, stays: true },
      ...{ detector: { size: { height: 32, width: 48 } }, engine: { program: at("engine.mjs") } },
    },
    { onUnscored: (ids, { message }) => unscored.push(`${ids.join(", ")}: ${message}`) },
  );
  const stop = new AbortController();
  const running = supervisor.run(new Map(), stop.signal);
  await until(() => unscored.length === 1 && supervisor.enginePids.length === 1);
  // While one camera of that model is there, another one is tried with a new engine.
  await supervisor.change(settings([camera, own, { ...own, id: "later" }]));
  await until(() => unscored.length === 2);
  expect(unscored).toEqual(["own: it is unusable", "later: it is unusable"]);
  await supervisor.change(settings([camera]));
  expect(supervisor.enginePids).toHaveLength(1);
  stop.abort();
  await running;
  await supervisor.close();
});
