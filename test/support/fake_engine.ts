// A process that watches with an engine that computes nothing.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { saveCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { freshCheckpoint } from "../../src/checkpoint/fresh.js";
import { findFfmpeg } from "../../src/node/media/ffmpeg.js";
import { configOf, type WatchConfig } from "../../src/server/config/config.js";
import { Supervisor, type SupervisorListener } from "../../src/server/supervisor.js";
import type { PathIn } from "./folders.js";
import { tinyConfig } from "./model.js";

/** The program of an engine that computes nothing: two seconds of every five are abnormal. */
export const fakeEngine = `
  const settings = { score: "teacher", size: { height: 32, width: 48 },
    frameScore: { scoring: "top-anomaly", tokens: "all", topK: 1, minMotion: 0 } };
  const map = (value) => new Float32Array(24).fill(value);
  process.on("message", (m) => {
    if (m.type === "setup") process.send({ type: "ready", adapter: "none", settings, model: "none" });
    if (m.type === "stop") process.exit(0);
    if (m.type !== "frame") return;
    process.send({ type: "taken", camera: m.camera });
    const value = m.number % 50 < 20 ? 0.9 : 0.1;
    const tokens = { rows: 4, columns: 6, student: map(0), target: map(0), anomaly: map(value), motion: map(0),
      movingAnomaly: map(0), largestMotion: map(0), visible: new Uint8Array(24) };
    process.send({ type: "score", camera: m.camera, number: m.number, score: value, tokens });
  });
  process.on("disconnect", () => process.exit(0));
`;

/** Writes what a watch process needs into a folder: cam.mp4, tiny.safetensors and engine.mjs. */
export async function writeWatched(at: PathIn): Promise<void> {
  const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", "200", "-g", "10"];
  const codec = ["-pix_fmt", "yuv420p", "-c:v", "libx264"];
  execFileSync(await findFfmpeg(), ["-v", "error", ...input, ...codec, at("cam.mp4")]);
  writeFileSync(at("tiny.safetensors"), saveCheckpoint(freshCheckpoint(tinyConfig)));
  writeFileSync(at("engine.mjs"), fakeEngine);
}

/** Watches a video again and again: of every five seconds, two are an event. */
export async function fakeWatch(
  at: PathIn,
  change: Partial<WatchConfig>,
  listener: SupervisorListener = {},
): Promise<Supervisor> {
  await writeWatched(at);
  const read = configOf([at("cam.mp4")]);
  const cameras = read.cameras.map((camera) => ({ ...camera, threshold: { day: 0.5, infrared: 0.5 }, cooldown: 0 }));
  return Supervisor.open(
    { ...read, cameras, data: at("data"), ...change },
    { checkpoint: [at("tiny.safetensors")], play: { loop: true }, engine: { program: at("engine.mjs") } },
    listener,
  );
}
