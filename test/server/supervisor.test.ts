import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { beforeAll, expect, test, vi } from "vitest";
import { saveCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { freshCheckpoint } from "../../src/checkpoint/fresh.js";
import { findFfmpeg } from "../../src/node/media/ffmpeg.js";
import { openInput } from "../../src/node/media/open.js";
import { writeKnown } from "../../src/server/camera/known.js";
import { configOf, type WatchConfig } from "../../src/server/config/config.js";
import type { EventChange } from "../../src/server/records.js";
import { folderSink } from "../../src/server/sinks/folder.js";
import { Supervisor, type SupervisorOptions } from "../../src/server/supervisor.js";
import { withBundle } from "../support/child.js";
import { collect } from "../support/dataset.js";
import { scratchPerTest } from "../support/folders.js";
import { testAdapter } from "../support/gpu.js";
import { losingEngine } from "../support/losing_engine.js";
import { tinyConfig } from "../support/model.js";
import { refusal } from "../support/refusal.js";

const at = scratchPerTest();
let ffmpeg = "";
beforeAll(async () => {
  ffmpeg = await findFfmpeg();
});

/** A video of so many seconds, in which everything moves. */
function video(seconds: number): string {
  const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", String(10 * seconds), "-g", "10"];
  execFileSync(ffmpeg, ["-v", "error", "-y", ...input, "-pix_fmt", "yuv420p", "-c:v", "libx264", at("cam.mp4")]);
  return at("cam.mp4");
}

/** Options for a tiny network. Every score of it is above 0. */
function options(program: string, play: SupervisorOptions["play"] = {}): SupervisorOptions {
  const path = at("tiny.safetensors");
  writeFileSync(path, saveCheckpoint(freshCheckpoint(tinyConfig)));
  const size = { height: 32, width: 48 };
  return {
    checkpoint: [path],
    detector: { size, dtype: "f32", tune: false, batch: 1, adapter: testAdapter },
    engine: { program },
    play,
  };
}

function config(source: string, change: Partial<WatchConfig["cameras"][number]> = {}): WatchConfig {
  const read = configOf([source]);
  const cameras = read.cameras.map((camera) => ({ ...camera, threshold: { day: 1e-6, infrared: 1e-6 }, ...change }));
  const sinks = [
    {
      ...{ type: "folder", name: "drop", path: at("drop"), cameras: ["cam"] },
      ...{ kinds: ["anomaly", "offline"], changes: ["new", "end", "clip"] },
    },
  ] as WatchConfig["sinks"];
  return { ...read, cameras, sinks, data: at("data") };
}

const sinksOf = (data: string) =>
  new Map([["drop", folderSink({ name: "drop", folder: at("drop"), dataFolder: data })]]);

const kinds = (changes: readonly EventChange[]) => changes.map(({ change, event }) => `${change} ${event.kind}`);

test("a video gives an event with picture and clip, on disk and in the sink; the engine may be killed", async () => {
  await withBundle('import "./src/server/engine/main.js";', async (program) => {
    const settings = config(video(30));
    const changes: EventChange[] = [];
    const notices: string[] = [];
    let killed = false;
    const supervisor = await Supervisor.open(settings, options(program, { loop: true }), {
      onChange: (change) => {
        changes.push(change);
        const ended = changes.some((one) => one.change === "clip");
        if (change.change === "new" && change.event.kind === "anomaly" && !killed) {
          killed = true;
          setTimeout(() => process.kill(pids()[0], "SIGKILL"), 500);
        } else if (ended && changes.filter((one) => one.change === "new").length >= 2) stop.abort();
      },
      onNotice: (level, from, line) => notices.push(`${level} ${from}: ${line}`),
    });
    const pids = () => supervisor.enginePids;
    const stop = new AbortController();
    await supervisor.run(sinksOf(settings.data), stop.signal);
    const events = await supervisor.log.events();
    await supervisor.close();

    // The engine's end closes the event, which then has its clip; a second one begins.
    expect(notices.filter((line) => line.startsWith("error engine: it was ended by SIGKILL"))).toHaveLength(1);
    const first = events.at(-1)!;
    expect(first).toMatchObject({ camera: "cam", kind: "anomaly", reason: "the engine has failed" });
    expect(events.every(({ end }) => end !== undefined)).toBe(true);
    expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
    expect(readFileSync(at("data", first.snapshot!)).subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));
    expect((await collect((await openInput(at("data", first.clip!))).frames())).length).toBeGreaterThan(10);
    // The log holds what was heard, in that order.
    const lines = readdirSync(at("data", "events"))
      .filter((name) => name.endsWith(".jsonl"))
      .flatMap((name) =>
        readFileSync(at("data", "events", name), "utf8")
          .trim()
          .split("\n"),
      )
      .map((line) => JSON.parse(line) as EventChange);
    expect(lines).toEqual(changes);
    expect(kinds(changes).slice(0, 2)).toEqual(["new anomaly", "end anomaly"]);
    expect(existsSync(at("drop", "cam", `${first.id}.json`))).toBe(true);
    expect(existsSync(at("drop", "cam", `${first.id}.mp4`))).toBe(true);
  });
}, 300_000);

test("a GPU device that is lost ends the event that goes on, and the engine's next process finds more", async () => {
  await withBundle(losingEngine(at("lose")), async (program) => {
    const settings = config(video(30));
    const changes: EventChange[] = [];
    const errors: string[] = [];
    const stop = new AbortController();
    const supervisor = await Supervisor.open(settings, options(program, { loop: true }), {
      onChange: (change) => {
        changes.push(change);
        if (change.change !== "new") return;
        if (errors.length > 0) stop.abort();
        else writeFileSync(at("lose"), "");
      },
      onNotice: (level, from, line) => level === "error" && errors.push(`${from}: ${line}`),
    });
    await supervisor.run(sinksOf(settings.data), stop.signal);
    const events = await supervisor.log.events();
    await supervisor.close();
    expect(errors).toEqual([expect.stringMatching(/^engine: the GPU device was lost: .*; it starts again$/)]);
    const ends = changes.filter(({ change }) => change === "end").map(({ event }) => event);
    expect(ends[0]).toMatchObject({ kind: "anomaly", reason: "the engine has failed" });
    expect(events.map(({ id }) => id).sort()).toEqual(ends.map(({ id }) => id).sort());
    expect(events.length).toBeGreaterThanOrEqual(2);
    expect(new Set(events.filter(({ clip }) => clip).map(({ id }) => id))).toContain(ends[0].id);
  });
}, 120_000);

test("clips come from another stream of the camera if one is named", async () => {
  await withBundle('import "./src/server/engine/main.js";', async (program) => {
    // Its end ends the event.
    const source = video(10);
    const input = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=10", "-frames:v", "300", "-g", "10"];
    execFileSync(ffmpeg, ["-v", "error", ...input, "-pix_fmt", "yuv420p", "-c:v", "libx264", at("main.mp4")]);
    const settings = config(source, { record: at("main.mp4"), clip: { before: 1, after: 1 } });
    const stop = new AbortController();
    const supervisor = await Supervisor.open(settings, options(program, { loop: true }), {
      onChange: ({ change }) => {
        if (change === "clip") stop.abort();
      },
    });
    await supervisor.run(new Map(), stop.signal);
    const clip = (await supervisor.log.events()).find((event) => event.clip)?.clip;
    await supervisor.close();
    expect(await openInput(at("data", clip!))).toMatchObject({ width: 320, height: 240 });
  });
}, 120_000);

test("an event that a killed process left open is ended by the next one, under its own id, and has a clip", async () => {
  await withBundle('import "./src/server/engine/main.js";', async (program) => {
    const settings = config(video(1));
    const first = await Supervisor.open(settings, options(program, { fast: true }));
    const event = { id: "e1", camera: "cam", kind: "anomaly", start: "2026-01-01T00:00:00.000Z", zones: [] } as const;
    await first.log.append({ change: "new", time: event.start, event });
    await first.close();
    mkdirSync(at("data", "segments", "cam"), { recursive: true });
    execFileSync(ffmpeg, ["-v", "error", "-i", at("cam.mp4"), at("data", "segments", "cam", "1-ab-000000.mkv")]);
    writeFileSync(at("data", "segments", "cam", "e1.event"), "1-ab-000000.mkv");
    const killed = new Date("2026-01-01T00:00:30.000Z");
    utimesSync(at("data", "segments", "cam", "1-ab-000000.mkv"), killed, killed);
    const changes: EventChange[] = [];
    const next = await Supervisor.open(settings, options(program, { fast: true }), {
      onChange: (change) => changes.push(change),
    });
    // The video ends before the engine has compiled.
    await next.run(new Map(), new AbortController().signal);
    await next.markNormal("e1");
    expect(await refusal(next.markNormal("e2"))).toBe("there is no event e2");
    const events = await next.log.events();
    await next.close();
    // It ended when the recording did, not when the next process began.
    const end = { end: killed.toISOString(), reason: "the process was interrupted" };
    expect(changes[0]).toMatchObject({ change: "end", event: { id: "e1", ...end } });
    expect(Date.parse(changes[0].time)).toBeGreaterThan(killed.getTime());
    const clip = "clips/cam/2026-01-01/e1.mp4";
    expect(changes.filter(({ change }) => change === "clip")).toMatchObject([{ event: { id: "e1", clip } }]);
    expect(await collect((await openInput(at("data", clip))).frames())).toHaveLength(10);
    expect(existsSync(at("data", "cameras", "cam", "normal", "e1.mp4"))).toBe(true);
    expect(events.find(({ id }) => id === "e1")).toMatchObject({ feedback: "normal" });
  });
}, 60_000);

test("an interrupted event without a recording ends when the process was last known to live", async () => {
  const settings = config(video(1), { source: at("no.mp4") });
  const program = at("none.mjs");
  const start = "2026-01-01T00:00:00.000Z";
  const event = { id: "gone", camera: "cam", kind: "offline", start, zones: [] } as const;
  const first = await Supervisor.open(settings, options(program));
  await first.log.append({ change: "new", time: start, event });
  await first.close();
  const lived = new Date("2026-01-01T00:07:00.000Z");
  writeFileSync(at("data", "events", "alive"), "");
  utimesSync(at("data", "events", "alive"), lived, lived);
  const next = await Supervisor.open(settings, options(program));
  const stop = new AbortController();
  const run = next.run(new Map(), stop.signal);
  // It goes on to say that it lives.
  await vi.waitFor(() => expect(statSync(at("data", "events", "alive")).mtimeMs).toBeGreaterThan(lived.getTime()), {
    timeout: 30_000,
  });
  stop.abort();
  await run;
  const [{ end }] = (await next.log.events()).filter(({ id }) => id === "gone");
  await next.close();
  expect(end).toBe(lived.toISOString());
}, 60_000);

test("without a recording, interrupted events end at their last change or peak, never before they began or after now", async () => {
  const settings = config(video(1), { source: at("no.mp4") });
  const program = at("none.mjs");
  const first = await Supervisor.open(settings, options(program));
  const start = "2026-01-01T00:00:00.000Z";
  const event = { camera: "cam", kind: "anomaly", start, zones: [] } as const;
  const peak = { time: "2026-01-01T00:00:20.000Z", level: 1 };
  const ahead = "2999-01-01T00:00:00.000Z";
  await first.log.append({ change: "new", time: start, event: { ...event, id: "change" } });
  await first.log.append({ change: "update", time: "2026-01-01T00:00:09.000Z", event: { ...event, id: "change" } });
  await first.log.append({ change: "new", time: start, event: { ...event, id: "peak", peak } });
  await first.log.append({
    change: "new",
    time: start,
    event: { ...event, id: "later", start: "2026-01-01T00:00:01.000Z" },
  });
  await first.log.append({ change: "new", time: ahead, event: { ...event, id: "ahead" } });
  await first.close();
  const before = Date.now();
  const next = await Supervisor.open(settings, options(program));
  await next.run(new Map(), AbortSignal.abort());
  const ends = new Map((await next.log.events()).map(({ id, end }) => [id, end]));
  await next.close();
  expect(ends.get("change")).toBe("2026-01-01T00:00:09.000Z");
  expect(ends.get("peak")).toBe(peak.time);
  expect(ends.get("later")).toBe("2026-01-01T00:00:01.000Z");
  expect(Date.parse(ends.get("ahead")!)).toBeGreaterThanOrEqual(before);
  expect(Date.parse(ends.get("ahead")!)).toBeLessThanOrEqual(Date.now());
});

test("a camera that learns again forgets what was kept of it", async () => {
  const supervisor = await Supervisor.open(config(video(1)), options("none"));
  const by = { model: "m", settings: "s" };
  await writeKnown(at("data", "cameras", "cam"), by, { modes: {}, references: {} });
  await writeKnown(at("data", "cameras", "other"), by, { modes: {}, references: {} });
  expect(await refusal(supervisor.recalibrate("other"))).toBe("there is no camera other");
  const usual = { width: 96, height: 54, data: new Uint8Array(96 * 54) };
  supervisor.cameras[0].decisions.view.begin({ day: usual });
  await supervisor.recalibrate("cam");
  expect(supervisor.cameras[0].decisions.view.references).toEqual({});
  expect(existsSync(at("data", "cameras", "cam", "calibration.json"))).toBe(false);
  expect(existsSync(at("data", "cameras", "other", "calibration.json"))).toBe(true);
  await supervisor.close();
});

test("a checkpoint that cannot be used, and a folder that is in use, are refused", async () => {
  const settings = config(video(1));
  const wrong = at("wrong.safetensors");
  writeFileSync(wrong, "no checkpoint");
  expect(await refusal(Supervisor.open(settings, { checkpoint: [wrong] }))).toContain("wrong.safetensors");
  const open = await Supervisor.open(settings, options("none"));
  expect(await refusal(Supervisor.open(settings, options("none")))).toContain("events");
  await open.close();
});

test("a threshold that no level can reach is warned of; without cameras it stays, if it is told to", async () => {
  const bundled = options("none.js");
  bundled.checkpoint = ["models/scene.safetensors"];
  const notices: string[] = [];
  const onNotice = (level: string, from: string, line: string) => void notices.push(`${level} ${from}: ${line}`);
  const high = config(at("cam.mp4"), { threshold: { day: 2, infrared: 0.9 } });
  await (await Supervisor.open(high, bundled, { onNotice })).close();
  expect(notices).toEqual([
    "warn cam: nothing will ever reach the threshold 2 (day): levels of this model are at most 1",
  ]);
  const none = { ...high, cameras: [] };
  expect(await refusal(Supervisor.open(none, bundled))).toBe("no camera is enabled");
  const supervisor = await Supervisor.open(none, { ...bundled, stays: true });
  const stop = new AbortController();
  let isOver = false;
  const run = supervisor.run(new Map(), stop.signal).then(() => {
    isOver = true;
  });
  // Cameras come and go; the last one that goes does not end it.
  expect(await supervisor.change({ ...high, cameras: [] })).toEqual({ added: 0, removed: 0, changed: 0, same: 0 });
  expect([supervisor.isReady, isOver]).toEqual([true, false]);
  stop.abort();
  await run;
  await supervisor.close();
});
