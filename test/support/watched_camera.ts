// A camera without a GPU: the brightness of a frame's middle is its score. And cameras that
// send pictures by HTTP.
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import sharp from "sharp";
import type { ScoreSettings } from "../../src/detector/settings.js";
import { Camera, type CameraHost, type PlayOptions } from "../../src/server/camera/camera.js";
import { configOf } from "../../src/server/config/config.js";
import type { CameraConfig } from "../../src/server/config/types.js";
import type { EngineFrame } from "../../src/server/engine/messages.js";
import { newEventId } from "../../src/server/event_log.js";
import type { CameraEvent, EventChange } from "../../src/server/records.js";

const size = { width: 48, height: 32 };
const settings = {
  score: "teacher",
  frameScore: { scoring: "top-anomaly", tokens: "all", topK: 1, minMotion: 0 },
} as ScoreSettings;
const flat = (value: number) => new Float32Array(24).fill(value);

/** A camera that runs, and what became of it. */
export interface WatchedCamera {
  camera: Camera;
  changes: EventChange[];
  warnings: string[];
  /** All reasons for which it was offline, without repetitions. */
  problems: string[];
  /** Events as they are now, without those of other kinds. */
  events(kind: CameraEvent["kind"]): CameraEvent[];
  /** Waits until something holds; fails after a minute. */
  until(what: string, holds: () => boolean): Promise<void>;
  stop(): Promise<void>;
}

/** Watches a source. A picture whose middle is brighter than half is abnormal. */
export function watchCamera(
  source: string,
  data: string,
  {
    config = {},
    host = {},
    play = {},
  }: { config?: Partial<CameraConfig>; host?: Partial<CameraHost>; play?: PlayOptions } = {},
): WatchedCamera {
  const [read] = configOf([source]).cameras;
  const changes: EventChange[] = [];
  const warnings: string[] = [];
  const problems: string[] = [];
  // A frame has a score once the one three later is there, as in the engine.
  const waiting: Pick<EngineFrame, "number" | "data">[] = [];
  const score = () => {
    const { number, data } = waiting.shift()!;
    const value = data[3 * (size.width * (size.height / 2) + size.width / 2)] / 255;
    const tokens = {
      ...{ rows: 4, columns: 6, student: flat(0), target: flat(0), anomaly: flat(value), motion: flat(0) },
      ...{ movingAnomaly: flat(0), largestMotion: flat(0), visible: new Uint8Array(24) },
    };
    camera.score({ camera: 0, number, score: value, tokens });
  };
  const camera = new Camera(
    {
      ...read,
      id: "cam",
      threshold: { day: 0.5, infrared: 0.5 },
      cooldown: 0,
      clip: { before: 1, after: 1 },
      ...config,
    },
    {
      ...{ data, size, newId: newEventId, learnt: () => {}, canRecord: () => true },
      send: (frame) => {
        waiting.push(frame);
        setImmediate(() => {
          while (waiting.length > 0 && waiting[0].number + 3 <= waiting[waiting.length - 1].number) score();
        });
        return true;
      },
      keep: async (change) => changes.push(change),
      warn: (line) => warnings.push(line),
      ...host,
    },
    play,
  );
  camera.ready(settings, {});
  const stop = new AbortController();
  const watch = setInterval(() => {
    if (camera.problem !== undefined && problems.at(-1) !== camera.problem) problems.push(camera.problem);
  }, 5);
  const running = camera.run(stop.signal).finally(() => clearInterval(watch));
  return {
    ...{ camera, changes, warnings, problems },
    events: (kind) => {
      const events = new Map(changes.map(({ event }) => [event.id, event]));
      return [...events.values()].filter((event) => event.kind === kind);
    },
    until: async (what, holds) => {
      for (const end = Date.now() + 60_000; !holds(); await sleep(10)) {
        if (Date.now() > end)
          throw new Error(`${what}: not within a minute; ${JSON.stringify({ problems, warnings, changes })}`);
      }
    },
    stop: async () => {
      stop.abort(new Error("the test is over"));
      await running;
    },
  };
}

/** A JPEG of one gray value, 0…255, with a spot of another one in its middle. */
export const grayJpeg = (gray: number, spot = gray): Promise<Buffer> => {
  const plain = (value: number, width: number, height: number) => {
    return { create: { width, height, channels: 3, background: { r: value, g: value, b: value } } } as const;
  };
  return sharp(plain(gray, 96, 64))
    .composite([{ input: plain(spot, 32, 24) }])
    .jpeg()
    .toBuffer();
};

/** A server, and what ends it. */
export interface HttpCamera {
  url: string;
  /** How often it was asked. */
  asked: number;
  close(): void;
}

/** A server whose answers a test gives. @param port 0: any */
export async function httpCamera(answer: (response: ServerResponse, path: string) => void, port = 0) {
  const server = createServer((request, response) => {
    camera.asked++;
    response.on("error", () => {});
    answer(response, request.url ?? "");
  });
  await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
  const camera: HttpCamera = {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    asked: 0,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  return camera;
}

/** Sends pictures one after the other, ten per second, until the connection is closed. */
export function sendPictures(response: ServerResponse, next: () => Buffer): void {
  response.writeHead(200, { "content-type": "multipart/x-mixed-replace; boundary=b" });
  const timer = setInterval(() => {
    const jpeg = next();
    response.write(`--b\r\nContent-Type: image/jpeg\r\nContent-Length: ${jpeg.length}\r\n\r\n`);
    response.write(jpeg);
    response.write("\r\n");
  }, 100);
  response.on("close", () => clearInterval(timer));
}

/** The ffmpeg processes that this one has started. */
export function ffmpegPids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const [, command, parent] = /\((.*)\) \S (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, "utf8")) ?? [];
        return command === "ffmpeg" && Number(parent) === process.pid;
      } catch {
        return false;
      }
    })
    .map(Number);
}
