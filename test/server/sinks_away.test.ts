import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { Aedes } from "aedes";
import { connectAsync } from "mqtt";
import { expect, onTestFinished, test, vi } from "vitest";
import type { SinkConfig } from "../../src/server/config/config.js";
import type { EventChange } from "../../src/server/records.js";
import { mqttSink } from "../../src/server/sinks/mqtt.js";
import { webhookSink } from "../../src/server/sinks/webhook.js";
import { fakeWatch } from "../support/fake_engine.js";
import { scratchPerTest } from "../support/folders.js";
import { hasMosquitto, startMosquitto } from "../support/mosquitto.js";

const at = scratchPerTest();
vi.setConfig({ testTimeout: 300_000 });
const until = (check: () => unknown) => vi.waitFor(check, { timeout: 200_000, interval: 50 });

const anySink = (name: string) =>
  ({
    ...{ name, type: "folder", path: "", cameras: ["cam"] },
    ...{ kinds: ["anomaly", "offline"], changes: ["new", "end", "clip"] },
  }) as SinkConfig;

/** A broker that can be ended and started again on its port, with nothing remembered. */
interface Broker {
  start(): Promise<void>;
  stop(): Promise<void>;
}

function aedes(port: number): Broker {
  let end = async () => {};
  return {
    async start() {
      const broker = await Aedes.createBroker();
      const sockets = new Set<Socket>();
      const server = createTcpServer((socket) => {
        sockets.add(socket);
        broker.handle(socket);
      }).listen(port, "127.0.0.1");
      await once(server, "listening");
      end = async () => {
        server.close();
        for (const socket of sockets) socket.destroy();
        await new Promise<void>((resolve) => broker.close(() => resolve()));
      };
    },
    stop: () => end(),
  };
}

function mosquitto(port: number): Broker {
  let child: ChildProcess | undefined;
  return {
    async start() {
      child = await startMosquitto(at(), port);
    },
    async stop() {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** A port that nothing listens on. */
async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** A port that leads to another one while it is open: a test may be at the broker first. */
function door(port: number, to: number) {
  const sockets = new Set<Socket>();
  let server: TcpServer | undefined;
  const close = () => {
    server?.close();
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(close);
  return {
    close,
    async open() {
      server = createTcpServer((socket) => {
        const inner = connect(to, "127.0.0.1");
        for (const one of [socket, inner]) sockets.add(one.on("error", () => {}));
        socket.pipe(inner).pipe(socket);
        inner.on("close", () => socket.destroy());
      }).listen(port, "127.0.0.1");
      await once(server, "listening");
    },
  };
}

/** What a client of the broker hears from its start on. */
async function hearing(port: number): Promise<{ topic: string; text: string }[]> {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 });
  onTestFinished(() => void client.end(true));
  const heard: { topic: string; text: string }[] = [];
  client.on("error", () => {});
  client.on("message", (topic, bytes) => heard.push({ topic, text: bytes.toString() }));
  await client.subscribeAsync("#", { qos: 1 });
  return heard;
}

const keyOf = ({ change, event }: EventChange) => `${change} ${event.id}`;
const eventsOf = (heard: readonly { topic: string; text: string }[]) =>
  heard.filter(({ topic }) => topic === "sdmae/events").map(({ text }) => keyOf(JSON.parse(text) as EventChange));

/** Without what was sent twice. */
const distinct = (keys: readonly string[]) => [...new Set(keys)];

const brokers = [
  { name: "aedes", make: aedes, isHere: true },
  { name: "mosquitto", make: mosquitto, isHere: hasMosquitto },
];

for (const { name, make, isHere } of brokers) {
  const title = `${name}, away for longer than its keepalive, gets all that waited in order, states and discovery`;
  test.skipIf(!isHere)(isHere ? title : `${title} (not installed)`, async () => {
    const [inner, port] = [await freePort(), await freePort()];
    const broker = make(inner);
    onTestFinished(() => broker.stop());
    await broker.start();
    const before = await hearing(inner);
    const entrance = door(port, inner);
    await entrance.open();
    const notices: string[] = [];
    const changes: EventChange[] = [];
    const supervisor = await fakeWatch(
      at,
      { sinks: [anySink("home")] },
      {
        onNotice: (level, from, line) => from === "home" && notices.push(`${level}: ${line}`),
        onChange: (change) => changes.push(change),
      },
    );
    const sink = mqttSink({
      ...{ name: "home", url: `mqtt://127.0.0.1:${port}`, cameras: [{ id: "cam" }] },
      ...{ reconnect: 0.2, keepalive: 1 },
      onLost: (reason) => supervisor.newsOf("home").fails(reason),
      onConnected: () => supervisor.newsOf("home").works(),
    });
    const stop = new AbortController();
    const running = supervisor.run(new Map([["home", sink]]), stop.signal);
    const queue = () => supervisor.queues()[0];
    await until(() => expect(eventsOf(before).length).toBeGreaterThanOrEqual(2));
    expect(queue().problem).toBeUndefined();
    entrance.close();
    await broker.stop();
    // Even while nothing waits.
    await until(() => expect(queue().problem).toMatch(/^not connected: /));
    const missed = changes.length;
    await until(() => expect(queue().length).toBeGreaterThanOrEqual(4));
    await wait(3000);
    await broker.start();
    const after = await hearing(inner);
    await entrance.open();
    await until(() => expect(queue()).toEqual({ sink: "home", length: 0, problem: undefined }));
    stop.abort();
    await running;
    await supervisor.close();
    await until(() => expect(eventsOf(after).at(-1)).toBe(keyOf(changes.filter(isSent).at(-1)!)));
    await sink.close();
    // At least once, and in the log's order; what was under way may have arrived before.
    const sent = changes.filter(isSent).map(keyOf);
    expect(distinct([...eventsOf(before), ...eventsOf(after)])).toEqual(sent);
    expect(eventsOf(after)).toEqual(expect.arrayContaining(changes.slice(missed).filter(isSent).map(keyOf)));
    const last = (topic: string) => after.find((message) => message.topic === topic)?.text;
    expect(last("sdmae/available")).toBe("online");
    expect(last("sdmae/cam/status")).toBe("online");
    expect(last("sdmae/cam/enabled/state")).toBe("ON");
    expect(JSON.parse(last("homeassistant/device/sdmae_cam/config")!)).toMatchObject({ dev: { ids: ["sdmae_cam"] } });
    // A line when it goes, for each reason; one when it is back. A slow machine may go more often.
    expect(notices.filter((line, i) => line === notices[i - 1])).toEqual([]);
    expect(notices.at(-1)).toBe("info: works again");
    expect(notices[0]).toContain(`warn: mqtt://127.0.0.1:${port}: `);
  });
}

const isSent = ({ change }: EventChange) => change === "new" || change === "end" || change === "clip";

test.skipIf(!hasMosquitto)(
  `a broker that hangs is noticed by its silence${hasMosquitto ? "" : " (mosquitto is not installed)"}`,
  async () => {
    const port = await freePort();
    const broker = await startMosquitto(at(), port);
    onTestFinished(() => void broker.kill("SIGKILL"));
    const said: string[] = [];
    const sink = mqttSink({
      ...{ name: "home", url: `mqtt://127.0.0.1:${port}`, cameras: [], reconnect: 0.2, keepalive: 1 },
      onLost: (reason) => said.push(reason),
      onConnected: () => said.push("connected"),
    });
    onTestFinished(() => sink.close());
    await until(() => expect(said).toEqual(["connected"]));
    broker.kill("SIGSTOP");
    await until(() => expect(sink.problem).toMatch(/^not connected: /));
    broker.kill("SIGCONT");
    await until(() => expect(sink.problem).toBeUndefined());
    expect(said.at(-1)).toBe("connected");
  },
);

test("a webhook that is away, then fails, gets all that waited in order; each problem is said once", async () => {
  const got: string[] = [];
  let status = 503;
  const serve = async (port = 0): Promise<Server> => {
    const server = createServer(async (request, response) => {
      let body = "";
      for await (const part of request) body += part;
      if (status === 204) got.push(keyOf(JSON.parse(body) as EventChange));
      response.writeHead(status, { connection: "close" }).end();
    }).listen(port, "127.0.0.1");
    await once(server, "listening");
    return server;
  };
  const first = await serve();
  const { port } = first.address() as AddressInfo;
  first.close();
  await once(first, "close");
  const notices: string[] = [];
  const changes: EventChange[] = [];
  const supervisor = await fakeWatch(
    at,
    { sinks: [anySink("phone")] },
    {
      onNotice: (level, from, line) => from === "phone" && notices.push(`${level}: ${line}`),
      onChange: (change) => changes.push(change),
    },
  );
  const stop = new AbortController();
  const sink = webhookSink({ name: "phone", url: `http://127.0.0.1:${port}/` });
  const running = supervisor.run(new Map([["phone", sink]]), stop.signal);
  const queue = () => supervisor.queues()[0];
  await until(() => expect(queue().length).toBeGreaterThanOrEqual(2));
  await wait(4000);
  const server = await serve(port);
  onTestFinished(() => void server.close());
  await until(() => expect(queue().problem).toContain("503"));
  status = 204;
  await until(() => expect(queue()).toEqual({ sink: "phone", length: 0, problem: undefined }));
  stop.abort();
  await running;
  await supervisor.close();
  expect(distinct(got)).toEqual(changes.filter(isSent).map(keyOf));
  expect(notices).toEqual([
    `warn: http://127.0.0.1:${port}/: connect ECONNREFUSED 127.0.0.1:${port}`,
    `warn: http://127.0.0.1:${port}/: answered 503`,
    "info: works again",
  ]);
});
