import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { Aedes, type AedesOptions } from "aedes";
import { connectAsync } from "mqtt";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { CameraReport, EventChange } from "../../../src/server/records.js";
import { discoveryOf, type MqttOptions, mqttSink } from "../../../src/server/sinks/mqtt.js";
import { inputErrorOf } from "../../support/refusal.js";

const time = "2026-11-30T14:15:02.123Z";
const change: EventChange = {
  change: "new",
  time,
  event: { id: "20261130T141502123-front-3f2a91", camera: "front", kind: "anomaly", start: time, zones: [] },
};
const never = new AbortController().signal;
const until = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 5 });

/** A broker without a memory of earlier ones, on a free port or a given one. */
async function startBroker(options: AedesOptions = {}, port = 0) {
  const broker = await Aedes.createBroker(options);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    broker.handle(socket);
  }).listen(port, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= (async () => {
      const closed = once(server, "close");
      server.close();
      cut();
      await new Promise<void>((resolve) => broker.close(() => resolve()));
      await closed;
    })();
    return stopped;
  };
  onTestFinished(stop);
  return { broker, cut, stop, port: (server.address() as AddressInfo).port };
}

/** A sink with two cameras. */
function startSink(port: number, options: Partial<MqttOptions> = {}) {
  const warnings: string[] = [];
  const lost: string[] = [];
  const sink = mqttSink({
    name: "home",
    url: `mqtt://127.0.0.1:${port}`,
    cameras: [{ id: "front", name: "Front door" }, { id: "yard" }],
    reconnect: 0.02,
    onWarning: (message) => warnings.push(message),
    onLost: (reason) => lost.push(reason),
    onConnected: () => lost.push("connected"),
    ...options,
  });
  onTestFinished(() => sink.close());
  return { sink, warnings, lost };
}

interface Heard {
  topic: string;
  text: string;
  bytes: Buffer;
  retain: boolean;
  qos: number;
}

/** A client that hears all, and the latest of each topic. */
async function listen(port: number) {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 });
  onTestFinished(() => {
    client.end(true);
  });
  const heard: Heard[] = [];
  client.on("error", () => {});
  client.on("message", (topic, bytes, { retain, qos }) =>
    heard.push({ topic, text: bytes.toString(), bytes, retain, qos }),
  );
  await client.subscribeAsync("#", { qos: 1 });
  const last = (topic: string) => heard.findLast((message) => message.topic === topic);
  return { client, heard, last, texts: (topic: string) => heard.filter((m) => m.topic === topic).map((m) => m.text) };
}

describe("events", () => {
  test("each change is published as JSON with an acknowledgement", async () => {
    const { port } = await startBroker();
    const { sink } = startSink(port);
    const { last } = await listen(port);
    await until(() => expect(sink.isConnected).toBe(true));
    await sink.send(change, never);
    await until(() => expect(last("sdmae/events")).toBeDefined());
    expect(JSON.parse(last("sdmae/events")?.text ?? "")).toEqual(change);
    expect(last("sdmae/events")).toMatchObject({ qos: 1, retain: false });
  });

  test("a delivery ends only once the broker has acknowledged", async () => {
    let acknowledge = () => {};
    const { port } = await startBroker({
      authorizePublish: (_, { topic }, done) => {
        if (topic === "sdmae/events") acknowledge = done;
        else done();
      },
    });
    const { sink } = startSink(port);
    await until(() => expect(sink.isConnected).toBe(true));
    let done = false;
    const before = acknowledge;
    const sending = sink.send(change, never).then(() => {
      done = true;
    });
    await until(() => expect(acknowledge).not.toBe(before));
    // A round trip for something else.
    await (await listen(port)).client.endAsync();
    expect(done).toBe(false);
    acknowledge();
    await sending;
  });

  test("a delivery can be aborted, and is then not repeated by the client", async () => {
    let isDeaf = true;
    const { port, cut } = await startBroker({
      authorizePublish: (_, { topic }, done) => {
        if (topic !== "sdmae/events" || !isDeaf) done();
      },
    });
    const { sink } = startSink(port);
    await until(() => expect(sink.isConnected).toBe(true));
    const aborting = new AbortController();
    const sending = sink.send(change, aborting.signal);
    aborting.abort(new Error("too slow"));
    await expect(sending).rejects.toThrow("too slow");
    isDeaf = false;
    cut();
    await until(() => expect(sink.isConnected).toBe(false));
    await until(() => expect(sink.isConnected).toBe(true));
    const { texts, client } = await listen(port);
    await sink.send({ ...change, change: "end" }, never);
    await client.publishAsync("done", "", { qos: 1 });
    await until(() => expect(texts("done")).toHaveLength(1));
    expect(texts("sdmae/events").map((text) => JSON.parse(text).change)).toEqual(["end"]);
  });

  test("without a broker, a delivery fails at once, without the password", async () => {
    const { port, stop } = await startBroker();
    await stop();
    const { sink, lost } = startSink(port, { url: `mqtt://user:secret@127.0.0.1:${port}` });
    expect(sink.problem).toBe("not connected yet");
    await expect(sink.send(change, never)).rejects.toThrow(`mqtt://127.0.0.1:${port}: not connected yet`);
    await until(() => expect(lost).toHaveLength(1));
    const reason = `connect ECONNREFUSED 127.0.0.1:${port}`;
    expect(lost).toEqual([`mqtt://127.0.0.1:${port}: ${reason}`]);
    await until(() => expect(sink.send(change, never)).rejects.toThrow(`mqtt://127.0.0.1:${port}: ${reason}`));
    expect(sink.problem).toBe(`not connected: ${reason}`);
  });

  test("a delivery under way fails when the broker is lost, and works once it is back", async () => {
    const first = await startBroker({
      authorizePublish: (_, { topic }, done) => {
        if (topic === "sdmae/events") void first.stop();
        else done();
      },
    });
    const { sink, lost } = startSink(first.port);
    await until(() => expect(sink.isConnected).toBe(true));
    expect(sink.problem).toBeUndefined();
    await expect(sink.send(change, never)).rejects.toThrow(`mqtt://127.0.0.1:${first.port}: the connection was lost`);
    await first.stop();
    const second = await startBroker({}, first.port);
    const { texts } = await listen(second.port);
    await until(() => expect(sink.isConnected).toBe(true));
    await sink.send(change, never);
    await until(() => expect(texts("sdmae/events")).toHaveLength(1));
    expect(lost.slice(0, 2)).toEqual(["connected", `mqtt://127.0.0.1:${first.port}: the connection was lost`]);
    expect(lost.at(-1)).toBe("connected");
    expect(sink.problem).toBeUndefined();
  });
});

describe("state", () => {
  test("reports of a camera are retained, with a picture of when an alert began", async () => {
    const { port } = await startBroker();
    const { sink } = startSink(port);
    await until(() => expect(sink.isConnected).toBe(true));
    const usual = { online: true, anomaly: false, enabled: true, level: 0.25, picture: Buffer.from("a") };
    const report = async (state: Partial<CameraReport>, expected: Record<string, string>) => {
      sink.report("front", { ...usual, ...state });
      // The broker of these tests may drop some of several messages at once, but retains all.
      const { last } = await listen(port);
      await until(() => {
        for (const [topic, text] of Object.entries(expected)) expect(last(`sdmae/front/${topic}`)?.text).toBe(text);
      });
      return last("sdmae/front/snapshot")?.text;
    };
    expect(await report({}, { status: "online", anomaly: "OFF", "enabled/state": "ON" })).toBeUndefined();
    await report({ anomaly: true, picture: Buffer.from("b") }, { anomaly: "ON", snapshot: "b" });
    expect(await report({ anomaly: true, picture: Buffer.from("c") }, { anomaly: "ON" })).toBe("b");
    await report({ online: false, enabled: false }, { status: "offline", anomaly: "OFF", "enabled/state": "OFF" });
  });

  test("what was set is retained, and comes again at a broker that lost it", async () => {
    const first = await startBroker();
    const { sink } = startSink(first.port);
    // Before there is a connection, too.
    sink.setAnomaly("front", true);
    await until(() => expect(sink.isConnected).toBe(true));
    sink.setAnomaly("front", false);
    sink.setStatus("front", true);
    sink.setStatus("yard", false);
    sink.setEnabled("front", true);
    sink.setAnomaly("nobody", true);
    sink.setSnapshot("front", Uint8Array.of(0xff, 0xd8, 0xff, 0));
    const expected = {
      "sdmae/available": "online",
      "sdmae/front/anomaly": "OFF",
      "sdmae/front/status": "online",
      "sdmae/yard/status": "offline",
      "sdmae/front/enabled/state": "ON",
    };
    const check = async (port: number) => {
      const { last } = await listen(port);
      for (const [topic, text] of Object.entries(expected)) await until(() => expect(last(topic)?.text).toBe(text));
      await until(() => expect(last("sdmae/front/snapshot")).toBeDefined());
      expect(last("sdmae/nobody/anomaly")).toBeUndefined();
      expect(last("sdmae/front/snapshot")?.bytes).toEqual(Buffer.from([0xff, 0xd8, 0xff, 0]));
      // One who comes later hears the same, as retained.
      const later = await listen(port);
      for (const topic of [...Object.keys(expected), "sdmae/front/snapshot"]) {
        await until(() => expect(later.last(topic)?.retain).toBe(true));
      }
    };
    await check(first.port);
    await first.stop();
    const second = await startBroker({}, first.port);
    await check(second.port);
  });

  test("scores are published as numbers and not retained", async () => {
    const { port } = await startBroker();
    const { sink } = startSink(port);
    // There is no connection yet.
    sink.setScore("front", 1);
    const { last, texts } = await listen(port);
    await until(() => expect(sink.isConnected).toBe(true));
    sink.setScore("front", Number.NaN);
    sink.setScore("front", 0.12345678);
    await until(() => expect(last("sdmae/front/score")?.text).toBe("0.123457"));
    expect(texts("sdmae/front/score")).toEqual(["0.123457"]);
    const later = await listen(port);
    await until(() => expect(later.last("sdmae/available")).toBeDefined());
    expect(later.last("sdmae/front/score")).toBeUndefined();
  });

  test("if the connection dies, the broker says that all is offline", async () => {
    const { port, cut } = await startBroker();
    const { sink } = startSink(port, { reconnect: 1000 });
    const { client } = await listen(port);
    await until(() => expect(sink.isConnected).toBe(true));
    await client.endAsync();
    cut();
    await until(() => expect(sink.isConnected).toBe(false));
    const { last } = await listen(port);
    await until(() => expect(last("sdmae/available")).toMatchObject({ text: "offline" }));
  });

  test("closing says so, and ends deliveries", async () => {
    const { port } = await startBroker();
    const { sink } = startSink(port, { prefix: "home/cameras" });
    const { texts } = await listen(port);
    await until(() => expect(texts("home/cameras/available")).toEqual(["online"]));
    await sink.close();
    await until(() => expect(texts("home/cameras/available")).toEqual(["online", "offline"]));
    await expect(sink.send(change, never)).rejects.toThrow(`mqtt://127.0.0.1:${port}`);
    await sink.close();
  });

  test("closing does not wait for a broker that is not there", async () => {
    const { port, stop } = await startBroker();
    await stop();
    const { sink, lost } = startSink(port);
    await until(() => expect(lost).toHaveLength(1));
    await sink.close();
  });
});

describe("commands", () => {
  test("a camera is switched on and off by a message that is not retained", async () => {
    const { port } = await startBroker();
    const before = await listen(port);
    await before.client.publishAsync("sdmae/front/enabled/set", "OFF", { qos: 1, retain: true });
    const calls: string[] = [];
    const { sink, warnings } = startSink(port, { onEnabled: (camera, enabled) => calls.push(`${camera} ${enabled}`) });
    await until(() => expect(sink.isConnected).toBe(true));
    const { client } = await listen(port);
    // The sink may not have subscribed yet.
    await until(async () => {
      await client.publishAsync("sdmae/yard/enabled/set", "ON", { qos: 1 });
      expect(calls).toContain("yard true");
    });
    calls.length = 0;
    await client.publishAsync("sdmae/front/enabled/set", "maybe", { qos: 1 });
    await client.publishAsync("sdmae/nobody/enabled/set", "OFF", { qos: 1 });
    await client.publishAsync("sdmae/front/enabled/set", " off\n", { qos: 1 });
    await until(() => expect(calls).toContain("front false"));
    expect(calls.filter((call) => call !== "yard true")).toEqual(["front false"]);
    expect(warnings).toEqual([`mqtt://127.0.0.1:${port}: sdmae/front/enabled/set takes ON and OFF only`]);
  });
});

const topics = { prefix: "sdmae", available: "sdmae/available" };

describe("Home Assistant", () => {
  const topic = "homeassistant/device/sdmae_front/config";

  test("each camera is a device with four entities", () => {
    const front = discoveryOf({ id: "front", name: "Front door" }, topics, "0.1.0");
    expect(front).toMatchObject({
      dev: { ids: ["sdmae_front"], name: "Front door", sw: "0.1.0" },
      o: { name: "sdmae", sw: "0.1.0" },
      availability: [{ topic: "sdmae/available" }],
    });
    expect(front.cmps).toEqual({
      anomaly: expect.objectContaining({
        p: "binary_sensor",
        device_class: "problem",
        unique_id: "sdmae_front_anomaly",
        state_topic: "sdmae/front/anomaly",
        availability: [{ topic: "sdmae/available" }, { topic: "sdmae/front/status" }],
        availability_mode: "all",
      }),
      score: expect.objectContaining({ p: "sensor", unique_id: "sdmae_front_score", state_topic: "sdmae/front/score" }),
      snapshot: {
        p: "image",
        name: "Snapshot",
        unique_id: "sdmae_front_snapshot",
        image_topic: "sdmae/front/snapshot",
        content_type: "image/jpeg",
      },
      enabled: {
        p: "switch",
        name: "Enabled",
        unique_id: "sdmae_front_enabled",
        command_topic: "sdmae/front/enabled/set",
        state_topic: "sdmae/front/enabled/state",
        payload_on: "ON",
        payload_off: "OFF",
      },
    });
  });

  test("names that its ids cannot hold stay apart", () => {
    const ids = ["tür", "tör", "t r"].map((id) => (discoveryOf({ id }, topics).dev as { ids: string[] }).ids[0]);
    expect(ids).toEqual(["sdmae_t_fcr", "sdmae_t_f6r", "sdmae_t_20r"]);
  });

  test("it is told of the cameras at once, and again whenever it comes online", async () => {
    const { port } = await startBroker();
    startSink(port, { version: "0.1.0" });
    const { client, last, texts } = await listen(port);
    await until(() => expect(last(topic)).toBeDefined());
    expect(JSON.parse(last(topic)?.text ?? "")).toEqual(
      discoveryOf({ id: "front", name: "Front door" }, topics, "0.1.0"),
    );
    await until(() => expect(last("homeassistant/device/sdmae_yard/config")).toBeDefined());
    const later = await listen(port);
    await until(() => expect(later.last(topic)?.retain).toBe(true));
    await client.publishAsync("homeassistant/status", "offline", { qos: 1 });
    const before = texts(topic).length;
    await until(async () => {
      await client.publishAsync("homeassistant/status", "online", { qos: 1 });
      expect(texts(topic).length).toBeGreaterThan(before);
    });
  });

  test("without discovery it is told nothing", async () => {
    const { port } = await startBroker();
    startSink(port, { discovery: false });
    const { heard, last } = await listen(port);
    await until(() => expect(last("sdmae/available")).toBeDefined());
    expect(heard.filter((message) => message.topic.startsWith("homeassistant"))).toEqual([]);
  });
});

test("a login that the broker refuses is tried again until it is right", async () => {
  let right = "other";
  const { port } = await startBroker({
    authenticate: (_, user, password, done) => done(null, user === "user" && password?.toString() === right),
  });
  const { sink, lost } = startSink(port, { url: `mqtt://user:s%40cret@127.0.0.1:${port}` });
  await until(() => expect(lost).toEqual([expect.stringContaining("Not authorized")]));
  expect(lost[0]).not.toContain("cret");
  right = "s@cret";
  await until(() => expect(sink.isConnected).toBe(true));
});

test("addresses, prefixes and cameras that cannot be used are refused", () => {
  const refused = (options: Partial<MqttOptions>) =>
    inputErrorOf(() => mqttSink({ name: "home", url: "mqtt://127.0.0.1:1", cameras: [], ...options }));
  expect(refused({ url: "http://u:secret@host" })).toBe(
    "http://host/: addresses of brokers begin with mqtt, mqtts, ws or wss",
  );
  expect(refused({ prefix: "home/#" })).toBe('"home/#" cannot be the beginning of MQTT topics');
  expect(refused({ cameras: [{ id: "a/b" }] })).toBe('the camera "a/b" cannot be a part of MQTT topics');
});

test("a worker says for itself whether it is there, and leaves a camera to the one that takes it", async () => {
  const { port, cut } = await startBroker();
  const sinks = ["one", "two"].map((worker) => startSink(port, { worker, cameras: [] }).sink);
  const [one, two] = sinks;
  const connected = (is: boolean) => until(() => expect(sinks.map((sink) => sink.isConnected)).toEqual([is, is]));
  const config = "homeassistant/device/sdmae_front/config";
  /** What the broker holds of the camera: which worker it depends on, and its state. */
  const kept = async (expected: string[]) => {
    const { last } = await listen(port);
    await until(() => {
      const { availability } = JSON.parse(last(config)?.text ?? "{}") as { availability?: { topic: string }[] };
      expect([availability?.[0].topic, last("sdmae/front/status")?.text]).toEqual(expected);
    });
  };
  await connected(true);
  one.setCameras([{ id: "front" }]);
  one.setStatus("front", true);
  await kept(["sdmae/available-one", "online"]);
  two.setCameras([{ id: "front" }]);
  two.setStatus("front", false);
  one.setCameras([]);
  await kept(["sdmae/available-two", "offline"]);
  // With a new connection, what was given away neither goes nor comes back.
  cut();
  await connected(false);
  await connected(true);
  await one.close();
  await kept(["sdmae/available-two", "offline"]);
  const { last } = await listen(port);
  await until(() => expect(last("sdmae/available-one")?.text).toBe("offline"));
  await until(() => expect(last("sdmae/available-two")?.text).toBe("online"));
});

test("of a camera that no worker will have again, the broker holds nothing", async () => {
  const { port, cut } = await startBroker();
  const { sink } = startSink(port, { worker: "one", cameras: [{ id: "front" }, { id: "yard" }, { id: "gate" }] });
  const connected = (is: boolean) => until(() => expect(sink.isConnected).toBe(is));
  const topics = (camera: string) => [
    ...["anomaly", "status", "snapshot", "enabled/state"].map((rest) => `sdmae/${camera}/${rest}`),
    `homeassistant/device/sdmae_${camera}/config`,
  ];
  /** The cameras of which the broker holds something, and how many topics. */
  const held = async () => {
    const { last, texts } = await listen(port);
    await until(() => expect(last("sdmae/available-one")?.text).toBe("online"));
    return ["front", "yard", "gate"].map((camera) => topics(camera).filter((topic) => texts(topic).length > 0).length);
  };
  const state = { online: true, anomaly: true, enabled: true, picture: Buffer.from("a picture") };
  await connected(true);
  for (const camera of ["front", "yard", "gate"]) sink.report(camera, state);
  await until(async () => expect(await held()).toEqual([5, 5, 5]));
  sink.setCameras([{ id: "yard" }]);
  sink.forget("front");
  // One that it has is not forgotten.
  sink.forget("yard");
  await until(async () => expect(await held()).toEqual([0, 5, 5]));
  cut();
  await connected(false);
  sink.setCameras([]);
  sink.forget("gate");
  sink.forget("yard");
  sink.setCameras([{ id: "yard" }]);
  await connected(true);
  await until(async () => expect(await held()).toEqual([0, 5, 0]));
});

test("cameras come and go: the broker forgets those that are gone, also if it was away then", async () => {
  const { port, cut } = await startBroker();
  const { sink } = startSink(port);
  const { last } = await listen(port);
  await until(() => expect(sink.isConnected).toBe(true));
  const config = (camera: string) => `homeassistant/device/sdmae_${camera}/config`;
  for (const camera of ["front", "yard"]) sink.setStatus(camera, true);
  await until(() => expect(last("sdmae/yard/status")?.text).toBe("online"));
  await until(() => expect(last(config("front"))).toBeDefined());

  sink.setCameras([{ id: "yard" }, { id: "gate", name: "Gate" }]);
  sink.setStatus("front", false);
  sink.setStatus("gate", true);
  await until(() => expect(last("sdmae/gate/status")?.text).toBe("online"));
  expect(last("sdmae/front/status")?.text).toBe("");
  expect(last(config("front"))?.text).toBe("");
  expect(JSON.parse(last(config("gate"))!.text)).toMatchObject({ dev: { name: "Gate" } });
  expect(last("sdmae/yard/status")?.text).toBe("online");

  cut();
  sink.setCameras([{ id: "front" }, { id: "gate" }]);
  const later = await listen(port);
  await until(() => expect(later.last(config("front"))).toBeDefined());
  await until(() => expect(later.last("sdmae/available")?.text).toBe("online"));
  const latest = await listen(port);
  await until(() => expect(latest.last(config("gate"))).toMatchObject({ retain: true }));
  await until(() => expect(latest.last("sdmae/gate/status")).toMatchObject({ text: "online" }));
  for (const topic of [config("yard"), "sdmae/yard/status"]) expect(latest.texts(topic)).toEqual([]);
  expect(() => sink.setCameras([{ id: "a/b" }])).toThrow('the camera "a/b" cannot be a part of MQTT topics');
});
