// A watch process that watches nothing: the plain object that tests of the page give to it.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { InputError } from "../../../src/errors.js";
import type { Outcome } from "../../../src/server/camera/decisions.js";
import type { NormalState } from "../../../src/server/camera/learner.js";
import type { EngineFacts } from "../../../src/server/engine/messages.js";
import type { CameraEvent, ChangeKind } from "../../../src/server/records.js";
import { type SeenCamera, type SeenWatch, WatchFeed } from "../../../src/server/web/watched.js";

/** A camera whose fields tests change. */
export type FakeCamera = { -readonly [K in keyof SeenCamera]: SeenCamera[K] };

/** What a test changes. */
export class FakeWatch implements SeenWatch {
  readonly feed = new WatchFeed();
  readonly cameras: FakeCamera[];
  readonly facts = new Map<unknown, EngineFacts>();
  readonly learntOf = new Map<string, NormalState>();
  /** Models of cameras that do not use the usual one. */
  readonly models = new Map<string, ReturnType<SeenWatch["modelOf"]>>();
  readonly config: SeenWatch["config"];
  readonly log: SeenWatch["log"];
  events: CameraEvent[] = [];
  isReady = false;
  clipBytes = 1_234_567;
  sinks: ReturnType<SeenWatch["queues"]> = [];
  /** Ids that were said to be normal. */
  readonly normal: string[] = [];
  /** Cameras that learn again. */
  readonly recalibrated: string[] = [];

  constructor(data: string, ...names: string[]) {
    this.config = { data, keep: { days: 30, bytes: 20e9 }, reserve: 200e6 };
    this.cameras = names.map(fakeCamera);
    this.log = {
      problem: undefined,
      events: async ({ camera, kind, since = "", until = "~", limit = Number.POSITIVE_INFINITY } = {}) => {
        const wanted = this.events.filter(
          (event) =>
            (camera ?? event.camera) === event.camera &&
            (kind ?? event.kind) === event.kind &&
            event.start >= since &&
            event.start < until,
        );
        return wanted.sort((a, b) => (a.start < b.start ? 1 : -1)).slice(0, limit);
      },
    };
  }

  queues(): ReturnType<SeenWatch["queues"]> {
    return this.sinks;
  }

  learnt(camera: string): NormalState | undefined {
    return this.learntOf.get(camera);
  }

  modelOf(camera: string): ReturnType<SeenWatch["modelOf"]> {
    return this.models.get(camera) ?? { hash: "0123abcd4567ef89", isLearnt: false };
  }

  async markNormal(id: string, isNormal = true): Promise<void> {
    const event = this.events.find((one) => one.id === id);
    if (!event) throw new InputError(`there is no event ${id}`);
    if (isNormal) this.normal.push(id);
    else this.normal.splice(this.normal.indexOf(id), 1);
    const { feedback: _, ...before } = event;
    this.change("feedback", isNormal ? { ...before, feedback: "normal" } : before);
  }

  async recalibrate(id: string): Promise<void> {
    this.learntOf.delete(id);
    const camera = this.cameras.find(({ config }) => config.id === id);
    if (camera) camera.decisions = { ...camera.decisions, learning: 0, threshold: undefined };
    this.recalibrated.push(id);
  }

  /** Keeps an event and tells of it. */
  change(change: ChangeKind, event: CameraEvent): void {
    this.events = [...this.events.filter(({ id }) => id !== event.id), event];
    this.feed.onChange({ change, time: new Date().toISOString(), event });
  }

  /** A frame of a camera was scored. */
  outcome(camera: FakeCamera, more: Partial<Outcome> = {}): void {
    const wall = Date.now();
    const outcome: Outcome = {
      time: { steady: wall / 1000, wall, stream: wall / 1000 },
      ...{ level: 0.2, mode: "day", map: { rows: 2, columns: 3, data: Float32Array.of(0, 0.1, 0.2, 0.3, 0.4, 0) } },
      ...(camera.decisions.threshold !== undefined && { threshold: camera.decisions.threshold }),
      ...more,
    };
    camera.outcome = outcome;
    camera.counts.frames++;
    camera.counts.scored++;
    this.feed.onOutcome(camera, outcome);
  }

  /** Writes a file of an event. @returns its path below the data folder */
  file(event: Pick<CameraEvent, "id" | "camera" | "start">, ending: "jpg" | "mp4", bytes: Uint8Array): string {
    const path = `clips/${event.camera}/${event.start.slice(0, 10)}/${event.id}.${ending}`;
    mkdirSync(dirname(join(this.config.data, path)), { recursive: true });
    writeFileSync(join(this.config.data, path), bytes);
    return path;
  }
}

function fakeCamera(id: string): FakeCamera {
  return {
    ...{ status: "connecting", problem: undefined, slowness: undefined, picture: undefined, outcome: undefined },
    counts: { frames: 0, dropped: 0, scored: 0, reconnects: 0 },
    ...{ lastFrame: Number.NaN, latency: Number.NaN },
    config: { id, name: id, fps: 10, shadow: false, zones: [], ignore: [], privacy: [] },
    decisions: { learning: 0, threshold: undefined, mode: "day", isPaused: false },
  };
}

/** The facts of an engine that runs. */
export const facts = {
  ...{ adapter: "NVIDIA H200 (driver 550)", model: "0123abcd" },
  settings: { dtype: "f16", size: { width: 640, height: 320 } },
} as EngineFacts;

/** An event. */
export function fakeEvent(n: number, more: Partial<CameraEvent> = {}): CameraEvent {
  const start = new Date(Date.UTC(2026, 10, 30, 14, n, 2, 123)).toISOString();
  const id = `${start.replace(/\D/g, "")}-front-3f2a91`;
  return { id, camera: "front", kind: "anomaly", start, zones: [], ...more };
}

/** A street with something on it, as JPEG. @param place of the thing, 0…1 */
export async function street(place: number): Promise<Uint8Array> {
  const [x, y] = [Math.round(540 * place) + 30, 215];
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" width="640" height="360">
    <rect width="640" height="360" fill="#9fb4c7"/><rect y="150" width="640" height="90" fill="#7b8f66"/>
    <rect x="40" y="60" width="150" height="110" fill="#b59b82"/><rect x="430" y="30" width="170" height="150" fill="#a08a7d"/>
    <path d="M0 240H640V360H0z" fill="#5a5f66"/><path d="M0 300H640" stroke="#ddd" stroke-width="4" stroke-dasharray="40 30"/>
    <rect x="${x}" y="${y}" width="26" height="70" rx="10" fill="#34466b"/><circle cx="${x + 13}" cy="${y - 12}" r="12" fill="#c99b7a"/>
  </svg>`;
  return new Uint8Array(await sharp(Buffer.from(drawing)).jpeg({ quality: 75 }).toBuffer());
}
