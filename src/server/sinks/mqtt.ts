// Publishes events and the state of cameras to an MQTT broker, in the way Home Assistant finds.
import mqtt, { type IClientOptions, type IClientPublishOptions, type MqttClient } from "mqtt";
import { InputError } from "../../errors.js";
import { connectionReason, parseAddress } from "../../node/media/address.js";
import type { CameraReport, EventChange, Sink } from "../records.js";

/** A camera that the broker hears of. */
export interface MqttCamera {
  id: string;
  /** For people. Default: the id. */
  name?: string;
}

/** Settings of an {@link MqttSink}. */
export interface MqttOptions {
  /** In logs and metrics. */
  name: string;
  /** mqtt, mqtts, ws or wss. A name and password in it are used to log in. */
  url: string;
  /** Instead of those in the address. */
  username?: string;
  password?: string;
  /** PEM of who vouches for the broker's certificate, if it is not publicly known. */
  certificates?: string | readonly string[];
  /** What the broker knows this client by. Default: sdmae and a random number. */
  clientId?: string;
  cameras: readonly MqttCamera[];
  /** What topics begin with. Default: sdmae. */
  prefix?: string;
  /** Names one of several machines that share the cameras, and the topics. */
  worker?: string;
  /** What Home Assistant's discovery topics begin with; false: none. Default: homeassistant. */
  discovery?: string | false;
  /** Shown in Home Assistant. */
  version?: string;
  /** Seconds between attempts to connect. Default: 5. */
  reconnect?: number;
  /** Somebody switched a camera on or off. Answer with {@link MqttSink.setEnabled}. */
  onEnabled?(camera: string, enabled: boolean): void;
  /** Hears in one line why the broker is lost, once for each reason. */
  onLost?(reason: string): void;
  /** The broker is there. */
  onConnected?(): void;
  /** Hears in one line of commands that mean nothing. */
  onWarning?(message: string): void;
  /** Seconds of silence after which the broker must show that it is there. Default: 30. */
  keepalive?: number;
}

/** Topics of a camera that the broker holds. */
const RETAINED = ["anomaly", "status", "snapshot", "enabled/state"] as const;
type Retained = (typeof RETAINED)[number];

/** Seconds to say goodbye to the broker. */
const GOODBYE = 2;

/**
 * A sink with a connection of its own, made again for ever. Topics, each below the prefix:
 *
 * - `available`, of a worker `available-WORKER`: online or offline, also if the process dies
 *   (retained)
 * - `events`: each change as JSON, acknowledged by the broker
 * - `CAMERA/anomaly`: ON or OFF; `CAMERA/status`: online or offline; `CAMERA/snapshot`: a JPEG;
 *   `CAMERA/enabled/state`: ON or OFF (all retained)
 * - `CAMERA/score`: a number
 * - `CAMERA/enabled/set`: takes ON or OFF
 *
 * What was set last is published again after each connection, so a broker may lose it. A worker
 * that gives a camera away leaves the camera's topics to whoever takes it.
 */
export class MqttSink implements Sink {
  readonly name: string;
  private readonly shown: string;
  private readonly prefix: string;
  /** The topic that says whether this process is there. */
  private readonly available: string;
  private readonly client: MqttClient;
  /** Retained messages by topic: what the broker should hold. */
  private readonly states = new Map<string, string | Buffer>();
  /** Ends deliveries that wait for the broker, with a reason. */
  private readonly inFlight = new Set<(error: Error) => void>();
  private cameras: readonly MqttCamera[] = [];
  /** Cameras whose alert goes on. */
  private readonly alarmed = new Set<string>();
  /** Cameras that the broker is still to forget. */
  private readonly forgotten = new Set<string>();
  private connected = false;
  /** Why there is no connection. */
  private reason = "not connected yet";
  private warned: string | undefined;
  private closed = false;

  /**
   * Begins to connect. It never throws because a broker is not there.
   * @throws InputError if the address, the prefix or a camera's id cannot be used
   */
  constructor(private readonly options: MqttOptions) {
    this.name = options.name;
    this.prefix = options.prefix ?? "sdmae";
    this.available = `${this.prefix}/available${options.worker === undefined ? "" : `-${options.worker}`}`;
    const address = parseAddress(options.url);
    this.shown = address.shown;
    if (!/^(mqtts?|wss?):$/.test(address.url.protocol)) {
      throw new InputError(`${this.shown}: addresses of brokers begin with mqtt, mqtts, ws or wss`);
    }
    for (const topic of [this.prefix, this.available, options.discovery || "homeassistant"]) checkTopic(topic);
    this.setCameras(options.cameras);
    this.client = mqtt.connect(address.url.href, this.clientOptions(address.login));
    this.listen();
  }

  /** Whether the broker is there. */
  get isConnected(): boolean {
    return this.connected;
  }

  get problem(): string | undefined {
    if (this.connected) return undefined;
    return this.warned === undefined ? this.reason : `not connected: ${this.warned}`;
  }

  /**
   * Publishes a change.
   * @throws Error if there is no connection, or it is lost before the broker acknowledges
   */
  async send(change: EventChange, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.connected || this.closed) throw new Error(`${this.shown}: ${this.reason}`);
    await this.publishSurely(`${this.prefix}/events`, JSON.stringify(change), signal);
  }

  /** Publishes the state of a camera, and a picture when an alert begins. */
  report(camera: string, { online, anomaly, enabled, level, picture }: CameraReport): void {
    if (anomaly && picture && !this.alarmed.has(camera)) this.setSnapshot(camera, picture);
    if (anomaly) this.alarmed.add(camera);
    else this.alarmed.delete(camera);
    this.setStatus(camera, online);
    this.setAnomaly(camera, anomaly);
    this.setEnabled(camera, enabled);
    if (level !== undefined) this.setScore(camera, level);
  }

  /**
   * Publishes whether a camera sees an anomaly. Setters never throw, and ignore cameras that the
   * sink does not know.
   */
  setAnomaly(camera: string, on: boolean): void {
    this.setState(camera, "anomaly", on ? "ON" : "OFF");
  }

  /** Publishes whether a camera's stream arrives. */
  setStatus(camera: string, online: boolean): void {
    this.setState(camera, "status", online ? "online" : "offline");
  }

  /** Publishes whether a camera is watched. */
  setEnabled(camera: string, enabled: boolean): void {
    this.setState(camera, "enabled/state", enabled ? "ON" : "OFF");
  }

  /**
   * The broker hears of these cameras from now on. It forgets those that are gone, and so does Home
   * Assistant, unless another worker may have them.
   * @throws InputError if a camera's id cannot be used
   */
  setCameras(cameras: readonly MqttCamera[]): void {
    for (const { id } of cameras) checkCamera(id);
    const gone = this.cameras.filter(({ id }) => !cameras.some((camera) => camera.id === id));
    this.cameras = cameras;
    for (const { id } of cameras) this.forgotten.delete(id);
    for (const { id } of gone) {
      this.alarmed.delete(id);
      const topics = this.retainedTopics(id).filter((topic) => this.states.has(topic));
      // An empty message takes a retained one away.
      if (this.options.worker === undefined) {
        for (const topic of [...topics, ...this.discoveryTopic(id)]) this.retain(topic, "");
      } else for (const topic of topics) this.states.delete(topic);
    }
    for (const { id } of cameras) for (const topic of this.discoveryTopic(id)) this.states.delete(topic);
    if (this.connected) this.announce();
  }

  /**
   * The broker and Home Assistant forget a camera that no worker will have again; once the broker
   * is there, unless the camera comes back before.
   */
  forget(camera: string): void {
    if (this.knows(camera)) return;
    this.forgotten.add(camera);
    this.tellForgotten();
  }

  /** Publishes a picture. @param jpeg the bytes of the file; they are kept until the next one */
  setSnapshot(camera: string, jpeg: Uint8Array): void {
    this.setState(camera, "snapshot", Buffer.from(jpeg));
  }

  /**
   * Publishes the level of a camera's latest frame, unless the broker is away. Brokers are not made
   * for every frame: call it every few seconds at most.
   */
  setScore(camera: string, score: number): void {
    if (Number.isFinite(score) && this.knows(camera))
      this.publish(this.topic(camera, "score"), String(Number(score.toPrecision(6))));
  }

  /** Says goodbye, and ends the connection. Deliveries under way fail. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.fail(new Error(`${this.shown}: the connection is closed`));
    const goodbye = async (): Promise<void> => {
      if (this.connected) await this.client.publishAsync(this.available, "offline", { qos: 1, retain: true });
      await this.client.endAsync();
    };
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, 1000 * GOODBYE);
    });
    await Promise.race([goodbye().catch(() => undefined), over]);
    clearTimeout(timer);
    this.connected = false;
    // A broker that does not answer must not hold the process.
    this.client.end(true);
    this.client.stream.destroy();
  }

  private clientOptions(login: { user: string; password: string } | undefined): IClientOptions {
    const {
      username = login?.user,
      password = login?.password,
      certificates,
      clientId,
      reconnect = 5,
      keepalive = 30,
    } = this.options;
    return {
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(certificates !== undefined && { ca: typeof certificates === "string" ? certificates : [...certificates] }),
      ...(clientId !== undefined && { clientId }),
      ...(clientId === undefined && { clientId: `sdmae_${Math.random().toString(16).slice(2, 10)}` }),
      will: { topic: this.available, payload: Buffer.from("offline"), qos: 1, retain: true },
      reconnectPeriod: 1000 * reconnect,
      // A wrong password may be put right at the broker.
      reconnectOnConnackError: true,
      connectTimeout: 10_000,
      keepalive,
      // This class subscribes and publishes again itself.
      resubscribe: false,
      queueQoSZero: false,
    };
  }

  private listen(): void {
    this.client.on("connect", () => this.greet());
    this.client.on("close", () => {
      this.connected = false;
      this.reason = this.warned ?? "the connection was lost";
      this.warn(this.reason);
      this.fail(new Error(`${this.shown}: ${this.reason}`));
    });
    this.client.on("error", (error) => this.warn(connectionReason(error)));
    this.client.on("message", (topic, payload, { retain }) => this.hear(topic, payload, retain));
  }

  /** Warns once of each reason until the broker is there again. */
  private warn(reason: string): void {
    if (this.closed || this.warned === reason) return;
    this.warned = reason;
    this.options.onLost?.(`${this.shown}: ${reason}`);
  }

  private fail(error: Error): void {
    for (const end of [...this.inFlight]) end(error);
  }

  // After each connection.

  private greet(): void {
    if (this.closed) return;
    this.connected = true;
    this.warned = undefined;
    this.options.onConnected?.();
    const discovery = this.options.discovery ?? "homeassistant";
    const topics = [`${this.prefix}/+/enabled/set`, ...(discovery === false ? [] : [`${discovery}/status`])];
    this.client.subscribe(topics, { qos: 1 }, (error) => {
      if (error) this.warn(connectionReason(error));
    });
    this.announce();
    for (const [topic, payload] of this.states) this.publish(topic, payload, { retain: true });
    this.publish(this.available, "online", { retain: true });
    this.tellForgotten();
  }

  private tellForgotten(): void {
    if (!this.connected) return;
    for (const camera of this.forgotten) {
      for (const topic of [...this.retainedTopics(camera), ...this.discoveryTopic(camera)]) {
        this.publish(topic, "", { retain: true });
      }
    }
    this.forgotten.clear();
  }

  /** Tells Home Assistant of the cameras. */
  private announce(): void {
    for (const camera of this.cameras) {
      const { prefix, available } = this;
      const text = JSON.stringify(discoveryOf(camera, { prefix, available }, this.options.version));
      for (const topic of this.discoveryTopic(camera.id)) this.publish(topic, text, { retain: true });
    }
  }

  /** Where Home Assistant looks for a camera; none without discovery. */
  private discoveryTopic(camera: string): string[] {
    const { discovery = "homeassistant" } = this.options;
    return discovery === false ? [] : [`${discovery}/device/${objectId(camera)}/config`];
  }

  private hear(topic: string, payload: Buffer, retained: boolean): void {
    if (topic === `${this.options.discovery ?? "homeassistant"}/status`) {
      if (payload.toString() === "online") this.announce();
      return;
    }
    const camera = this.cameras.find(({ id }) => this.topic(id, "enabled/set") === topic)?.id;
    // A retained command is from the past, and would come again after each connection.
    if (camera === undefined || retained) return;
    const command = payload.toString("utf8", 0, 8).trim().toUpperCase();
    if (command === "ON" || command === "OFF") this.options.onEnabled?.(camera, command === "ON");
    else this.options.onWarning?.(`${this.shown}: ${topic} takes ON and OFF only`);
  }

  // Publishing.

  private topic(camera: string, rest: string): string {
    return `${this.prefix}/${camera}/${rest}`;
  }

  private retainedTopics(camera: string): string[] {
    return RETAINED.map((rest) => this.topic(camera, rest));
  }

  private knows(camera: string): boolean {
    return this.cameras.some(({ id }) => id === camera);
  }

  private setState(camera: string, rest: Retained, payload: string | Buffer): void {
    if (!this.knows(camera)) return;
    const topic = this.topic(camera, rest);
    // The broker holds what was published before.
    if (this.states.get(topic) !== payload) this.retain(topic, payload);
  }

  /** Publishes what the broker is to hold, now and after each connection. */
  private retain(topic: string, payload: string | Buffer): void {
    this.states.set(topic, payload);
    this.publish(topic, payload, { retain: true });
  }

  /** Publishes what may get lost: states come again after the next connection. */
  private publish(topic: string, payload: string | Buffer, options: IClientPublishOptions = {}): void {
    if (this.connected && !this.closed) this.client.publish(topic, payload, { qos: 0, ...options });
  }

  /** Resolves once the broker has acknowledged. */
  private publishSurely(topic: string, payload: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      let message = 0;
      const end = (error?: Error): void => {
        if (!this.inFlight.delete(end)) return;
        signal.removeEventListener("abort", abort);
        if (error) reject(error);
        else resolve();
        // The outbox sends it again. The client would, too.
        if (error) this.client.removeOutgoingMessage(message);
      };
      const abort = (): void => end(signal.reason as Error);
      this.inFlight.add(end);
      signal.addEventListener("abort", abort);
      this.client.publish(topic, payload, { qos: 1 }, (error) => end(error ?? undefined));
      message = this.client.getLastMessageId();
    });
  }
}

/** @throws InputError if topics cannot begin with a text: it has wildcards or control characters */
function checkTopic(text: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it finds.
  if (/[+#\u0000-\u001f]|^\/|\/$|^$/.test(text)) {
    throw new InputError(`"${text.replace(/[^\x20-\x7e]/g, "?")}" cannot be the beginning of MQTT topics`);
  }
}

/** @throws InputError if a camera's id cannot be a part of a topic */
function checkCamera(id: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it finds.
  if (/[+#/\u0000-\u001f]|^$/.test(id)) {
    throw new InputError(`the camera "${id.replace(/[^\x20-\x7e]/g, "?")}" cannot be a part of MQTT topics`);
  }
}

/** A camera's name in Home Assistant's topics and ids, which take letters, digits, "_" and "-". */
const objectId = (camera: string): string =>
  `sdmae_${camera.replace(/[^\w-]/gu, (sign) => `_${sign.codePointAt(0)?.toString(16)}`)}`;

/**
 * The message by which Home Assistant learns of a camera as a device with four entities.
 * @param topics what topics begin with, and which one says whether this process is there
 * @param version of this program
 */
export function discoveryOf(
  { id, name = id }: MqttCamera,
  { prefix, available }: { prefix: string; available: string },
  version?: string,
): Record<string, unknown> {
  const own = objectId(id);
  const topic = (rest: string): string => `${prefix}/${id}/${rest}`;
  const server = { topic: available };
  // What comes from the stream is worth nothing without it; the switch works all the same.
  const stream = { availability: [server, { topic: topic("status") }], availability_mode: "all" };
  const on = { payload_on: "ON", payload_off: "OFF" };
  const entity = (platform: string, key: string, shown: string) => ({
    p: platform,
    unique_id: `${own}_${key}`,
    name: shown,
  });
  return {
    dev: { ids: [own], name, mf: "sdmae", mdl: "SD-MAE camera", ...(version !== undefined && { sw: version }) },
    o: { name: "sdmae", ...(version !== undefined && { sw: version }) },
    availability: [server],
    cmps: {
      anomaly: {
        ...entity("binary_sensor", "anomaly", "Anomaly"),
        device_class: "problem",
        state_topic: topic("anomaly"),
        ...on,
        ...stream,
      },
      score: {
        ...entity("sensor", "score", "Score"),
        state_class: "measurement",
        state_topic: topic("score"),
        suggested_display_precision: 3,
        ...stream,
      },
      snapshot: {
        ...entity("image", "snapshot", "Snapshot"),
        image_topic: topic("snapshot"),
        content_type: "image/jpeg",
      },
      enabled: {
        ...entity("switch", "enabled", "Enabled"),
        command_topic: topic("enabled/set"),
        state_topic: topic("enabled/state"),
        ...on,
      },
    },
  };
}

/** A sink that publishes to an MQTT broker, see {@link MqttSink}. @throws InputError as it does */
export const mqttSink = (options: MqttOptions): MqttSink => new MqttSink(options);
