// What the web page sees of the watch process, and how it hears what happens there.

import type { Camera } from "../camera/camera.js";
import type { Decisions, Outcome } from "../camera/decisions.js";
import type { NormalState } from "../camera/learner.js";
import type { CameraConfig, WatchConfig } from "../config/config.js";
import type { EngineFacts } from "../engine/messages.js";
import type { CameraModel } from "../engines.js";
import type { EventLog } from "../event_log.js";
import type { DeliveryResult } from "../outbox.js";
import type { EventChange } from "../records.js";
import type { Supervisor } from "../supervisor.js";

/** A camera as the page sees it. */
export interface SeenCamera
  extends Pick<Camera, "status" | "problem" | "slowness" | "picture" | "outcome" | "counts" | "lastFrame" | "latency"> {
  readonly config: Pick<CameraConfig, "id" | "name" | "fps" | "shadow" | "zones" | "ignore" | "privacy">;
  readonly decisions: Pick<Decisions, "learning" | "threshold" | "mode" | "isPaused">;
}

/** The watch process as the page sees it: a `Supervisor`, or a plain object. */
export interface SeenWatch extends Pick<Supervisor, "isReady" | "queues" | "clipBytes" | "markNormal" | "recalibrate"> {
  readonly cameras: readonly SeenCamera[];
  readonly log: Pick<EventLog, "events" | "problem">;
  /** Of the engines that run, by whatever they are known. */
  readonly facts: ReadonlyMap<unknown, EngineFacts>;
  readonly config: Pick<WatchConfig, "data" | "keep" | "reserve">;
  /** What was learnt of a camera in the mode that it shows now. */
  learnt(camera: string): NormalState | undefined;
  /** The model of a camera. @param camera its id */
  modelOf(camera: string): Pick<CameraModel, "hash" | "isLearnt">;
}

/** Somebody who wants to hear what happens. */
export interface FeedListener {
  /** A change of an event, once it is on disk. */
  onChange?(change: EventChange): void;
  onOutcome?(camera: SeenCamera, outcome: Outcome): void;
  /** An attempt to deliver a change. */
  onDelivery?(sink: string, result: DeliveryResult): void;
}

/**
 * Tells the parts of the page what happens. It is made before the supervisor, as its listener; the
 * page listens to it afterwards.
 */
export class WatchFeed {
  private readonly listeners = new Set<FeedListener>();

  /** @returns what ends it */
  listen(listener: FeedListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  onChange(change: EventChange): void {
    for (const listener of this.listeners) listener.onChange?.(change);
  }

  onOutcome(camera: SeenCamera, outcome: Outcome): void {
    for (const listener of this.listeners) listener.onOutcome?.(camera, outcome);
  }

  onDelivery(sink: string, result: DeliveryResult): void {
    for (const listener of this.listeners) listener.onDelivery?.(sink, result);
  }
}
