// The process of a worker that scores videos, one after another. It ends with the worker, and by
// itself if the GPU fails: the worker starts it again.

import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { type FromScorer, NoDevice, type ToScorer, Unfit } from "../cluster/scorer.js";
import { GpuError } from "../errors.js";
import { openNodeGpu } from "../node/adapters/gpu.js";
import { Detector } from "../node/detector.js";
import { readCheckpoint } from "../node/files/checkpoint_file.js";
import { weightsHash } from "../node/files/weights_hash.js";
import { type DeviceOptions, deviceOf } from "./options/device.js";
import { record } from "./recording.js";
import { type Detectors, score } from "./scoring.js";
import { messageOf } from "./terminal/message.js";

/** Milliseconds between reports of progress. */
const REPORT = 1000;
/** Milliseconds of scoring between rests, and of the longest rest. */
const STRETCH = 50;
const LONGEST_REST = 5000;

/** Keeps the last model and detector: most videos are scored in the way of the one before. */
class LastDetector implements Detectors {
  private model: { key: string; checkpoint: Checkpoint } | undefined;
  private last: { key: string; detector: Detector } | undefined;
  private readonly hashes = new WeakMap<Checkpoint, string>();

  async read(...[paths, heads]: Parameters<Detectors["read"]>): Promise<Checkpoint> {
    const found = await Promise.all(paths.map((path) => stat(path).catch(() => undefined)));
    const key = JSON.stringify([paths, heads, found.map((one) => [one?.ino, one?.size, one?.mtimeMs])]);
    if (this.model?.key !== key) this.model = { key, checkpoint: await readCheckpoint(paths, heads) };
    return this.model.checkpoint;
  }

  async open(...[checkpoint, options]: Parameters<Detectors["open"]>): Promise<Detector> {
    const { onNotice: _, ...how } = options;
    const hash = this.hashes.get(checkpoint) ?? weightsHash(checkpoint.weights);
    this.hashes.set(checkpoint, hash);
    const key = JSON.stringify([hash, how]);
    if (this.last?.key === key) return this.last.detector;
    this.last?.detector.close();
    this.last = undefined;
    const detector = await Detector.open(checkpoint, options);
    this.last = { key, detector };
    return detector;
  }

  /** It is kept for the next video. */
  close(): void {}
}

/** Scores what the worker sends. @param device how the GPU is chosen */
function run(device: DeviceOptions & { tune: boolean }): void {
  const detectors = new LastDetector();
  const stop = new AbortController();
  const tell = (message: FromScorer, then = () => {}) => {
    if (process.connected) process.send?.(message, undefined, undefined, then);
    else then();
  };
  /** The share of the time in which it scores. */
  let duty = 1;
  let isChecked = false;
  /** @throws NoDevice if the GPU cannot be used */
  const check = async () => {
    if (isChecked) return;
    const gpu = await openNodeGpu(deviceOf(device)).catch((error: unknown) => {
      throw new NoDevice(messageOf(error));
    });
    gpu.close();
    isChecked = true;
  };
  const fail = (error: unknown) => {
    // After a failure of the GPU, the next video gets a process with a device of its own.
    const ends = error instanceof GpuError || error instanceof NoDevice;
    const kind = error instanceof Unfit ? "unfit" : error instanceof NoDevice ? "no device" : undefined;
    tell({ type: "failed", message: messageOf(error), ends, ...(kind && { kind }) }, () => ends && process.exit(1));
  };
  process.on("message", async (message: ToScorer) => {
    if (message.type === "stop") return process.exit(0);
    if (message.type === "pace") {
      duty = message.duty;
      return;
    }
    if (message.type === "check") {
      await check().then(() => tell({ type: "done", frames: 0, seconds: 0 }), fail);
      return;
    }
    const { input, checkpoint, model, how, scores, events, report } = message;
    let began: number | undefined;
    let told = 0;
    let [frames, worked] = [0, performance.now()];
    const onFrame = async (count: number, total: number | undefined) => {
      frames = count;
      const now = performance.now();
      began ??= now;
      if (now - told >= REPORT) {
        told = now;
        tell({ type: "progress", frames, ...(total !== undefined && { total }) });
      }
      if (duty < 1 && now - worked > STRETCH) await sleep(Math.min(LONGEST_REST, (now - worked) * (1 / duty - 1)));
      if (duty === 1 || now - worked > STRETCH) worked = performance.now();
    };
    const options = {
      ...{ ...how, ...device, checkpoint, out: scores, quiet: true },
      ...({ order: "auto", rawFormat: "bgr" } as const),
      ...(model !== undefined && { checkpointName: model }),
      ...(events !== undefined && { events }),
      ...(report !== undefined && { report }),
    };
    try {
      await check();
      const { signal } = stop;
      if (message.record) {
        await record({ ...message, record: message.record }, { device, signal, detectors, onFrame });
      } else await score(input, options, { isGiven: () => false, signal, detectors, onFrame });
      tell({ type: "done", frames, seconds: (performance.now() - (began ?? performance.now())) / 1000 });
    } catch (error) {
      fail(error);
    }
  });
  process.on("disconnect", () => process.exit(0));
  // Ctrl-C reaches the whole group; the worker decides when this ends.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => {});
}

run(JSON.parse(process.argv[2] ?? '{"tune":true}'));
