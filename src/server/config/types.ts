// A configuration of `sdmae watch` with all defaults filled in.
import type { ChangeKind, EventKind, RelativeBox } from "../records.js";

/** All that the watch process is told. Times are in seconds, sizes in bytes, paths absolute. */
export interface WatchConfig {
  /** The model's file; absent: the command's, else the bundled model. */
  checkpoint?: string;
  /** The folder of events and clips. */
  data: string;
  /** The web page; absent: none. */
  web?: WebConfig;
  log: { level: LogLevel };
  /** Clips are deleted when they are older or take more. */
  keep: { days: number; bytes: number };
  /** Bytes of the disk that clips never use. */
  reserve: number;
  /** At least one, in the order of the file. */
  cameras: readonly CameraConfig[];
  sinks: readonly SinkConfig[];
  /** What must not be shown, for `scrubber` of secrets.ts. */
  secrets: readonly string[];
}

/** Levels of the log. */
export const logLevels = ["info", "warn", "error"] as const;
/** How much is logged: this level and those behind it. */
export type LogLevel = (typeof logLevels)[number];

/** Where the web page is. */
export interface WebConfig {
  /** A name or an IP address, without brackets. */
  host: string;
  /** 0: any free one. */
  port: number;
  /** Printable ASCII, at least 8 signs; always there if the host is not a loopback address. */
  token?: string;
  /** More names by which the page may be asked for, such as that of a proxy. */
  hosts?: readonly string[];
}

/** The corners of an area, [x, y] in shares of the frame's width and height, 0…1; at least 3. */
export type ConfigPolygon = readonly (readonly [x: number, y: number])[];

/** A camera. */
export interface CameraConfig {
  /** a-z, 0-9, "_" and "-"; it does not begin with one of the signs. */
  id: string;
  /** For people. */
  name: string;
  /**
   * An address with its login (percent-encoded), `device:/dev/…`, or an absolute path. Never show
   * it: see parseAddress of src/node/media/address.ts.
   */
  source: string;
  /** Another stream for clips, named in the same way. */
  record?: string;
  /** Its own model's file; absent: the one that was learnt for it, else that of all cameras. */
  checkpoint?: string;
  /** Frames per second that are scored, 1…30. */
  fps: number;
  /** Size of the frames that are scored, in pixels; absent: the model's or the camera's. */
  size?: { width: number; height: number };
  /** "off", "auto", or a name that ffmpeg knows. */
  hardwareDecoding: string;
  /** Scores from here on are abnormal, in daylight and in infrared; absent: from calibration. */
  threshold: { day?: number; infrared?: number };
  /** False alarms per day that calibration aims at. */
  alarmsPerDay: number;
  /** Seconds that it must be abnormal. */
  minimum: number;
  /** Seconds that it must be normal again. */
  hold: number;
  /** Seconds after an alert without a new one. */
  cooldown: number;
  /** Least share of the frame that must be at the threshold, 0…1. */
  area: number;
  /** Areas that do not count. */
  ignore: readonly ConfigPolygon[];
  /** In the order of the file. */
  zones: readonly { name: string; polygon: ConfigPolygon }[];
  /** Blacked out before anything is stored. */
  privacy: readonly RelativeBox[];
  /** When alerts are sent; "always", or what the caller's check of schedules took. */
  schedule: string;
  /** Record only, alert nobody. */
  shadow: boolean;
  enabled: boolean;
  /** Seconds of a clip before and after an event; absent: no clips. */
  clip?: { before: number; after: number };
  /** Most minutes of normal video that are kept for learning; absent: none. */
  normal?: { minutes: number };
}

/** What all sinks have. */
interface SinkBase {
  /** Unique. */
  name: string;
  /** Ids of the cameras whose events it gets. */
  cameras: readonly string[];
  kinds: readonly EventKind[];
  changes: readonly ChangeKind[];
}

/** Posts events to an address. */
export interface WebhookConfig extends SinkBase {
  type: "webhook";
  /** http or https, without a login. Never show its path or query: they may hold a key. */
  url: string;
  /** Signs what is sent. */
  secret?: string;
  /** A login of the address is among them, as Authorization. */
  headers: Readonly<Record<string, string>>;
}

/** Runs a program. */
export interface CommandConfig extends SinkBase {
  type: "command";
  /** The program and its arguments. A program without a slash is looked up in PATH. */
  run: readonly [string, ...string[]];
  /** Seconds. */
  timeout: number;
}

/** Writes files. */
export interface FolderConfig extends SinkBase {
  type: "folder";
  path: string;
}

/** Publishes to a broker. */
export interface MqttConfig extends SinkBase {
  type: "mqtt";
  /** mqtt or mqtts, without a login. */
  url: string;
  user?: string;
  password?: string;
  /** Of all topics, without a slash at its end. */
  prefix: string;
  /** Prefix of Home Assistant's discovery; absent: off. */
  discovery?: string;
}

/** Where alerts are sent. */
export type SinkConfig = WebhookConfig | CommandConfig | FolderConfig | MqttConfig;
