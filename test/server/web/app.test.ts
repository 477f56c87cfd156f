import { once } from "node:events";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { scrubber } from "../../../src/server/config/secrets.js";
import type { FrameMessage, WatchState } from "../../../src/server/web/api.js";
import { type WebOptions, webApp } from "../../../src/server/web/app.js";
import { type Served, serveWeb } from "../../../src/server/web/serve.js";
import { scratchPerTest } from "../../support/folders.js";
import { FakeWatch, facts, fakeEvent, street } from "./fake_watch.js";

const root = scratchPerTest();
let watch: FakeWatch;
beforeEach(() => {
  watch = new FakeWatch(root(), "front", "yard");
});

/** Serves the fake on a free port until the test is over. */
async function served(options: WebOptions = {}, host = "127.0.0.1"): Promise<Served> {
  const page = await serveWeb(webApp(watch, watch.feed, options), { host, port: 0 });
  onTestFinished(() => page.close());
  return page;
}

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  bytes: Buffer;
}

/** A request that fetch would not send: any path and any header. */
async function ask(
  { url }: Served,
  path: string,
  headers: Record<string, string> = {},
  { method = "GET", body = "" } = {},
): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const request = httpRequest({ hostname, port, path, method, headers, agent: false });
  request.end(body);
  const [response] = (await once(request, "response")) as [import("node:http").IncomingMessage];
  const parts: Buffer[] = [];
  for await (const part of response as AsyncIterable<Buffer>) parts.push(part);
  const bytes = Buffer.concat(parts);
  return { status: response.statusCode ?? 0, headers: response.headers, text: bytes.toString(), bytes };
}

const statusOf = async (...request: Parameters<typeof ask>) => (await ask(...request)).status;
const own = ({ url }: Served) => ({ Origin: url.slice(0, -1) });

describe("hosts and origins", () => {
  test("only names of this machine and the configured host may be asked for", async () => {
    const page = await served({ host: "cam.local", hosts: ["Proxy.example"] });
    const { port } = new URL(page.url);
    const status = (Host: string) => statusOf(page, "/api/state", { Host });
    for (const name of ["127.0.0.1", "localhost", "127.8.0.1", "[::1]", "cam.local", "CAM.local", "proxy.example"]) {
      expect([name, await status(`${name}:${port}`)]).toEqual([name, 200]);
      expect([name, await status(name)]).toEqual([name, 200]);
    }
    const strange = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.5", "[::2]"];
    for (const name of [...strange, "localhost@evil.example", "127.0.0.1:1:2", "a b"]) {
      expect([name, [400, 403].includes(await status(name))]).toEqual([name, true]);
    }
    const refused = await ask(page, "/api/state", { Host: "evil.example" });
    expect(refused.status).toBe(403);
    expect(JSON.parse(refused.text)).toEqual({ error: expect.stringMatching(/^[^\n]+$/) });
  });

  test("a page at all addresses may be asked for by any address in numbers, but by no strange name", async () => {
    const page = await served({ host: "0.0.0.0" });
    expect(await statusOf(page, "/livez", { Host: "192.168.1.5:8377" })).toBe(200);
    expect(await statusOf(page, "/livez", { Host: "[fd00::5]:8377" })).toBe(200);
    expect(await statusOf(page, "/livez", { Host: "evil.example" })).toBe(403);
  });

  test("changes need the page's own origin", async () => {
    const page = await served();
    watch.events = [fakeEvent(1)];
    const path = `/api/events/${watch.events[0].id}/normal`;
    const post = (headers: Record<string, string>) => statusOf(page, path, headers, { method: "POST" });
    expect(await post({})).toBe(403);
    for (const Origin of ["http://evil.example", "null", page.url.replace(/\d+\/$/, "1"), "", "http://127.0.0.1"]) {
      expect([Origin, await post({ Origin })]).toEqual([Origin, 403]);
    }
    expect(await post({ ...own(page), "Sec-Fetch-Site": "cross-site" })).toBe(403);
    expect(await post({ ...own(page), "Sec-Fetch-Site": "same-site" })).toBe(403);
    expect(watch.normal).toEqual([]);
    expect(await post({ ...own(page), "Sec-Fetch-Site": "same-origin" })).toBe(200);
    expect(await post(own(page))).toBe(200);
    expect(watch.normal).toEqual([watch.events[0].id, watch.events[0].id]);
  });

  test("a camera that is to learn again needs it too", async () => {
    const page = await served();
    const post = (id: string, headers: Record<string, string>) =>
      ask(page, `/api/cameras/${id}/calibrate`, headers, { method: "POST" });
    expect((await post("front", {})).status).toBe(403);
    expect((await post("front", { Origin: "http://evil.example" })).status).toBe(403);
    expect((await post("front", { ...own(page), "Sec-Fetch-Site": "cross-site" })).status).toBe(403);
    expect((await post("nothing", own(page))).status).toBe(404);
    expect(await statusOf(page, "/api/cameras/front/calibrate", own(page))).toBe(404);
    expect(watch.recalibrated).toEqual([]);
    const { status, text } = await post("front", own(page));
    expect([status, JSON.parse(text)]).toEqual([200, { id: "front" }]);
    expect(watch.recalibrated).toEqual(["front"]);
  });

  test("pages of other sites may link here, but show no part of it", async () => {
    const page = await served();
    const from = (site: string, mode: string, dest: string) =>
      statusOf(page, "/", { "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest });
    expect(await from("cross-site", "navigate", "document")).toBe(200);
    expect(await from("cross-site", "navigate", "iframe")).toBe(403);
    expect(await from("cross-site", "no-cors", "image")).toBe(403);
    expect(await from("same-site", "cors", "empty")).toBe(403);
    expect(await from("same-origin", "cors", "empty")).toBe(200);
  });

  test("every answer has the headers that guard it", async () => {
    const page = await served();
    for (const path of ["/", "/api/state", "/nothing", "/files/clips/no.mp4", "/livez", "/metrics"]) {
      const { headers } = await ask(page, path);
      expect(headers["content-security-policy"]).toMatch(/^default-src 'self'; .*frame-ancestors 'none'$/);
      expect(headers["content-security-policy"]).not.toMatch(/unsafe/);
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers["referrer-policy"]).toBe("no-referrer");
      expect(headers["cross-origin-resource-policy"]).toBe("same-origin");
    }
    const { text } = await ask(page, "/");
    expect(text).not.toMatch(/<script>|<style|style=| on\w+=/);
    for (const [, path] of text.matchAll(/(?:src|href)="(\/[^"]+)"/g)) {
      const file = await ask(page, path);
      expect([file.status, file.headers["cache-control"]]).toEqual([200, expect.stringContaining("immutable")]);
    }
  });
});

describe("the token", () => {
  const token = "correct horse".replace(" ", "-");
  const html = { Accept: "text/html" };
  const bearer = (text: string) => ({ Authorization: `Bearer ${text}` });
  const cookieOf = ({ headers }: Answer) => {
    const [cookie] = (headers["set-cookie"] ?? []) as string[];
    return cookie;
  };

  test("everything needs it but /livez", async () => {
    const page = await served({ token });
    expect(await statusOf(page, "/livez")).toBe(200);
    const paths = [
      "/",
      "/readyz",
      "/metrics",
      "/api/state",
      "/api/events",
      "/api/stream",
      "/api/cameras/front/picture.jpg",
    ];
    for (const path of [...paths, "/api/cameras/front/live.mjpeg", "/files/clips/a.mp4", "/nothing", "/page/x.js"]) {
      expect([path, await statusOf(page, path)]).toEqual([path, 401]);
      expect([path, await statusOf(page, path, bearer("wrong"), { method: "HEAD" })]).not.toEqual([path, 200]);
    }
    for (const path of ["/api/events/x/normal", "/api/cameras/front/calibrate"]) {
      expect(await statusOf(page, path, own(page), { method: "POST" })).toBe(401);
    }
    const answer = await ask(page, "/api/state");
    expect(answer.headers["www-authenticate"]).toBe("Bearer");
    expect(Object.keys(JSON.parse(answer.text))).toEqual(["error"]);
  });

  test("a program sends it as a bearer", async () => {
    const page = await served({ token });
    expect(await statusOf(page, "/api/state", bearer(token))).toBe(200);
    expect(await statusOf(page, "/api/state", bearer(`${token}x`))).toBe(401);
    expect(await statusOf(page, "/api/state", { Authorization: `Basic ${token}` })).toBe(401);
  });

  test("a program that sends it may make changes without an origin", async () => {
    const page = await served({ token });
    const post = (headers: Record<string, string>) =>
      statusOf(page, "/api/cameras/front/calibrate", headers, { method: "POST" });
    expect(await post(bearer(`${token}x`))).toBe(401);
    expect(await post({ Authorization: `Basic ${token}` })).toBe(403);
    expect(await post({ ...bearer(token), Origin: "http://evil.example" })).toBe(403);
    const login = await ask(page, "/login", own(page), {
      method: "POST",
      body: `token=${token}`,
    });
    const Cookie = (cookieOf(login) ?? "").split(";")[0];
    expect(await post({ Cookie })).toBe(403);
    expect(await post({ Cookie, ...bearer("wrong") })).toBe(401);
    expect(watch.recalibrated).toEqual([]);
    expect(await post(bearer(token))).toBe(200);
    expect(watch.recalibrated).toEqual(["front"]);
    // Without a token of the page's own, any text would do.
    const open = await served();
    expect(await statusOf(open, "/api/cameras/front/calibrate", bearer(token), { method: "POST" })).toBe(403);
  });

  test("the form gives a cookie, which does not hold the token", async () => {
    const page = await served({ token });
    const form = await ask(page, "/", html);
    expect(form.status).toBe(401);
    expect(form.text).toContain('<form method="post" action="/login">');
    expect(form.headers["content-security-policy"]).toMatch(
      /default-src 'none'; style-src 'sha256-[^']+'; form-action/,
    );
    const post = (body: string, headers: Record<string, string> = own(page)) =>
      ask(
        page,
        "/login",
        { ...html, ...headers, "Content-Type": "application/x-www-form-urlencoded" },
        { method: "POST", body },
      );
    expect((await post(`token=${token}`, {})).status).toBe(403);
    const wrong = await post("token=wrong%3Cb%3E");
    expect([wrong.status, cookieOf(wrong)]).toEqual([401, undefined]);
    expect(wrong.text).toContain("This is not the token.");
    expect(wrong.text).not.toContain("wrong%3C");
    const right = await post(`token=${token}`);
    expect([right.status, right.headers.location]).toEqual([303, "/"]);
    const cookie = cookieOf(right);
    expect(cookie).toMatch(
      /^sdmae_[0-9a-f]{8}=\d+\.[0-9a-f]{64}; Max-Age=2592000; Path=\/; HttpOnly; SameSite=Strict$/,
    );
    expect(cookie).not.toContain(token);
    const Cookie = cookie.split(";")[0];
    expect(await statusOf(page, "/api/state", { Cookie })).toBe(200);
    const [name, value] = Cookie.split("=");
    const [end, signature] = value.split(".");
    for (const forged of [
      `${Number(end) + 1}.${signature}`,
      `${end}.${"0".repeat(64)}`,
      `${end}`,
      "",
      `.${signature}`,
    ]) {
      expect([forged, await statusOf(page, "/api/state", { Cookie: `${name}=${forged}` })]).toEqual([forged, 401]);
    }
    expect(await statusOf(page, "/login", { Cookie })).toBe(303);
    expect((await post("x".repeat(5000))).status).toBe(413);
  });

  test("a cookie ends after thirty days, and with another token", async () => {
    const page = await served({ token });
    const cookie = cookieOf(await ask(page, `/?token=${token}`)).split(";")[0];
    const other = await served({ token: `${token}2` });
    expect(await statusOf(other, "/", { Cookie: cookie })).toBe(401);
    vi.spyOn(Date, "now").mockReturnValue(Date.now() + 31 * 86_400_000);
    onTestFinished(() => void vi.restoreAllMocks());
    expect(await statusOf(page, "/", { Cookie: cookie })).toBe(401);
  });

  test("in an address it is taken once, and the browser gets an address without it", async () => {
    const page = await served({ token });
    const answer = await ask(page, `/api/events?camera=front&token=${token}`, html);
    expect([answer.status, answer.headers.location]).toEqual([303, "/api/events?camera=front"]);
    expect(cookieOf(answer)).toMatch(/HttpOnly/);
    expect((await ask(page, `/?token=${token}`)).headers.location).toBe("/");
    for (const path of ["//evil.example/", "/%5cevil.example", "/\\evil.example", "///evil.example"]) {
      const { status, headers } = await ask(page, `${path}?token=${token}`);
      expect([path, status === 400 || headers.location === "/"]).toEqual([path, true]);
    }
    expect((await ask(page, "/?token=wrong")).status).toBe(401);
    // A link on another site's page: cookies come with the next request only.
    const link = {
      ...html,
      "Sec-Fetch-Site": "cross-site",
      "Sec-Fetch-Mode": "navigate",
      "Sec-Fetch-Dest": "document",
    };
    const led = await ask(page, `/?token=${token}`, link);
    expect([led.status, cookieOf(led) !== undefined]).toEqual([200, true]);
    expect(led.text).toContain('http-equiv="refresh" content="0; url=/"');
    expect((await ask(page, "/", link)).text).toContain("refresh");
    expect((await ask(page, "/", { ...link, "Sec-Fetch-Site": "same-origin" })).text).toContain("<form");
  });

  test("after ten wrong tries in a minute none is right; logins stay", async () => {
    const page = await served({ token });
    const Cookie = cookieOf(await ask(page, `/?token=${token}`)).split(";")[0];
    for (let i = 0; i < 10; i++) expect(await statusOf(page, "/api/state", bearer(`guess${i}`))).toBe(401);
    for (const given of ["guess", token]) {
      const answer = await ask(page, "/api/state", bearer(given));
      expect([answer.status, answer.headers["retry-after"]]).toEqual([429, "60"]);
    }
    expect(await statusOf(page, `/?token=${token}`)).toBe(429);
    const form = { ...own(page), ...html, "Content-Type": "application/x-www-form-urlencoded" };
    const posted = await ask(page, "/login", form, { method: "POST", body: `token=${token}` });
    expect([posted.status, cookieOf(posted)]).toEqual([429, undefined]);
    expect(posted.text).toContain("wait a minute");
    expect(await statusOf(page, "/api/state", { Cookie })).toBe(200);
    expect(await statusOf(page, "/api/state")).toBe(401);
    vi.spyOn(Date, "now").mockReturnValue(Date.now() + 60_001);
    onTestFinished(() => void vi.restoreAllMocks());
    expect(await statusOf(page, "/api/state", bearer(token))).toBe(200);
  });
});

describe("state and events", () => {
  test("the state tells all about cameras, engine, queues and disk", async () => {
    const page = await served();
    const [front] = watch.cameras;
    Object.assign(front, { status: "online", latency: 0.25, lastFrame: 1_780_000_000_000 });
    front.config = {
      ...front.config,
      name: "Front door",
      zones: [
        {
          name: "door",
          polygon: [
            [0, 0],
            [1, 0],
            [1, 1],
          ],
        },
      ],
    };
    front.decisions = { learning: 1, threshold: 0.5, mode: "infrared", isPaused: false };
    watch.learntOf.set("front", {
      ...{
        threshold: 0.5,
        normal: 0.1,
        alarmsPerDay: 2,
        extrapolation: 1,
        seconds: 3600,
        mapHigh: 0.7,
        minutes: [0.1],
      },
    });
    watch.models.set("front", { hash: "fedcba9876543210", isLearnt: true });
    watch.outcome(front, { level: 0.4 });
    front.slowness = "scores 4 % of its frames";
    watch.facts.set("engine", facts);
    watch.isReady = true;
    watch.sinks = [{ sink: "phone", length: 3, problem: "it does not answer" }];
    const state = JSON.parse((await ask(page, "/api/state")).text) as WatchState;
    expect(state).toMatchObject({
      editProblem: null,
      ready: true,
      engines: [{ adapter: facts.adapter, model: "0123abcd", dtype: "f16", size: { width: 640, height: 320 } }],
      queues: [{ sink: "phone", length: 3, problem: "it does not answer" }],
      storage: { clips: 1_234_567, most: 20e9, free: expect.any(Number), reserve: 200e6, days: 30 },
      problem: null,
      versions: { sdmae: expect.stringMatching(/^\d/), node: process.version, webgpu: expect.any(String) },
    });
    expect(Math.abs(state.time - Date.now())).toBeLessThan(10_000);
    expect(state.cameras[0]).toEqual({
      ...{ id: "front", name: "Front door", shadow: false, ignore: [], privacy: [] },
      zones: [
        {
          name: "door",
          polygon: [
            [0, 0],
            [1, 0],
            [1, 1],
          ],
        },
      ],
      ...{
        status: "online",
        problem: null,
        slowness: "scores 4 % of its frames",
        picture: false,
        counts: { frames: 1, dropped: 0, scored: 1, reconnects: 0 },
      },
      ...{ fps: expect.any(Number), wantedFps: 10, learning: 1, threshold: 0.5, mode: "infrared", level: 0.4 },
      ...{ lastFrame: 1_780_000_000_000, latency: 0.25, paused: false },
      ...{ model: { hash: "fedcba98", learnt: true }, machine: null },
      learnt: { threshold: 0.5, seconds: 3600, normal: 0.1, alarmsPerDay: 2, mapHigh: 0.7 },
    });
    expect(state.cameras[1]).toMatchObject({
      status: "connecting",
      threshold: null,
      level: null,
      model: { hash: "0123abcd", learnt: false },
      learnt: null,
      fps: 0,
    });
  });

  test("no secret and no login is shown, and names stay as they are", async () => {
    const page = await served({ scrub: scrubber(["pa ss&word", "front"]) });
    const [front] = watch.cameras;
    front.problem = "rtsp://admin:pa%20ss%26word@camera/1 does not answer (pa ss&word)";
    watch.sinks = [{ sink: "hook", length: 0, problem: "https://u:pa%20ss&word@host" }];
    watch.events = [fakeEvent(1, { text: "lost rtsp://a:b@c pa ss&word" })];
    const texts = [await ask(page, "/api/state"), await ask(page, "/api/events")].map(({ text }) => text);
    for (const text of texts) expect(text).not.toMatch(/pa ss|pa%20ss|a:b@/);
    expect((JSON.parse(texts[0]) as WatchState).cameras[0].id).toBe("front");
    expect(JSON.parse(texts[1])[0]).toMatchObject({ camera: "front", id: watch.events[0].id });
    vi.spyOn(watch.log, "events").mockRejectedValue(new Error("cannot read pa ss&word\n  at stack (file.ts:1)"));
    const failed = await ask(page, "/api/events");
    expect(failed.status).toBe(500);
    expect(failed.text).not.toMatch(/pa ss|\\n/);
  });

  test("events are filtered, newest first, and limited", async () => {
    const page = await served();
    watch.events = [
      fakeEvent(1),
      fakeEvent(3, { camera: "yard" }),
      fakeEvent(2, { kind: "offline" }),
      ...Array.from({ length: 60 }, (_, i) => fakeEvent(10 + i, { camera: "other" })),
    ];
    const starts = async (query: string) =>
      (JSON.parse((await ask(page, `/api/events${query}`)).text) as { start: string }[]).map(({ start }) =>
        start.slice(14, 16),
      );
    expect(await starts("?camera=front")).toEqual(["02", "01"]);
    expect(await starts("?camera=front&kind=anomaly")).toEqual(["01"]);
    expect(await starts("?since=2026-11-30T14:02:00Z&limit=2&camera=yard")).toEqual(["03"]);
    expect(await starts("?camera=front&until=2026-11-30T14:02:00Z")).toEqual(["01"]);
    expect(await starts("")).toHaveLength(50);
    for (const query of ["?kind=party", "?limit=0", "?limit=1001", "?limit=x", "?limit=1.5"]) {
      const { status, text } = await ask(page, `/api/events${query}`);
      expect([query, status, Object.keys(JSON.parse(text))]).toEqual([query, 400, ["error"]]);
    }
  });

  test("an event whose clip was deleted is marked", async () => {
    const page = await served();
    const [gone, there] = [fakeEvent(1), fakeEvent(2)];
    const clip = watch.file(there, "mp4", new Uint8Array(5));
    watch.events = [{ ...gone, clip: "clips/front/2026-11-30/gone.mp4" }, { ...there, clip }, fakeEvent(3)];
    const events = JSON.parse((await ask(page, "/api/events")).text) as { deleted?: true }[];
    expect(events.map(({ deleted }) => deleted)).toEqual([undefined, undefined, true]);
  });

  test("an event is said to be normal, and that is taken back", async () => {
    const page = await served();
    watch.events = [fakeEvent(1)];
    const [{ id }] = watch.events;
    const answer = await ask(page, `/api/events/${id}/normal`, own(page), { method: "POST" });
    expect([answer.status, JSON.parse(answer.text)]).toEqual([200, { id, feedback: "normal" }]);
    expect(watch.normal).toEqual([id]);
    const back = await ask(page, `/api/events/${id}/normal`, own(page), { method: "DELETE" });
    expect([back.status, JSON.parse(back.text)]).toEqual([200, { id, feedback: null }]);
    expect(watch.normal).toEqual([]);
    const unknown = await ask(page, "/api/events/nothing/normal", own(page), { method: "POST" });
    expect([unknown.status, JSON.parse(unknown.text)]).toEqual([400, { error: "there is no event nothing" }]);
  });

  test("it says whether it lives, and whether the engine scores", async () => {
    const page = await served();
    expect(await statusOf(page, "/livez")).toBe(200);
    expect(await statusOf(page, "/readyz")).toBe(503);
    watch.isReady = true;
    expect(await statusOf(page, "/readyz")).toBe(200);
    expect(await ask(page, "/nothing")).toMatchObject({ status: 404, text: '{"error":"there is no such page"}' });
    expect(await statusOf(page, "/api/state", own(page), { method: "DELETE" })).toBe(404);
  });

  test("the last minutes of levels, and the histogram of normal minutes", async () => {
    const page = await served();
    const [front] = watch.cameras;
    front.decisions = { learning: 1, threshold: 0.5, mode: "day", isPaused: false };
    const time = (wall: number) => ({ steady: wall / 1000, wall, stream: 0 });
    for (const [wall, level] of [
      [1000, 0.1],
      [1400, 0.3],
      [1900, Number.NaN],
      [2100, Number.NaN],
      [3000, 0.6],
    ]) {
      watch.outcome(front, { time: time(wall), level });
    }
    expect(JSON.parse((await ask(page, "/api/cameras/front/levels")).text)).toEqual([
      [1000, 0.3, 0.5],
      [2000, null, 0.5],
      [3000, 0.6, 0.5],
    ]);
    expect(await statusOf(page, "/api/cameras/nothing/levels")).toBe(404);
    expect(await statusOf(page, "/api/cameras/front/histogram")).toBe(404);
    const minutes = Array.from({ length: 30 }, (_, i) => i / 100);
    watch.learntOf.set("front", {
      ...{ threshold: 0.4, normal: 0.1, alarmsPerDay: 1, extrapolation: 48, seconds: 1800, mapHigh: 0.7, minutes },
    });
    const { text } = await ask(page, "/api/cameras/front/histogram");
    expect(text).toContain("30 minutes, from 0.000 to 0.2900. The threshold is 0.5000: 0 of them reach it.");
  });
});

describe("pictures and files", () => {
  test("a camera's latest picture", async () => {
    const page = await served();
    expect(await statusOf(page, "/api/cameras/front/picture.jpg")).toBe(404);
    expect(await statusOf(page, "/api/cameras/nothing/picture.jpg")).toBe(404);
    const jpeg = await street(0.5);
    watch.cameras[0].picture = jpeg;
    const { status, headers, bytes } = await ask(page, "/api/cameras/front/picture.jpg");
    expect([status, headers["content-type"], headers["cache-control"]]).toEqual([200, "image/jpeg", "no-store"]);
    expect(bytes.equals(Buffer.from(jpeg))).toBe(true);
  });

  test("live pictures: the newest one wins, and a slow reader skips", async () => {
    const page = await served();
    const [front] = watch.cameras;
    front.picture = Uint8Array.of(1);
    const gone = new AbortController();
    const response = await fetch(`${page.url}api/cameras/front/live.mjpeg`, { signal: gone.signal });
    expect(response.headers.get("content-type")).toBe("multipart/x-mixed-replace; boundary=sdmae-picture");
    const reader = response.body!.getReader();
    let text = "";
    const until = async (end: string) => {
      while (!text.endsWith(end)) text += Buffer.from((await reader.read()).value!).toString("latin1");
    };
    const part = (picture: string) =>
      `Content-Type: image/jpeg\r\nContent-Length: ${picture.length}\r\n\r\n${picture}\r\n--sdmae-picture\r\n`;
    await until(part("\x01"));
    expect(text).toBe(`--sdmae-picture\r\n${part("\x01")}`);
    front.picture = Uint8Array.of(2, 2);
    front.picture = Uint8Array.of(3, 3);
    await until(part("\x03\x03"));
    expect(text).not.toContain("\x02");
    // A reader that takes nothing: megabytes do not wait for it.
    const slow = connect(Number(new URL(page.url).port), "127.0.0.1");
    onTestFinished(() => void slow.destroy());
    slow.pause().write("GET /api/cameras/front/live.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (let i = 0; i < 40; i++) {
      front.picture = new Uint8Array(1_000_000).fill(i);
      await sleep(30);
    }
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 20; i++) {
      front.picture = new Uint8Array(1_000_000).fill(i);
      await sleep(30);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40_000_000);
    gone.abort();
  });

  test("live pictures go on with a camera that has replaced another one, and end with it", async () => {
    const page = await served();
    const { cameras } = watch;
    const [front] = cameras;
    front.picture = Uint8Array.of(1);
    const response = await fetch(`${page.url}api/cameras/front/live.mjpeg`);
    const reader = response.body!.getReader();
    let text = "";
    const read = async () => {
      const { value, done } = await reader.read();
      text += Buffer.from(value ?? []).toString("latin1");
      return done;
    };
    while (!text.includes("\x01")) await read();
    cameras[0] = { ...front, picture: Uint8Array.of(2) };
    while (!text.includes("\x02")) await read();
    cameras.shift();
    while (!(await read()));
    expect(await statusOf(page, "/api/cameras/front/picture.jpg")).toBe(404);
  });

  test("at most twenty read live pictures, and one that leaves makes room", async () => {
    const page = await served();
    watch.cameras[0].picture = Uint8Array.of(1);
    const gone = Array.from({ length: 20 }, () => new AbortController());
    onTestFinished(() => {
      for (const one of gone) one.abort();
    });
    const path = "api/cameras/front/live.mjpeg";
    // An answer that nobody holds any longer would be cancelled, and make room too early.
    const held: Response[] = [];
    for (const { signal } of gone) held.push(await fetch(`${page.url}${path}`, { signal }));
    expect(held.map(({ status }) => status)).toEqual(Array(20).fill(200));
    expect(await ask(page, `/${path}`)).toMatchObject({ status: 503, headers: { "retry-after": "10" } });
    expect(await statusOf(page, `/${path}`, {}, { method: "HEAD" })).toBe(200);
    gone[0].abort();
    await vi.waitFor(async () => {
      const { signal } = gone[1];
      held[0] = await fetch(`${page.url}${path}`, { signal });
      expect(held[0].status).toBe(200);
    });
    expect(held).toHaveLength(20);
  });

  const clip = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));

  test("a clip, whole and in parts", async () => {
    const page = await served();
    const path = `/files/${watch.file(fakeEvent(1), "mp4", clip)}`;
    const whole = await ask(page, path);
    expect(whole).toMatchObject({
      ...{ status: 200, bytes: clip },
      headers: { "content-type": "video/mp4", "content-length": "1000", "accept-ranges": "bytes" },
    });
    const ranges: [string, number, string?, Buffer?][] = [
      ["bytes=0-", 206, "bytes 0-999/1000", clip],
      ["bytes=10-19", 206, "bytes 10-19/1000", clip.subarray(10, 20)],
      ["bytes=990-5000", 206, "bytes 990-999/1000", clip.subarray(990)],
      ["bytes=-10", 206, "bytes 990-999/1000", clip.subarray(990)],
      ["bytes=-5000", 206, "bytes 0-999/1000", clip],
      ["bytes=1000-", 416, "bytes */1000", Buffer.alloc(0)],
      ["bytes=-0", 416, "bytes */1000", Buffer.alloc(0)],
      ["bytes=20-10", 200, undefined, clip],
      ["bytes=0-1,5-6", 200, undefined, clip],
      ["bytes=-", 200, undefined, clip],
      ["lines=1-2", 200, undefined, clip],
    ];
    for (const [Range, status, range, bytes] of ranges) {
      const part = await ask(page, path, { Range });
      expect([Range, part.status, part.headers["content-range"]]).toEqual([Range, status, range]);
      expect(part.bytes.equals(bytes!)).toBe(true);
    }
    const tag = String(whole.headers.etag);
    expect(await statusOf(page, path, { "If-None-Match": tag })).toBe(304);
    expect(await statusOf(page, path, { Range: "bytes=0-1", "If-Range": tag })).toBe(206);
    expect(await statusOf(page, path, { Range: "bytes=0-1", "If-Range": '"old"' })).toBe(200);
    const head = await ask(page, path, {}, { method: "HEAD" });
    expect([head.status, head.headers["content-length"], head.bytes.length]).toEqual([200, "1000", 0]);
    const snapshot = await ask(page, `/files/${watch.file(fakeEvent(1), "jpg", Uint8Array.of(255, 216))}`);
    expect([snapshot.status, snapshot.headers["content-type"]]).toEqual([200, "image/jpeg"]);
  });

  test("no file is left open, even if readers leave early", async () => {
    const page = await served();
    const path = `/files/${watch.file(fakeEvent(1), "mp4", Buffer.alloc(20_000_000))}`;
    // Warm: the first requests open what stays.
    await ask(page, path, {}, { method: "HEAD" });
    const open = () => readdirSync("/proc/self/fd").length;
    const before = open();
    for (let i = 0; i < 30; i++) {
      const gone = new AbortController();
      const { body } = await fetch(page.url.slice(0, -1) + path, { signal: gone.signal });
      await body!.getReader().read();
      gone.abort();
      await statusOf(page, path, {}, { method: "HEAD" });
      await statusOf(page, path, { Range: "bytes=99999999-" });
    }
    await vi.waitFor(() => expect(open()).toBeLessThanOrEqual(before + 3), 5000);
  });

  test("no path leads out of the clips' folder", async () => {
    const page = await served();
    const inside = `/files/${watch.file(fakeEvent(1), "mp4", clip)}`;
    const folder = inside.slice(0, inside.lastIndexOf("/") + 1);
    writeFileSync(root("secret.mp4"), "secret");
    mkdirSync(root("other"));
    writeFileSync(root("other", "secret.mp4"), "secret");
    const on = (path: string) => root(path.slice("/files/".length));
    symlinkSync(root("secret.mp4"), on(`${folder}link.mp4`));
    symlinkSync(root("other"), root("clips", "front", "linked"));
    symlinkSync("/", root("clips", "root"));
    symlinkSync("loop.mp4", on(`${folder}loop.mp4`));
    symlinkSync(on(inside), on(`${folder}within.mp4`));
    mkdirSync(on(`${folder}folder.mp4`));
    writeFileSync(on(`${folder}event.json`), "{}");
    writeFileSync(on(`${folder}.hidden.mp4`), "secret");
    const paths = [
      "/files/clips/../secret.mp4",
      "/files/clips/front/../../secret.mp4",
      "/files/clips/%2e%2e/secret.mp4",
      "/files/clips/%2e%2e%2fsecret.mp4",
      "/files/clips/..%2fsecret.mp4",
      "/files/clips/.%2e/secret.mp4",
      "/files/clips/%252e%252e/secret.mp4",
      "/files/clips/..%5csecret.mp4",
      "/files/clips/..\\secret.mp4",
      `/files/clips/${root("secret.mp4")}`,
      `/files/clips//${root("secret.mp4")}`,
      `/files/clips/${encodeURIComponent(root("secret.mp4"))}`,
      "/files/clips/%00/secret.mp4",
      `${inside}%00`,
      `${inside}%00.mp4`,
      "/files/clips/front/linked/secret.mp4",
      `/files/clips/root${root("secret.mp4")}`,
      ...["link.mp4", "loop.mp4", "folder.mp4", "event.json", ".hidden.mp4", "nothing.mp4", "%ff.mp4", "%.mp4", ""].map(
        (name) => folder + name,
      ),
      "/files/clips/",
      "/files/clips",
      "/files/secret.mp4",
      "/files/clips/front",
      `${inside}/`,
      `/files/clips/${"a".repeat(5000)}.mp4`,
    ];
    for (const path of paths) {
      const { status, text } = await ask(page, path);
      expect([path, [400, 404].includes(status), text.includes("secret")]).toEqual([path, true, false]);
    }
    expect(await statusOf(page, inside)).toBe(200);
    expect(await statusOf(page, `${folder}within.mp4`)).toBe(200);
  });
});

test("metrics have the names of the documentation", async () => {
  watch = new FakeWatch(root(), "front", "yard", "folder");
  const page = await served();
  const [front, yard] = watch.cameras;
  Object.assign(front, { status: "online", latency: 0.25, lastFrame: 1_780_000_000_500 });
  front.decisions = { learning: 1, threshold: 0.5, mode: "day", isPaused: false };
  watch.cameras[2].status = "waiting";
  Object.assign(yard.counts, { frames: 9, dropped: 4, scored: 5, reconnects: 2 });
  watch.outcome(front, { level: 0.4 });
  watch.change("new", fakeEvent(1));
  watch.change("end", fakeEvent(1));
  watch.feed.onDelivery("phone", "failed");
  watch.feed.onDelivery("phone", "delivered");
  watch.sinks = [
    { sink: "phone", length: 3, problem: undefined },
    { sink: "home", length: 0, problem: "not connected yet" },
  ];
  const { text, headers } = await ask(page, "/metrics");
  expect(headers["content-type"]).toContain("text/plain");
  const lines = text.split("\n");
  const wanted = [
    'sdmae_camera_up{camera="front"} 1',
    'sdmae_camera_up{camera="yard"} 0',
    'sdmae_camera_up{camera="folder"} 1',
    'sdmae_frames_total{camera="front",result="scored"} 1',
    'sdmae_frames_total{camera="yard",result="scored"} 5',
    'sdmae_frames_total{camera="yard",result="dropped"} 4',
    'sdmae_frame_latency_seconds_bucket{le="0.2",camera="front"} 0',
    'sdmae_frame_latency_seconds_bucket{le="0.3",camera="front"} 1',
    'sdmae_frame_latency_seconds_count{camera="front"} 1',
    'sdmae_last_frame_timestamp_seconds{camera="front"} 1780000000.5',
    'sdmae_reconnects_total{camera="yard"} 2',
    'sdmae_score{camera="front"} 0.4',
    'sdmae_threshold{camera="front"} 0.5',
    'sdmae_events_total{camera="front",kind="anomaly"} 1',
    'sdmae_alerts_total{sink="phone",result="failed"} 1',
    'sdmae_alerts_total{sink="phone",result="delivered"} 1',
    'sdmae_alert_queue_length{sink="phone"} 3',
    'sdmae_sink_up{sink="phone"} 1',
    'sdmae_sink_up{sink="home"} 0',
    "sdmae_storage_bytes 1234567",
  ];
  for (const line of wanted) expect(lines).toContain(line);
  expect(text).toMatch(/^sdmae_build_info\{version="\d[^"]*",node="v[^"]+",webgpu="[^"]+"\} 1$/m);
  // What is not known is left out, and nothing is counted twice.
  expect(text).not.toMatch(/Nan|sdmae_threshold\{camera="yard"/);
  expect((await ask(page, "/metrics")).text).toContain('sdmae_frames_total{camera="yard",result="dropped"} 4');
});

describe("the stream", () => {
  /** What a stream has sent so far. */
  async function listen({ url }: Served) {
    const gone = new AbortController();
    onTestFinished(() => gone.abort());
    const response = await fetch(`${url}api/stream`, { signal: gone.signal });
    const got: { event: string; data: unknown }[] = [];
    let rest = "";
    const reading = (async () => {
      for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
        const messages = (rest + Buffer.from(part).toString()).split("\n\n");
        rest = messages.pop()!;
        for (const message of messages) {
          const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(message) ?? [];
          if (event) got.push({ event, data: JSON.parse(data) });
        }
      }
    })().catch(() => {});
    const of = <T>(event: string) => got.filter((one) => one.event === event).map(({ data }) => data as T);
    return { response, got, of, reading, leave: () => gone.abort() };
  }

  test("it sends the state at once and every two seconds, and changes as they come", async () => {
    const page = await served({ scrub: scrubber(["hidden-word"]) });
    const stream = await listen(page);
    expect(stream.response.headers.get("content-type")).toBe("text/event-stream");
    await vi.waitFor(() => expect(stream.of("state")).toHaveLength(1));
    expect(stream.of<WatchState>("state")[0].cameras.map(({ id }) => id)).toEqual(["front", "yard"]);
    watch.change("new", fakeEvent(1, { text: "a hidden-word" }));
    await vi.waitFor(() => expect(stream.of("change")).toHaveLength(1));
    expect(stream.of("change")[0]).toMatchObject({ change: "new", event: { id: fakeEvent(1).id, text: "a …" } });
    await vi.waitFor(() => expect(stream.of("state").length).toBeGreaterThan(1), 4000);
  });

  test("it sends at most five frames of a camera in a second, with the map in bytes", async () => {
    const page = await served();
    const [front, yard] = watch.cameras;
    front.decisions = { learning: 1, threshold: 0.5, mode: "day", isPaused: false };
    const stream = await listen(page);
    const until = performance.now() + 2000;
    while (performance.now() < until) {
      watch.outcome(front, { level: 0.25 });
      await sleep(20);
    }
    watch.outcome(yard, { level: Number.NaN, map: { rows: 1, columns: 2, data: new Float32Array(2) } });
    const frames = (camera: string) => stream.of<FrameMessage>("frame").filter((frame) => frame.camera === camera);
    await vi.waitFor(() => expect(frames("yard")).toHaveLength(1));
    expect(frames("front").length).toBeGreaterThanOrEqual(5);
    expect(frames("front").length).toBeLessThanOrEqual(11);
    const high = Math.fround(0.4);
    expect(frames("front")[0]).toEqual({
      ...{ camera: "front", time: expect.any(Number), level: 0.25, threshold: 0.5, mode: "day" },
      map: { rows: 2, columns: 3, high, data: [0, 64, 128, 191, 255, 0] },
    });
    expect(frames("yard")[0]).toMatchObject({ level: null, threshold: null, map: { high: 0, data: [0, 0] } });
  });

  test("twenty pages may listen; one that leaves makes room", async () => {
    const page = await served();
    const streams = await Promise.all(Array.from({ length: 20 }, () => listen(page)));
    expect(streams.every(({ response }) => response.status === 200)).toBe(true);
    const refused = await ask(page, "/api/stream");
    expect([refused.status, refused.headers["retry-after"]]).toEqual([503, "10"]);
    expect(await statusOf(page, "/api/stream", {}, { method: "HEAD" })).toBe(200);
    streams[0].leave();
    await vi.waitFor(async () => expect((await listen(page)).response.status).toBe(200));
  });

  test("a page that takes nothing is dropped, and the others hear everything", async () => {
    const page = await served();
    const quick = await listen(page);
    const slow = connect(Number(new URL(page.url).port), "127.0.0.1");
    onTestFinished(() => void slow.destroy());
    slow.on("error", () => {});
    slow.pause().write("GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await sleep(200);
    const text = "x".repeat(200_000);
    let sent = 0;
    // The kernel's buffers take some megabytes.
    for (; sent < 200; sent++) {
      watch.change("update", fakeEvent(1, { text: `${sent} ${text}` }));
      await sleep(5);
    }
    await vi.waitFor(() => expect(quick.of("change")).toHaveLength(sent), 10_000);
    slow.resume();
    await once(slow, "close");
    expect(slow.bytesRead).toBeLessThan(sent * 200_000);
    expect(slow.bytesRead).toBeGreaterThan(200_000);
  });

  test("closing the server ends it", async () => {
    const page = await serveWeb(webApp(watch, watch.feed), { host: "127.0.0.1", port: 0 });
    const stream = await listen(page);
    await page.close();
    await stream.reading;
  });
});
