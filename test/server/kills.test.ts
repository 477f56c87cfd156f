import { execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { saveCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { freshCheckpoint } from "../../src/checkpoint/fresh.js";
import { findFfmpeg } from "../../src/node/media/ffmpeg.js";
import { openInput } from "../../src/node/media/open.js";
import type { EventChange } from "../../src/server/records.js";
import { withBundle } from "../support/child.js";
import { collect } from "../support/dataset.js";
import { fakeEngine } from "../support/fake_engine.js";
import { scratch } from "../support/folders.js";
import { tinyConfig } from "../support/model.js";

const at = scratch();
/** How often the processes are killed; more in a long run. */
const kills = Number(process.env.SDMAE_KILLS) || 5;

/** Watches a video again and again. Prints each change that is on disk, with the engine's pid. */
const program = (engine: string) => `
  import { configOf } from "./src/server/config/config.js";
  import { Supervisor } from "./src/server/supervisor.js";
  const config = configOf([${JSON.stringify(at("cam.mp4"))}]);
  const cameras = config.cameras.map((camera) =>
    ({ ...camera, threshold: { day: 0.5, infrared: 0.5 }, cooldown: 0, clip: { before: 1, after: 1 } }));
  const supervisor = await Supervisor.open({ ...config, cameras, data: ${JSON.stringify(at("data"))} },
    { checkpoint: [${JSON.stringify(at("tiny.safetensors"))}], play: { loop: true }, engine: { program: ${JSON.stringify(engine)} } },
    { onChange: (change) => console.log(JSON.stringify({ ...change, engine: supervisor.enginePids[0] })) });
  const stop = new AbortController();
  process.on("SIGTERM", () => stop.abort());
  await supervisor.run(new Map(), stop.signal);
  await supervisor.close();
`;

/** Runs the process until it is ended. @param kill called at once, with what ends it */
async function watched(file: string, kill: (end: (signal: NodeJS.Signals) => void, engine: () => number) => void) {
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "pipe"] });
  let [text, said] = ["", ""];
  let engine = 0;
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
    engine = Number(/"engine":(\d+)}\n$/.exec(text)?.[1] ?? engine);
  });
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    said += part;
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  kill(
    (signal) => child.kill(signal),
    () => engine,
  );
  await ended;
  expect(said).toBe("");
  // A line that was being printed is cut off.
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as EventChange);
}

test(
  `after ${kills} kills no event is lost or has another id, each has ended, and clips are whole`,
  async () => {
    const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", "200", "-g", "10"];
    execFileSync(await findFfmpeg(), [
      "-v",
      "error",
      ...input,
      "-pix_fmt",
      "yuv420p",
      "-c:v",
      "libx264",
      at("cam.mp4"),
    ]);
    writeFileSync(at("tiny.safetensors"), saveCheckpoint(freshCheckpoint(tinyConfig)));
    writeFileSync(at("engine.mjs"), fakeEngine);
    const heard: EventChange[] = [];
    await withBundle(program(at("engine.mjs")), async (file) => {
      for (let i = 0; i < kills; i++) {
        heard.push(
          ...(await watched(file, (end, engine) => {
            // Now and then it is the engine, and the process goes on for a while.
            if (i % 3 === 1) setTimeout(() => engine() > 0 && process.kill(engine(), "SIGKILL"), 2500);
            setTimeout(() => end("SIGKILL"), (i % 3 === 1 ? 4500 : 1000) + Math.random() * 4000);
          })),
        );
      }
      heard.push(...(await watched(file, (end) => setTimeout(() => end("SIGTERM"), 6000))));
    });
    const folder = at("data", "events");
    const lines = readdirSync(folder)
      .filter((name) => name.endsWith(".jsonl"))
      .flatMap((name) => readFileSync(join(folder, name), "utf8").trim().split("\n"))
      .map((line) => JSON.parse(line) as EventChange);
    const key = ({ change, time, event }: EventChange) => `${change} ${event.id} ${time}`;
    const kept = new Set(lines.map(key));
    expect(heard.length).toBeGreaterThan(kills);
    expect(heard.filter((change) => !kept.has(key(change)))).toEqual([]);
    const begun = lines.filter(({ change }) => change === "new").map(({ event }) => event.id);
    const ended = lines.filter(({ change }) => change === "end").map(({ event }) => event.id);
    expect(new Set(begun).size).toBe(begun.length);
    expect([...ended].sort()).toEqual([...begun].sort());
    const clips = lines.flatMap(({ change, event }) => (change === "clip" ? [event.clip!] : []));
    expect(clips.length).toBeGreaterThan(0);
    for (const clip of clips)
      expect((await collect((await openInput(at("data", clip))).frames())).length, clip).toBeGreaterThan(10);
    const files = readdirSync(at("data", "clips"), { recursive: true }).map(String);
    expect(files.filter((name) => name.includes(".tmp"))).toEqual([]);
  },
  30_000 + 12_000 * kills,
);
