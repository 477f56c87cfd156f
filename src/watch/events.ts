// Events: spans of time in which a video is abnormal.
import { type AlarmRule, Level, type TimedScore, tolerance } from "./alarm_rule.js";

/** A rectangle of source pixels; both corners are inclusive. */
export interface PixelBox {
  x1: number;
  y1: number;
  x2: number;
  y2: number;
}

/** A frame's score, and where it comes from. */
export interface WatchedFrame extends TimedScore {
  /** The frame's number. */
  frame: number;
  /** Its abnormal region, if known. */
  box?: PixelBox;
}

/** A frame of an event. */
export interface EventMoment {
  frame: number;
  /** Seconds. */
  time: number;
}

/** A span of time in which a video is abnormal. */
export interface WatchEvent {
  /** From 1, in order. */
  id: number;
  /** The first frame whose level reached the threshold. */
  start: EventMoment;
  /** The last frame so far whose level was above the release level. */
  end: EventMoment;
  /** When the alarm was raised: `start`, and the rule's minimum later. */
  raised: EventMoment;
  /** The frame with the highest level. */
  peak: EventMoment & { level: number; box?: PixelBox };
}

/** What became of an event: it began, its end or its peak moved, or it ended. */
export interface WatchEventChange {
  kind: "new" | "update" | "end";
  event: WatchEvent;
}

/** What the level is compared with. */
export interface Thresholds {
  threshold: number;
  /** The level of normal video, for the hysteresis; without it, events end at the threshold. */
  normal?: number;
}

/** Below it, an event that was raised ends. */
export function releaseLevel({ threshold, normal = threshold }: Thresholds, { release }: AlarmRule): number {
  return normal < threshold ? normal + release * (threshold - normal) : threshold;
}

/** Finds the events of a video, frame by frame. Memory does not depend on the video's length. */
export class EventFinder {
  /** The level of the last frame. */
  level = Number.NaN;
  private readonly levels: Level;
  private readonly release: number;
  private count = 0;
  private open?: WatchEvent;
  /** The unbroken run of frames at or above the threshold that may become an event. */
  private candidate?: Omit<WatchEvent, "id" | "raised">;

  /** @throws InputError if the rule's numbers are out of range */
  constructor(
    private readonly thresholds: Thresholds,
    private readonly rule: AlarmRule,
  ) {
    this.levels = new Level(rule);
    this.release = releaseLevel(thresholds, rule);
  }

  /** The event that goes on, if there is one. */
  get current(): WatchEvent | undefined {
    return this.open;
  }

  /** Whether the last frame may turn out to belong to an event. */
  get isRising(): boolean {
    return this.candidate !== undefined;
  }

  /** Takes the next frame. @returns what became of an event, if anything did */
  push(frame: WatchedFrame): WatchEventChange | undefined {
    const { level, sustained } = this.levels.push(frame);
    this.level = level;
    const here: EventMoment = { frame: frame.frame, time: frame.time };
    const peak = { ...here, level, ...(frame.box && { box: frame.box }) };
    const { open } = this;
    if (open) {
      if (level >= this.release) {
        open.end = here;
        if (level > open.peak.level) open.peak = peak;
        return { kind: "update", event: open };
      }
      return frame.time - open.end.time >= this.rule.hold - tolerance ? this.finish() : undefined;
    }
    if (!(level >= this.thresholds.threshold)) {
      this.candidate = undefined;
      return undefined;
    }
    this.candidate ??= { start: here, end: here, peak };
    if (level > this.candidate.peak.level) this.candidate.peak = peak;
    if (!(sustained >= this.thresholds.threshold)) return undefined;
    this.open = { id: ++this.count, ...this.candidate, end: here, raised: here };
    this.candidate = undefined;
    return { kind: "new", event: this.open };
  }

  /** Ends the event that goes on, at the end of the video or of a connection. */
  finish(): WatchEventChange | undefined {
    const event = this.open;
    this.open = undefined;
    this.candidate = undefined;
    return event && { kind: "end", event };
  }
}
