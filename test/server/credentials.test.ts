import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { Aedes } from "aedes";
import { beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { InputError } from "../../src/errors.js";
import { findFfmpeg } from "../../src/node/media/ffmpeg.js";
import { parseConfig } from "../../src/server/config/config.js";
import { withBundle } from "../support/child.js";
import { sdmae } from "../support/cli.js";
import { writeWatched } from "../support/fake_engine.js";
import { scratch } from "../support/folders.js";
import { startCamera } from "../support/rtsp.js";

const at = scratch();
const until = (check: () => unknown) => vi.waitFor(check, { timeout: 400_000, interval: 100 });

/** Secrets that come from the environment. Some have signs that addresses write otherwise. */
const environment = {
  RTSP_RIGHT: "rtsp-r1ght p@ss/w:rd%$#",
  RTSP_WRONG: "rtsp-wr0ng p@ss/w:rd%$#",
  MQTT_RIGHT: "mqtt-r1ght p@ss/w:rd%$#",
  MQTT_WRONG: "mqtt-wr0ng p@ss/w:rd%$#",
  SIGNING: "s1gning-p@ss/w:rd%$#",
  BEARER: "bearer-t0ken-0123",
  WEB_TOKEN: "web-t0ken-0123456789",
  ARGUMENT: "argument-t0ken 012",
};
/** Secrets that stand in a file or in the configuration itself. */
const others = {
  file: "file-p@ss/w:rd%$#",
  inline: "inline-p@ss/w:rd%$#",
  webhook: "webh00k-p@ss/w:rd",
  query: "query-k3y-0123",
  webhookQuery: "webh00k-k3y-0123",
};
const secrets = [...Object.values(environment), ...Object.values(others)];

/** Each way in which a secret may be written, with its name. */
const writings = secrets.flatMap((secret) => {
  const encoded = encodeURIComponent(secret);
  const ways = [
    ...[secret, encoded, encoded.toLowerCase(), encoded.replaceAll("%20", "+"), JSON.stringify(secret).slice(1, -1)],
    ...[secret, `me:${secret}`].map((text) => Buffer.from(text).toString("base64").replace(/=+$/, "")),
  ];
  return [...new Set(ways)].map((text) => ({ secret, text }));
});

/** The secrets that a text or file holds. */
const found = (text: string): string[] => [
  ...new Set(writings.filter((one) => text.includes(one.text)).map(({ secret }) => secret)),
];

/** Names of those texts that hold a secret, and which. */
const leaks = (texts: Readonly<Record<string, string>>) =>
  Object.entries(texts).flatMap(([name, text]) => found(text).map((secret) => `${name}: ${secret}`));

/** What each file below a folder holds, and its name. */
function filesBelow(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true }).map(String);
  const files = names.filter((name) => statSync(join(folder, name)).isFile());
  return Object.fromEntries(files.map((name) => [name, name + readFileSync(join(folder, name), "latin1")]));
}

/** The command lines of a process and of those below it, but for what the command sink runs. */
function commandLines(pid: number): string[] {
  const read = (path: string): string => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return ""; // It has ended.
    }
  };
  const children = read(`/proc/${pid}/task/${pid}/children`).trim().split(" ").filter(Boolean);
  return [read(`/proc/${pid}/cmdline`), ...children.flatMap((child) => commandLines(Number(child)))].filter(
    (line) => !line.includes("command.mjs"),
  );
}

/** A server of a video, and of webhooks that fail every other time. It sends back what it gets. */
async function startServer(video: Buffer) {
  const posts: { path: string; headers: IncomingHttpHeaders; body: string; status: number }[] = [];
  const wanted = `Basic ${Buffer.from(`me:${others.file}`).toString("base64")}`;
  const server = createServer(async (request, response) => {
    const path = request.url ?? "";
    let body = "";
    for await (const part of request) body += part;
    const echo = `${path} ${JSON.stringify(request.headers)}`;
    if (request.method === "GET") {
      const isAllowed = request.headers.authorization === wanted;
      response.writeHead(isAllowed ? 200 : 401, { "www-authenticate": 'Basic realm="x"' });
      response.end(isAllowed ? video : echo);
      return;
    }
    // Of its own: in step with the other one it would fail, or succeed, for ever.
    const earlier = posts.filter((post) => post.path.startsWith("/post")).length;
    const status = path.startsWith("/login") ? 401 : earlier % 2 === 0 ? 500 : 204;
    posts.push({ path, headers: request.headers, body, status });
    response.writeHead(status, status === 204 ? {} : { "x-echo": encodeURIComponent(echo) });
    response.end(status === 204 ? undefined : echo);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, posts };
}

/** A broker that lets one password in. */
async function startBroker() {
  const published: Record<string, string> = {};
  const logins: string[] = [];
  const broker = await Aedes.createBroker({
    authenticate: (_, user, password, done) => {
      logins.push(String(password));
      done(null, user === "me" && String(password) === environment.MQTT_RIGHT);
    },
  });
  broker.on("publish", ({ topic, payload }) => {
    if (!topic.startsWith("$SYS")) published[topic] = (published[topic] ?? topic) + payload.toString("latin1");
  });
  const server = createTcpServer(broker.handle).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    broker.close();
  });
  return { port: (server.address() as AddressInfo).port, published, logins };
}

/** Keeps what it was given, and says so. It fails the first time. */
const command = (file: string) => `
  import { appendFileSync, existsSync } from "node:fs";
  process.exitCode = existsSync(${JSON.stringify(file)}) ? 0 : 1;
  let text = "";
  for await (const part of process.stdin) text += part;
  appendFileSync(${JSON.stringify(file)}, JSON.stringify({ env: process.env, text }) + "\\n");
  console.error("the token " + process.argv[2] + " is refused");
`;

function configuration(rtsp: number, http: number, mqtt: number): string {
  const [inline, webhook] = [others.inline, others.webhook].map(encodeURIComponent);
  return `checkpoint: tiny.safetensors
web: { address: "127.0.0.1:0", token: "\${WEB_TOKEN}" }
defaults: { threshold: 0.5, cooldown: 0 s, clip: { before: 1 s, after: 1 s } }
cameras:
  file: { source: cam.mp4 }
  rtsp-right:
    source: rtsp://me:\${RTSP_RIGHT}@127.0.0.1:${rtsp}/cam
  rtsp-wrong:
    source: rtsp://me:\${RTSP_WRONG}@127.0.0.1:${rtsp}/cam
    record: rtsp://me:\${RTSP_WRONG}@127.0.0.1:${rtsp}/main
  http-right:
    source: { url: "http://127.0.0.1:${http}/a.ts?key=${others.query}", user: me, password: { file: password } }
  http-wrong:
    source: http://me:${inline}@127.0.0.1:${http}/a.ts?key=${others.query}
sinks:
  - { type: mqtt, name: broker, url: "mqtt://127.0.0.1:${mqtt}", user: me, password: "\${MQTT_RIGHT}", discovery: homeassistant }
  - { type: mqtt, name: stranger, url: "mqtt://me:\${MQTT_WRONG}@127.0.0.1:${mqtt}", prefix: other }
  - type: webhook
    name: post
    url: "http://127.0.0.1:${http}/post?token=${others.webhookQuery}"
    secret: "\${SIGNING}"
    headers: { Authorization: "Bearer \${BEARER}" }
  - { type: webhook, name: login, url: "http://me:${webhook}@127.0.0.1:${http}/login" }
  - { type: command, name: run, run: ["${process.execPath}", command.mjs, "\${ARGUMENT}"] }
  - { type: folder, path: drop }
`;
}

const program = () => `
  import { watch } from "./src/cli/watching.js";
  const stop = new AbortController();
  process.on("SIGTERM", () => stop.abort());
  const engine = { program: ${JSON.stringify(at("engine.mjs"))} };
  process.chdir(${JSON.stringify(at())});
  await watch([], { config: "w.yaml", loop: true, engine }, stop.signal);
`;

beforeAll(async () => {
  await writeWatched(at);
  execFileSync(await findFfmpeg(), ["-v", "error", "-i", at("cam.mp4"), "-c", "copy", at("a.ts")]);
  writeFileSync(at("command.mjs"), command(at("command.txt")));
  writeFileSync(at("password"), `${others.file}\n`);
  writeFileSync(at("w.yaml"), configuration(1, 2, 3));
});

/** Every answer of the page, with its headers. */
async function answers(url: string): Promise<Record<string, string>> {
  const given: Record<string, string> = {};
  const ask = async (path: string, init: RequestInit = {}, token: string = environment.WEB_TOKEN) => {
    // Streams do not end, and one without a picture does not begin.
    const isStream = /stream$|mjpeg$/.test(path);
    const signal = AbortSignal.timeout(isStream ? 2000 : 60_000);
    const headers = { ...(token && { authorization: `Bearer ${token}` }), ...init.headers };
    let [body, fields] = ["", ""];
    try {
      const answer = await fetch(new URL(path, url), { redirect: "manual", ...init, headers, signal });
      fields = JSON.stringify([...answer.headers]);
      for await (const part of answer.body ?? []) body += Buffer.from(part as Uint8Array).toString("latin1");
    } catch (error) {
      if (!isStream) throw error;
    }
    given[`${init.method ?? "GET"} ${path} ${token}`] = `${fields}\n${body}`;
    return body;
  };
  for (const path of ["/", "/livez", "/readyz", "/metrics", "/api/state", "/api/events", "/none"]) await ask(path);
  for (const camera of ["file", "rtsp-wrong", "none"]) {
    for (const name of ["picture.jpg", "live.mjpeg", "levels", "histogram"])
      await ask(`/api/cameras/${camera}/${name}`);
  }
  await ask("/api/stream");
  for (const path of ["/api/events?kind=x", "/api/events?since=x", "/api/events?limit=-1"]) await ask(path);
  const [event] = JSON.parse(await ask("/api/events")) as { id: string; clip?: string }[];
  const origin = new URL(url).origin;
  for (const id of [event.id, "none"]) await ask(`/api/events/${id}/normal`, { method: "POST", headers: { origin } });
  for (const path of ["/", "/api/state", "/metrics"]) await ask(path, {}, "wrong-t0ken");
  for (const path of ["/", "/api/state"]) await ask(path, {}, "");
  const form = { method: "POST", body: new URLSearchParams({ token: environment.WEB_TOKEN }), headers: { origin } };
  await ask("/login", form, "");
  await ask(`/?token=${environment.WEB_TOKEN}`, {}, "");
  return Object.fromEntries(
    Object.entries(given).map(([name, text]) => [name.replaceAll(environment.WEB_TOKEN, "TOKEN"), text]),
  );
}

test("a process that watches shows no secret in what it prints, answers, keeps and sends", async () => {
  const rtsp = await startCamera(readFileSync(at("a.ts")), {
    login: { user: "me", password: environment.RTSP_RIGHT, scheme: "Basic" },
  });
  onTestFinished(() => rtsp.close());
  const http = await startServer(readFileSync(at("a.ts")));
  const mqtt = await startBroker();
  writeFileSync(at("w.yaml"), configuration(rtsp.port, http.port, mqtt.port));
  await withBundle(program(), async (file) => {
    const child = spawn(process.execPath, [file], { env: { ...process.env, ...environment } });
    onTestFinished(() => void child.kill("SIGKILL"));
    const said = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said.stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said.stderr += text;
    });
    const lines: Record<string, string> = {};
    const looking = setInterval(() => {
      for (const line of commandLines(child.pid!)) lines[line.replaceAll("\0", " ")] = line;
    }, 100);
    await until(() => expect(said.stderr).toMatch(/^page: /m));
    const url = /^page: (\S+)/m.exec(said.stderr)![1];
    // All of it has failed and succeeded.
    await until(() => {
      expect(new Set(http.posts.map(({ path, status }) => `${path[1]} ${status}`)).size).toBe(3);
      expect(said.stderr).toMatch(/rtsp-wrong: the stream for clips: /);
      for (const sink of ["stranger", "login", "post", "run"]) expect(said.stderr).toContain(` warn: ${sink}: `);
      expect(existsSync(at("command.txt"))).toBe(true);
      expect(mqtt.published["sdmae/events"]).toContain('"clip"');
      expect(said.stdout).toMatch(/ rtsp-wrong offline new/);
    });
    const pages = await answers(url);
    clearInterval(looking);
    child.kill("SIGTERM");
    await once(child, "close");
    const sent = Object.fromEntries(http.posts.map(({ path, body }) => [path[1], body]));
    const ran = readFileSync(at("command.txt"), "utf8");
    const kept = { ...filesBelow(at("sdmae-data")), ...filesBelow(at("drop")) };
    expect(leaks({ ...said, ...pages, ...kept, ...mqtt.published, ...sent, ...lines, command: ran })).toEqual([]);

    // They were used where they belong, and what was searched is what there is.
    expect(found(rtsp.requests.map(decodeBasic).join("\n"))).toEqual([environment.RTSP_RIGHT, environment.RTSP_WRONG]);
    expect(new Set(mqtt.logins)).toEqual(new Set([environment.MQTT_RIGHT, environment.MQTT_WRONG]));
    expect(http.posts[0].headers.authorization ?? "").toMatch(/^(Basic|Bearer) /);
    expect(pages["GET /api/state TOKEN"]).toContain('"rtsp-wrong"');
    expect(pages["GET /api/state "]).not.toContain('"rtsp-wrong"');
    expect(Object.keys(kept).filter((name) => name.endsWith(".mp4")).length).toBeGreaterThan(0);
    expect(Object.keys(lines).filter((line) => line.includes("pipe:")).length).toBeGreaterThan(2);
    expect(said.stderr).toContain("the token … is refused");
    expect(child.exitCode).toBe(0);
  });
  const listed = [
    await sdmae("events", "--data", at("sdmae-data")),
    await sdmae("events", "--data", at("sdmae-data"), "--json"),
  ];
  expect(listed.map(({ code }) => code)).toEqual([0, 0]);
  expect(leaks({ events: listed[0].stdout, json: listed[1].stdout })).toEqual([]);
}, 600_000);

const decodeBasic = (request: string) =>
  request.replace(/Basic (\S+)/, (_, login: string) => Buffer.from(login, "base64").toString());

test("errors of a configuration that is wrong in any way show no secret of it", () => {
  const check = (text: string): string => {
    try {
      parseConfig(text, at("wrong.yaml"), environment);
      return "";
    } catch (error) {
      expect(error).toBeInstanceOf(InputError);
      return (error as Error).message;
    }
  };
  const right = configuration(1, 2, 3);
  expect(check(right)).toBe("");
  // With the values in the text itself, too, as somebody may have written them.
  const inline = right.replace(/\$\{(\w+)\}/g, (_, name: keyof typeof environment) => environment[name]);
  const places = new Set(inline.split("\n").flatMap((line, i) => (found(line).length > 0 ? [i] : [])));
  const printed: Record<string, string> = {};
  let wrong = 0;
  for (const text of [right, inline]) {
    const lines = text.split("\n");
    for (const [i, line] of lines.entries()) {
      if (!places.has(i)) continue;
      const ways = [
        ...[[], [line, line], [` ${line}`], [`\t${line}`], [`${line}]`], [`${line}"`], [line.replace(": ", ":")]],
        ...[[line.replace(/["']/, "")], [line.replace(/"([^"]*)"/, "[$1]")], [line.replace("//", "/")]],
        ...[[line.replace("@", "@@")], [line.replace(/: (.*)/, ": { x: $1 }")], [line.replace(/(\w+):/, "x$1:")]],
        ...[
          [line.replace(/127[.\d]+:\d+/, "h o s t")],
          [line.replace(/\$\{(\w+)\}/, `$${"{"}NO_$1}`)],
          [line.replace("me:", "")],
        ],
      ];
      for (const [way, change] of ways.entries()) {
        const said = check([...lines.slice(0, i), ...change, ...lines.slice(i + 1)].join("\n"));
        if (said !== "") wrong++;
        printed[`line ${i + 1}, way ${way}: ${said}`] = said;
      }
    }
  }
  expect(wrong).toBeGreaterThan(150);
  expect(leaks(printed)).toEqual([]);
}, 300_000);
