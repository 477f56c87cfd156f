import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { saveCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { openTrainingCheckpoint, saveTrainingCheckpoint } from "../../../src/checkpoint/training_checkpoint.js";
import { readCheckpoint } from "../../../src/node/files/checkpoint_file.js";
import { weightsHash } from "../../../src/node/files/weights_hash.js";
import { VideoWriter } from "../../../src/node/media/video_writer.js";
import { EventLog } from "../../../src/server/event_log.js";
import { takeLock } from "../../../src/server/log_lock.js";
import type { BestModel } from "../../../src/train/progress.js";
import { expectRefusal, filesIn, type Ran, sdmae } from "../../support/cli.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";
import { randomCheckpoint, tinyConfig } from "../../support/model.js";
import { walk } from "../../support/walkers.js";

const at = scratch();
const size = { width: 64, height: 32 };

/** A minute in which a block walks, at a frame per second. */
async function minute(path: string, speed: number): Promise<void> {
  const writer = await VideoWriter.create(path, { ...size, fps: 1 });
  const source = await walk(path, speed, { ...size, tall: 10, count: 61, start: 2 }).open();
  for await (const { data } of source.frames()) await writer.write(data);
  await writer.commit();
}

/** A camera of the configuration, with five minutes of normal video. */
async function camera(id: string): Promise<string> {
  const folder = at("data", "cameras", id);
  mkdirSync(join(folder, "normal"), { recursive: true });
  for (let i = 1; i <= 5; i++) await minute(join(folder, "normal", `2026-${i}.mp4`), 0.4 + 0.1 * i);
  return folder;
}

beforeAll(() => {
  // Masks by motion: nothing tries several maskings.
  const settings = { inputSize: [32, 64] as [number, number], maskRatio: 0.25, maskingMethod: "grad_masking_v1" };
  writeFileSync(at("usual.safetensors"), saveCheckpoint({ ...randomCheckpoint(tinyConfig, 3), settings }));
  writeFileSync(at("other.safetensors"), saveCheckpoint({ ...randomCheckpoint(tinyConfig, 4), settings }));
  const cameras = ["same", "good", "few", "own"].map(
    (id) => `  ${id}: { source: x.mp4, fps: 1${id === "own" ? ", checkpoint: usual.safetensors" : ""} }`,
  );
  writeFileSync(at("w.yaml"), ["checkpoint: usual.safetensors", "data: data", "cameras:", ...cameras, ""].join("\n"));
});

const args = (id: string, ...more: string[]) => [
  ...["learn", id, "--config", at("w.yaml"), "--adapter", testAdapter, ...more],
];
const learn = (id: string, ...more: string[]): Promise<Ran> => sdmae(...args(id, ...more));
const hashOf = async (path: string) => weightsHash((await readCheckpoint([path])).weights);
/** One step that changes nothing. */
const short = ["--epochs", "1", "--epoch-samples", "8", "--lr", "1e-12", "--save-every", "0.1"];

/** Changes the progress in a training checkpoint. */
function change(path: string, how: (progress: { best: BestModel }) => void): void {
  const state = openTrainingCheckpoint({ name: path, bytes: readFileSync(path) });
  how((state.training as { progress: { best: BestModel } }).progress);
  writeFileSync(path, saveTrainingCheckpoint(state));
}

test("a run that Ctrl-C stopped is continued, and a model that is not rated higher is not taken", async () => {
  const folder = await camera("same");
  const latest = join(folder, "learning", "checkpoint-latest.safetensors");
  const interval = setInterval(() => existsSync(latest) && process.emit("SIGINT"), 20);
  const stopped = await learn("same", ...short);
  clearInterval(interval);
  expect(stopped).toMatchObject({ code: 130, stdout: "" });
  expect(stopped.stderr).toMatch(/learns from 5 min of normal video, 5 files\n/);
  expect(stopped.stderr).toMatch(/saved at step 1; `learn same` continues it/);
  // For the next test.
  cpSync(join(folder, "learning"), at("stopped"), { recursive: true });
  // Watch keeps new pieces, and deletes old ones: the run has its own.
  for (const name of filesIn(join(folder, "normal"))) rmSync(join(folder, "normal", name));
  expectRefusal(
    await learn("same", "-q", "--lr", "1"),
    "what was interrupted has other --epochs, --epoch-samples or --lr; --restart begins anew",
  );
  // A step changes what BatchNorm has seen, so the rating may rise a little: none can win now.
  change(latest, ({ best }) => Object.assign(best, { figure: 1 }));
  const ran = await learn("same", ...short);
  expect(ran.stderr).toMatch(/continues what was interrupted/);
  expect(ran).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /^the present model: pseudo-anomalies: AUC .*\nsame keeps its model: what it learnt was not rated higher\n$/,
    ),
  });
  // Only the run's page and log remain of it.
  expect(filesIn(folder)).toEqual(["learning", "normal"]);
  expect(filesIn(join(folder, "learning"))).toEqual(["curves.js", "index.html", "log.jsonl", "settings.json"]);
  // It is over: there is nothing to continue.
  expectRefusal(await learn("same", "-q"), /same has 0\.0 min of normal video in 0 files, and 5 min are needed/);
}, 900_000);

test("a better model is taken, with what is known of its scores; the one before comes back", async () => {
  const folder = at("data", "cameras", "good");
  const learning = join(folder, "learning");
  // The run of the test before, as if it had ended with a better model.
  cpSync(at("stopped"), learning, { recursive: true });
  const latest = join(learning, "checkpoint-latest.safetensors");
  change(latest, (progress) => {
    Object.assign(progress, { epoch: 1, finished: true, best: { ...progress.best, epoch: 1, figure: 0.99 } });
  });
  const rated = readFileSync(join(learning, "log.jsonl"), "utf8").split("\n");
  const before = JSON.parse(rated.find((line) => line.startsWith('{"type":"validation"'))!);
  appendFileSync(join(learning, "log.jsonl"), `${JSON.stringify({ ...before, epoch: 1, figure: 0.99 })}\n`);
  copyFileSync(at("other.safetensors"), join(learning, "model.safetensors"));

  const ran = await learn("good");
  expect(ran.stderr).not.toMatch(/^error/m);
  expect(ran).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /^the present model: pseudo-anomalies: .*\nepoch 1: pseudo-anomalies: .*\ngood has a new model: .*model\.safetensors; .*\nno threshold: 4\.\d min of normal video are too little; /,
    ),
  });
  const model = join(folder, "model", "model.safetensors");
  const hash = await hashOf(at("other.safetensors"));
  expect(await hashOf(model)).toBe(hash);
  const [facts] = JSON.parse(readFileSync(join(folder, "model", "learnt.json"), "utf8")).models;
  const usual = await hashOf(at("usual.safetensors"));
  expect(facts).toMatchObject({
    ...{ model: hash, clips: 5, rating: 0.99 },
    before: { model: usual, rating: before.figure },
  });
  expect(facts.minutes).toBeCloseTo(5.1, 1);
  // What the scores are like, for watch to go on from.
  const known = JSON.parse(readFileSync(join(folder, "model", `calibration-${hash.slice(0, 16)}.json`), "utf8"));
  expect(known.model).toBe(hash);
  expect(known.modes.day.seen.seconds).toBeGreaterThan(240);
  expect(filesIn(learning)).not.toContain("checkpoint-latest.safetensors");

  const back = await learn("good", "--back");
  expect(back).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/usual\.safetensors again, as before it learnt/),
  });
  expect(existsSync(model)).toBe(false);
  await sdmae("learn", "good", "--data", at("data"), "--back");
  expect(await hashOf(model)).toBe(hash);
}, 900_000);

test("what cannot be learnt is refused", async () => {
  mkdirSync(at("data", "cameras", "few", "normal"), { recursive: true });
  await minute(at("data", "cameras", "few", "normal", "a.mp4"), 1);
  expectRefusal(await learn("few", "-q"), /few has 1\.0 min of normal video in 1 file, and 5 min are needed/);
  expect(readdirSync(at("data", "cameras", "few"))).toEqual(["normal"]);
  expectRefusal(await learn("few", "-q", "--back"), /holds no model that was learnt/);
  expectRefusal(await learn("own"), /names a checkpoint for own, so it would not use what it learns/);
  expectRefusal(await learn("none"), /w\.yaml has no camera none: name one of same, good, few, own/);
  expectRefusal(await sdmae("learn", "../few", "--data", at("data")), /has no camera \.\.\/few: it has /);
  expectRefusal(await sdmae("learn", "few", "--data", at("nothing")), /nothing has no camera few: it has none/);
  const log = await EventLog.open(at("seen", "events"));
  const event = { id: "a", camera: "front", kind: "anomaly", start: "2026-01-01T10:00:00.000Z", zones: [] } as const;
  await log.append({ change: "new", time: event.start, event });
  await log.close();
  expectRefusal(
    await sdmae("learn", "front", "--data", at("seen")),
    /seen has events of front, but nothing of it was learnt or kept yet/,
  );
  // Two at a time.
  mkdirSync(at("data", "cameras", "few", "learning"));
  const unlock = await takeLock(at("data", "cameras", "few", "learning"));
  expectRefusal(await learn("few"), /few cannot learn now: .*process \d+ writes to it already/);
  await unlock();
});
