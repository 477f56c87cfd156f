// Events of cameras as they are kept and sent, and what keeping and sending need of each other.

import type { RelativeBox } from "../watch/zones.js";

export type { RelativeBox };

/** What kinds of events there are. */
export const eventKinds = ["anomaly", "scene_change", "camera_moved", "offline"] as const;
/** The kind of an event. */
export type EventKind = (typeof eventKinds)[number];

/** An event of a camera, as far as it is known. Times are ISO 8601 in UTC, with milliseconds. */
export interface CameraEvent {
  /** Names the event for ever; ids of later events sort behind it. */
  id: string;
  camera: string;
  kind: EventKind;
  /** When it began. */
  start: string;
  /** When it ended; absent while it lasts. */
  end?: string;
  /** Why it ended, if not by itself: the stream was lost, or the process ended. */
  reason?: string;
  /** The highest level so far, and when that was. Anomalies only. */
  peak?: { time: string; level: number; box?: RelativeBox };
  /** What the level was compared with. Anomalies only. */
  threshold?: number;
  /** Names of the zones in which it was seen, in the configuration's order. */
  zones: readonly string[];
  /** Whether it was only recorded: the camera is in shadow mode, or its schedule is off. */
  silent?: boolean;
  /** In a few words, for people: what happened, or why the camera is offline. */
  text?: string;
  /** Files of the event below the data folder, with "/". */
  snapshot?: string;
  clip?: string;
  /** What somebody said of it: `normal` is a false alarm. */
  feedback?: "normal";
}

/** What became of an event. `clip`: its clip is there; `feedback`: somebody said what it was. */
export const changeKinds = ["new", "update", "end", "clip", "feedback"] as const;
/** One of {@link changeKinds}. */
export type ChangeKind = (typeof changeKinds)[number];

/** A line of the event log: what became of an event, and the event as it was then. */
export interface EventChange {
  change: ChangeKind;
  /** When this was written. */
  time: string;
  event: CameraEvent;
}

/** The reason of a signal that ends what runs; events that end by it say so. */
export class Ending extends Error {}

/** Where changes of events are sent. */
export interface Sink {
  /** In logs and metrics. */
  readonly name: string;
  /**
   * Sends a change. It may be called again for the same one: receivers know it by the event's id
   * and the change.
   * @throws Error if it did not arrive; it is sent again later
   */
  send(change: EventChange, signal: AbortSignal): Promise<void>;
  /** Shows the state of a camera, every few seconds. Never throws. */
  report?(camera: string, state: CameraReport): void;
  /** Why it is not connected, in a few words; absent if it is, or keeps no connection. */
  readonly problem?: string;
  close?(): Promise<void>;
}

/** The state of a camera. */
export interface CameraReport {
  /** Whether frames arrive, or a folder waits for files. */
  online: boolean;
  /** Whether an alert goes on. */
  anomaly: boolean;
  /** Whether it raises alerts; otherwise it was switched off, and records only. */
  enabled: boolean;
  /** What the threshold is compared with; absent while nothing is decided. */
  level?: number;
  /** The last picture, as JPEG. */
  picture: Uint8Array | undefined;
}
