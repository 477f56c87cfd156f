// Whole cameras, from their sources to events: what they do when a source fails.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, utimesSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { findFfmpeg } from "../../src/node/media/ffmpeg.js";
import { openInput } from "../../src/node/media/open.js";
import { machineClock } from "../../src/server/camera/frame_time.js";
import { collect } from "../support/dataset.js";
import { scratchPerTest } from "../support/folders.js";
import { hasRtspServer, startRtspServer } from "../support/rtsp_server.js";
import {
  ffmpegPids,
  grayJpeg,
  httpCamera,
  sendPictures,
  type WatchedCamera,
  watchCamera,
} from "../support/watched_camera.js";

const at = scratchPerTest();
const open: { close(): void }[] = [];
const running: WatchedCamera[] = [];
let ffmpeg = "";
let grays: Buffer[] = [];
beforeAll(async () => {
  ffmpeg = await findFfmpeg();
  grays = await Promise.all(Array.from({ length: 10 }, (_, i) => grayJpeg(20 + i)));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
  for (const server of open.splice(0)) server.close();
});

function watch(...args: Parameters<typeof watchCamera>): WatchedCamera {
  const watched = watchCamera(...args);
  running.push(watched);
  return watched;
}

async function serve(...args: Parameters<typeof httpCamera>) {
  const server = await httpCamera(...args);
  open.push(server);
  return server;
}

let shown = 0;
const changing = () => grays[shown++ % grays.length];

/** A video of ten frames per second, with a spot in those seconds that are abnormal. */
function video(name: string, seconds: number, isAbnormal: (second: number) => boolean, ...codec: string[]): string {
  const input = ["-f", "lavfi", "-i", "color=black:size=96x64:rate=10", "-frames:v", String(10 * seconds)];
  const abnormal = Array.from({ length: seconds }, (_, second) => second).filter(isAbnormal);
  const when = abnormal.map((second) => `between(T,${second},${second + 0.999})`).join("+") || "0";
  // Something moves, so that no picture is the same as the one before.
  const filter = `geq=lum='20+mod(N,4)+200*(${when})*between(X,32,63)*between(Y,20,43)':cb=128:cr=128`;
  const output = ["-vf", filter, "-pix_fmt", "yuv420p", "-g", "10", ...codec, at(name)];
  execFileSync(ffmpeg, ["-v", "error", "-y", ...input, ...output]);
  return at(name);
}

test("an ffmpeg that is killed is started again", async () => {
  const server = await serve((response) => sendPictures(response, changing));
  const { camera, problems, until } = watch(`${server.url}/video`, at("data"));
  await until("frames come", () => camera.counts.frames > 5);
  for (const pid of ffmpegPids()) process.kill(pid, "SIGKILL");
  await until("it is offline", () => camera.status === "offline" && problems.length > 0);
  expect(problems).toEqual([expect.stringMatching(/\/video: ffmpeg was ended by SIGKILL$/)]);
  const { frames } = camera.counts;
  await until("frames come again", () => camera.counts.frames > frames + 5);
  expect(camera).toMatchObject({ status: "online", problem: undefined, counts: { reconnects: 1 } });
  expect(server.asked).toBe(2);
});

test("a stream that is frozen counts as offline until its picture changes", async () => {
  let isFrozen = false;
  const server = await serve((response) => sendPictures(response, () => (isFrozen ? grays[0] : changing())));
  // Its seconds are a tenth of a second.
  const clock = { ...machineClock, steady: () => performance.now() / 100 };
  const watched = watch(`${server.url}/video`, at("data"), { host: { clock } });
  const { camera, problems, until, events } = watched;
  await until("frames come", () => camera.counts.frames > 5);
  isFrozen = true;
  await until("it is offline", () => events("offline").length === 1);
  expect(problems).toEqual(["the picture does not change for 20 s"]);
  const { frames } = camera.counts;
  expect(server.asked).toBeGreaterThan(1);
  isFrozen = false;
  await until("it is back", () => events("offline")[0].end !== undefined);
  expect(camera.status).toBe("online");
  expect(camera.counts.frames).toBeGreaterThan(frames);
}, 120_000);

test("a machine that scores few frames of a camera is warned of once", async () => {
  const server = await serve((response) => sendPictures(response, changing));
  // Its seconds are a tenth of a second.
  const clock = { ...machineClock, steady: () => performance.now() / 100 };
  const { camera, warnings, until } = watch(`${server.url}/video`, at("data"), { host: { clock, send: () => false } });
  const line = /^scores 0 % of its frames: lower fps/;
  await until("frames come", () => camera.counts.frames > 0);
  expect(camera.slowness).toBeUndefined();
  const none = new Float32Array(0);
  const maps = { student: none, target: none, anomaly: none, motion: none, movingAnomaly: none, largestMotion: none };
  const tokens = { rows: 0, columns: 0, ...maps, visible: new Uint8Array(0) };
  camera.score({ camera: 0, number: -1, score: 0, tokens });
  await until("it does not keep up", () => camera.slowness !== undefined);
  expect(camera.slowness).toMatch(line);
  const { frames } = camera.counts;
  await until("more frames come", () => camera.counts.frames > frames + 20);
  expect(warnings).toEqual([expect.stringMatching(line)]);
}, 120_000);

test("a camera may take its time to answer, and may be away at first", async () => {
  const first = await httpCamera((response) => response.end());
  first.close();
  const watched = watch(`${first.url}/video`, at("data"));
  const { camera, problems, until } = watched;
  await until("it was tried twice", () => camera.counts.reconnects === 2);
  expect(problems[0]).toContain("ECONNREFUSED");
  expect(camera.status).toBe("offline");
  const port = Number(new URL(first.url).port);
  await serve(async (response) => {
    await sleep(3000);
    sendPictures(response, changing);
  }, port);
  await until("frames come", () => camera.counts.frames > 5);
  expect(camera.status).toBe("online");
});

test("a camera may come back with another codec; each connection's clip plays", async () => {
  const spot = await grayJpeg(20, 230);
  const movie = readFileSync(video("b.ts", 16, (s) => s >= 10 && s < 12, "-c:v", "libx264"));
  let connections = 0;
  const server = await serve((response) => {
    if (++connections === 1) {
      let sent = 0;
      sendPictures(response, () => (++sent > 20 && sent < 40 ? spot : changing()));
      setTimeout(() => response.end(), 8000);
      return;
    }
    // As live, in pieces.
    response.writeHead(200, { "content-type": "video/mp2t" });
    let sent = 0;
    const timer = setInterval(() => {
      response.write(movie.subarray(sent, sent + Math.ceil(movie.length / 160)));
      sent += Math.ceil(movie.length / 160);
      if (sent < movie.length) return;
      clearInterval(timer);
      response.end();
    }, 100);
  });
  const { until, events, warnings } = watch(`${server.url}/video`, at("data"));
  await until("there are two clips", () => events("anomaly").filter(({ clip }) => clip).length >= 2);
  const clips = events("anomaly").flatMap(({ clip }) => clip ?? []);
  for (const clip of clips.slice(0, 2)) {
    expect((await collect((await openInput(at("data", clip))).frames())).length).toBeGreaterThan(10);
  }
  expect(warnings).toEqual([]);
}, 120_000);

// vaapi is known to ffmpeg; a machine with a GPU may have it.
test.each([existsSync("/dev/dri") ? "nosuchhardware" : "vaapi"])(
  "hardware that cannot decode (%s) leaves it to the processor: at once, and for good after the second time",
  async (name) => {
    const movie = readFileSync(video("a.ts", 3, () => false, "-c:v", "libx264"));
    const server = await serve((response) => response.end(movie));
    const { camera, warnings, until } = watch(`${server.url}/a.ts`, at("data"), { config: { hardwareDecoding: name } });
    await until("the second connection gives frames", () => warnings.length === 2);
    expect(warnings[0]).toContain(`decoding by hardware (${name}) has failed, the processor decodes until`);
    expect(warnings[1]).toContain(`decoding by hardware (${name}) has failed, it is given up: `);
    const { frames } = camera.counts;
    await until("a third connection gives frames", () => camera.counts.frames > frames + 30);
  },
  120_000,
);

test("recordings of a folder make events at the times of the recordings, with clips", async () => {
  mkdirSync(at("in"));
  const settled = { followed: 0.2, last: 0.4 };
  let onLook = () => {};
  const looked = new Promise<void>((resolve) => {
    onLook = resolve;
  });
  const { camera, until, events, warnings } = watch(at("in"), at("data"), {
    play: { folder: { interval: 0.05, settled: { video: settled, image: settled }, onLook } },
  });
  await looked;
  expect(camera.status).toBe("waiting");
  const put = (name: string, end: string, bright: (second: number) => boolean) => {
    video(name, 10, bright, "-c:v", "libx264");
    utimesSync(at(name), new Date(end), new Date(end));
    renameSync(at(name), at("in", name));
  };
  put("1.mp4", "2026-03-01T12:00:10Z", (s) => s >= 4 && s < 6);
  put("2.mp4", "2026-03-01T12:00:20Z", (s) => s >= 7);
  await until("there are two clips", () => events("anomaly").filter(({ clip }) => clip).length === 2);
  const [first, second] = events("anomaly");
  const near = (time: string | undefined, wanted: string) =>
    expect(Math.abs(Date.parse(time!) - Date.parse(wanted)), `${time} ${wanted}`).toBeLessThan(700);
  near(first.start, "2026-03-01T12:00:04Z");
  near(first.end, "2026-03-01T12:00:07Z");
  near(second.start, "2026-03-01T12:00:17Z");
  near(second.end, "2026-03-01T12:00:20Z");
  expect(second.reason).toBe("the recording has ended");
  expect((await collect((await openInput(at("data", first.clip!))).frames())).length).toBeGreaterThan(30);
  // However fast they are read, no frame is left out.
  expect(camera.counts.dropped).toBe(0);
  expect(camera.counts.frames).toBeGreaterThanOrEqual(198);
  renameSync(at("in"), at("away"));
  await until("it is offline", () => camera.status === "offline");
  expect(camera.problem).toMatch(/in cannot be read: no such file or folder$/);
  renameSync(at("away"), at("in"));
  put("3.mp4", "2026-03-01T12:00:30Z", () => false);
  await until("the third is read", () => camera.counts.frames >= 297);
  expect(warnings).toEqual([]);
}, 120_000);

test("HLS that grows is read segment by segment, at its own rate; one that is missing is left out", async () => {
  const length = 4;
  video("a.mp4", 40, (s) => s >= 9 && s < 11, "-c:v", "libx264");
  const cut = ["-f", "segment", "-segment_time", String(length), "-segment_format", "mpegts", at("%d.ts")];
  execFileSync(ffmpeg, ["-v", "error", "-i", at("a.mp4"), "-c", "copy", ...cut]);
  const count = readdirSync(at()).filter((name) => /^\d+\.ts$/.test(name)).length;
  let began: number | undefined;
  const server = await serve((response, path) => {
    began ??= Date.now();
    const name = path.slice(1);
    if (name === "4.ts") response.writeHead(404).end();
    else if (name.endsWith(".ts")) response.end(readFileSync(at(name)));
    else {
      const end = Math.min(count, 3 + Math.floor((Date.now() - began) / 1000 / length));
      const segments = Array.from({ length: end }, (_, i) => `#EXTINF:${length}.0,\n${i}.ts`);
      const head = ["#EXTM3U", "#EXT-X-VERSION:3", `#EXT-X-TARGETDURATION:${length}`, "#EXT-X-MEDIA-SEQUENCE:0"];
      response.end(`${[...head, ...segments].join("\n")}\n`);
    }
  });
  const { camera, until, problems, events } = watch(`${server.url}/live.m3u8`, at("data"));
  await until("frames behind the missing segment come", () => camera.counts.frames > 180);
  expect(problems).toEqual([]);
  // Two seconds, and one in which the level must stay below. Segments come in bursts.
  const [{ start, end }] = events("anomaly");
  expect(Math.abs(Date.parse(end!) - Date.parse(start) - 3000)).toBeLessThan(1500);
}, 120_000);

test.each([
  ["a file", () => `file://${at("a.ts")}`, /names file:\/\//],
  ["another host", () => "http://127.0.0.2:9/a.ts", /names http:\/\/127\.0\.0\.2:9, which is not opened/],
])("a playlist that names %s is refused", async (_, uri, refused) => {
  video("a.ts", 1, () => false, "-c:v", "libx264");
  const head = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", "#EXTINF:1.0,"];
  const server = await serve((response) => response.end(`${[...head, uri()].join("\n")}\n`));
  const { camera, until } = watch(`${server.url}/live.m3u8`, at("data"));
  await until("it is offline", () => camera.status === "offline");
  expect(camera.problem).toMatch(refused);
  expect(camera.counts.frames).toBe(0);
});

describe.skipIf(!hasRtspServer())("a real RTSP server", () => {
  test.each([false, true])(
    "that ends its stream is connected to again (UDP: %s)",
    async (udp) => {
      const file = video("a.mp4", 12, (s) => s >= 4 && s < 6, "-c:v", "libx264", "-bf", "0");
      const pipeline = `( filesrc location=${file} ! qtdemux ! rtph264pay name=pay0 pt=96 config-interval=1 )`;
      const server = await startRtspServer({ pipeline, udp });
      open.push({ close: () => server.process.kill() });
      const { camera, until, events, warnings, problems } = watch(`rtsp://localhost:${server.port}/live`, at("data"));
      await until("there is a clip", () => events("anomaly").some(({ clip }) => clip));
      const [{ clip, start, end }] = events("anomaly");
      expect(Math.abs(Date.parse(end!) - Date.parse(start) - 3000)).toBeLessThan(1500);
      expect((await collect((await openInput(at("data", clip!))).frames())).length).toBeGreaterThan(30);
      await until("it was connected to again", () => camera.counts.reconnects > 0 && camera.status === "online");
      expect(problems[0]).toMatch(/live: (the stream ended|the camera closed the connection)$/);
      expect(warnings).toEqual([]);
      // It is gone: tried again and again.
      server.process.kill("SIGKILL");
      await until("it is offline", () => camera.status === "offline");
      await until("it was tried again", () => /cannot be reached: .*ECONNREFUSED/.test(camera.problem ?? ""));
    },
    120_000,
  );
});
