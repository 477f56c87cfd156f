// What the page's server sends as JSON. Numbers that are not known are null. Times are milliseconds
// since 1970.
import type { CameraCounts, CameraStatus } from "../camera/camera.js";
import type { CameraConfig } from "../config/config.js";
import type { CameraEvent } from "../records.js";

/** GET /api/state, and the stream's event `state`. */
export interface WatchState {
  time: number;
  /** When the process began to serve the page. */
  started: number;
  /** Whether every engine scores. */
  ready: boolean;
  engines: { adapter: string; model: string; dtype: string; size: { width: number; height: number } }[];
  queues: { sink: string; length: number; problem: string | null }[];
  /**
   * Bytes of clips, the most that they may have, what is free on the disk, and how much of that is
   * left free: with less, no clips are kept. Clips are kept for so many days.
   */
  storage: { clips: number; most: number; free: number | null; reserve: number; days: number };
  /** Why events cannot be written at present. */
  problem: string | null;
  /** What is wrong with the last edit of the configuration; the one before stays in use. */
  editProblem: string | null;
  versions: { sdmae: string; node: string; webgpu: string };
  cameras: CameraState[];
  /**
   * The machines that share the cameras, cameras that nobody watches, and why others cannot be
   * reached; null if it is alone.
   */
  shared: { machines: MachineState[]; unwatched: string[]; problem: string | null } | null;
}

/** A machine that shares cameras with others. */
export interface MachineState {
  name: string;
  /** Whether it is the one that serves the page. */
  own: boolean;
  cameras: number;
  /** Frames per second that are wanted of it, and that it carries, if that was measured. */
  fps: number;
  capacity: number | null;
  /** What is wrong there, in lines for people. */
  problems: string[];
}

/** A camera in {@link WatchState}. */
export interface CameraState extends Pick<CameraConfig, "id" | "name" | "shadow" | "zones" | "ignore" | "privacy"> {
  status: CameraStatus;
  /** Why it is offline. */
  problem: string | null;
  /** Says that most of its frames are not scored, if the machine does not keep up. */
  slowness: string | null;
  /** Whether there is a picture. */
  picture: boolean;
  counts: CameraCounts;
  /** Frames per second that are scored, over the last seconds, and that are wanted. */
  fps: number;
  wantedFps: number;
  /** Share of the first learning that is done, 0…1; 1 if there is a threshold. */
  learning: number;
  threshold: number | null;
  /** What the camera shows: daylight, or infrared light at night. */
  mode: "day" | "infrared";
  /** Null while nothing is decided. */
  level: number | null;
  lastFrame: number | null;
  /** Seconds from a frame's arrival to its score. */
  latency: number | null;
  /** Whether somebody has switched its alerts off. */
  paused: boolean;
  /** Its model: how the hash of the weights begins, 8 hexadecimal digits; whether it was learnt. */
  model: { hash: string; learnt: boolean };
  /** The machine that watches it; null if it is alone. */
  machine: string | null;
  /** What was learnt of normal video in this mode. */
  learnt: { threshold: number; seconds: number; normal: number; alarmsPerDay: number; mapHigh: number } | null;
}

/** An event of GET /api/events. */
export interface ListedEvent extends CameraEvent {
  /** Whether its clip and picture were deleted, since they are old or the quota was full. */
  deleted?: true;
}

/** The stream's event `frame`. */
export interface FrameMessage {
  camera: string;
  time: number;
  level: number | null;
  threshold: number | null;
  mode: CameraState["mode"];
  /** Values are `data` · `high` / 255, row-major; `high` is the map's largest value. */
  map: { rows: number; columns: number; high: number; data: number[] };
}

/**
 * A second of GET /api/cameras/ID/levels: when it begins, its highest level, and the threshold.
 */
export type LevelPoint = [time: number, level: number | null, threshold: number | null];

/** What is sent when a request is refused. */
export interface Refusal {
  /** One line. */
  error: string;
}
