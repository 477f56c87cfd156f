// A camera: connects again and again, shows its pictures, and makes events of frames and scores.
import { dirname, join } from "node:path";
import type { ScoreSettings } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import { makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { reasonOf } from "../../node/files/messages.js";
import type { CameraMode } from "../../watch/scene_change.js";
import { Backoff, pause } from "../backoff.js";
import { type CapturedFrame, capture, type Segment } from "../capture.js";
import type { CameraConfig } from "../config/config.js";
import { MOST_UNSCORED } from "../engine/engine.js";
import type { EngineFrame, EngineScore } from "../engine/messages.js";
import type { CameraEvent, ChangeKind, EventChange } from "../records.js";
import { Decisions, OFFLINE_AFTER, type Outcome } from "./decisions.js";
import { type FrameTime, FrameTimes, type MachineClock, machineClock, PlayClock } from "./frame_time.js";
import type { Known } from "./known.js";
import type { NormalState } from "./learner.js";
import { Recorder } from "./recorder.js";

/** What a camera needs of the process around it. */
export interface CameraHost {
  /** The data folder. */
  data: string;
  /** Size of the frames that are scored, in pixels. */
  size: { width: number; height: number };
  newId(camera: string, time: Date): string;
  /** Sends a frame to the engine. @returns false if it was dropped */
  send(frame: Omit<EngineFrame, "camera">): boolean;
  /** Keeps a change of an event; resolves once it is safe. */
  keep(change: EventChange): Promise<unknown>;
  /** Keeps what was learnt. */
  learnt(mode: CameraMode, state: NormalState): void;
  /** Whether the disk has room for a recording. */
  canRecord(): boolean;
  /** Shows a frame's outcome. */
  show?(outcome: Outcome): void;
  /** Takes in a line about a problem that ends nothing. */
  warn(line: string): void;
  clock?: MachineClock;
}

/** How a source that is no camera is played; for tests and demonstrations. */
export interface PlayOptions {
  /** A file begins again at its end, as a new connection. */
  loop?: boolean;
  /** Frames of a file come as fast as they are scored; none is dropped. They are the clock. */
  fast?: boolean;
  /** Seconds of video until the first threshold. */
  learnFirst?: number;
}

/** Whether frames come: `ended` is a file that was played to its end. */
export type CameraStatus = "connecting" | "online" | "offline" | "ended" | "off";

/** What is counted of a camera. */
export interface CameraCounts {
  /** Frames that came. */
  frames: number;
  /** Frames that the engine did not take, or left out. */
  dropped: number;
  scored: number;
  reconnects: number;
}

/** Numbers between two connections: no frame of one is a neighbour of the other's. */
const GAP = 1000;
/** Seconds of frames after which a connection counts as good. */
const GOOD = 60;
/** Seconds between looks for room on a full disk. */
const LOOK_FOR_ROOM = 10;
/** Seconds without any change of the picture after which the stream is frozen. */
const FROZEN = 20;

/** A camera that is watched. */
export class Camera {
  status: CameraStatus = "connecting";
  /** Why it is offline. */
  problem: string | undefined;
  /** The last picture, as JPEG. */
  picture: Uint8Array | undefined;
  /** The last frame's outcome. */
  outcome: Outcome | undefined;
  readonly counts: CameraCounts = { frames: 0, dropped: 0, scored: 0, reconnects: 0 };
  /** Milliseconds since 1970 of the last frame. */
  lastFrame = Number.NaN;
  /** Seconds from a frame's arrival to its score, the last one. */
  latency = Number.NaN;
  readonly decisions: Decisions;
  private readonly clock: MachineClock;
  private readonly backoff = new Backoff({ first: 1, most: 60 });
  private readonly arrivals = new Map<number, number>();
  private readonly begins = new Map<string, { connection: number; time: number }>();
  /** The connection of another stream for clips, and when its first frame came. */
  private recorded: { connection: number; first: number } | undefined;
  private hardwareDecoding: string;
  private isRecorded = false;
  /** Whether a file was played to its end. */
  private isEnded = false;
  /** Whether the engine runs; lets a file go on that waits for it. */
  private isReady = false;
  private proceed: () => void = () => {};
  /** Ends the connection, which is then made again. */
  private restart: () => void = () => {};
  private stopRecording: () => void = () => {};
  /** The picture of the highest level of the event that goes on. */
  private peak: { event: string; level: number; picture: Uint8Array | undefined } | undefined;
  /** Ids of events that have a snapshot. */
  private readonly snapshots = new Set<string>();
  private recorder: Recorder | undefined;
  private connection = 0;
  private number = 0;
  /** Whether the engine took the last frame. */
  private isSent = true;
  private seen: number;
  private unchanged = { since: Number.NaN, sample: 0 };
  /** Changes are kept in their order. */
  private keeping: Promise<void> = Promise.resolve();
  private readonly clips = new Set<Promise<void>>();

  /** @throws InputError if the schedule is wrong */
  constructor(
    readonly config: CameraConfig,
    private readonly host: CameraHost,
    private readonly play: PlayOptions = {},
  ) {
    this.clock = host.clock ?? (play.fast ? new PlayClock() : machineClock);
    this.seen = this.clock.steady();
    this.hardwareDecoding = config.hardwareDecoding;
    this.decisions = new Decisions(config, {
      newId: host.newId,
      emit: (change, event, time) => this.emit(change, event, time),
      learnt: (mode, state) => host.learnt(mode, state),
      ...(play.learnFirst !== undefined && { learnFirst: play.learnFirst }),
    });
  }

  /** The folder of its recording. */
  private get segments(): string {
    return join(this.host.data, "segments", this.config.id);
  }

  /** Watches until the signal ends it, or a file ends. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { clip } = this.config;
    if (clip) {
      this.recorder = await Recorder.open(this.segments, clip.before).catch((error: unknown) => {
        this.host.warn(`nothing is recorded: ${reasonOf(error)}`);
        return undefined;
      });
    }
    const { record } = this.config;
    const ended = new AbortController();
    const recording = record && this.record(record, AbortSignal.any([signal, ended.signal]));
    while (!signal.aborted) {
      const why = await this.connect(signal);
      if (signal.aborted) break;
      if (why === undefined && (this.play.loop || !this.isEnded)) continue;
      if (why === undefined) {
        this.status = "ended";
        break;
      }
      this.counts.reconnects++;
      await this.wait(this.backoff.next(), why ?? "", signal);
    }
    this.decisions.close(this.now);
    ended.abort();
    await recording;
    await this.keeping;
    await Promise.all(this.clips);
  }

  private get now(): FrameTime {
    return { steady: this.clock.steady(), wall: this.clock.wall(), stream: Number.NaN };
  }

  /** Waits until the next attempt. Meanwhile the camera may come to count as offline. */
  private async wait(seconds: number, why: string, signal: AbortSignal): Promise<void> {
    const until = OFFLINE_AFTER - (this.clock.steady() - this.seen);
    if (until <= 0 || until >= seconds) return pause(seconds, signal);
    await pause(until, signal);
    if (!signal.aborted) this.decisions.lost(why, OFFLINE_AFTER, this.now);
    await pause(seconds - until, signal);
  }

  /** Records another stream of the camera, for clips. Its clock is this machine's. */
  private async record(source: string, signal: AbortSignal): Promise<void> {
    const { recorder, clock, config, host } = this;
    const backoff = new Backoff({ first: 1, most: 60 });
    while (recorder && !signal.aborted) {
      if (!host.canRecord()) {
        await pause(LOOK_FOR_ROOM, signal);
        continue;
      }
      const { connection, prefix } = recorder.connect();
      let first = Number.NaN;
      const listener = {
        onFrame: () => {
          if (!Number.isNaN(first)) return;
          first = clock.steady();
          this.recorded = { connection, first };
          backoff.reset();
        },
        onSegment: (segment: Segment) => recorder.add(segment),
      };
      const size = { fps: 1, width: 16, height: 16, keyFramesOnly: true };
      const options = { source, ...size, privacy: config.privacy, segments: recorder.folder };
      const stop = new AbortController();
      this.stopRecording = () => stop.abort(new InputError("the disk is nearly full"));
      const why = await capture(options, prefix, listener, AbortSignal.any([signal, stop.signal])).then(
        () => "the recording ended",
        (error: unknown) => reasonOf(error),
      );
      recorder.disconnect();
      if (signal.aborted) return;
      host.warn(`the stream for clips: ${why}`);
      await pause(backoff.next(), signal);
    }
  }

  /** The disk has become full, or has room again: the recording stops or begins. */
  roomChanged(): void {
    const { clip, record } = this.config;
    if (!clip || !this.recorder) return;
    if (record !== undefined && !this.host.canRecord()) this.stopRecording();
    if (record === undefined && this.isRecorded !== this.host.canRecord()) this.restart();
  }

  /** A moment on the clock of the recording; undefined if nothing is recorded. */
  private recordedAt({ steady, stream }: FrameTime): { connection: number; time: number } | undefined {
    if (!this.recorder) return undefined;
    if (this.config.record === undefined) return { connection: this.connection, time: stream };
    return this.recorded && { connection: this.recorded.connection, time: steady - this.recorded.first };
  }

  /** The engine is ready. @param known what was learnt with this model and these settings */
  ready(settings: ScoreSettings, known: Known): void {
    this.decisions.ready(settings, known);
    this.isReady = true;
    this.proceed();
  }

  /** The engine is gone: no scores come. */
  blind(): void {
    this.isReady = false;
    this.counts.dropped += this.arrivals.size;
    this.arrivals.clear();
    this.decisions.blind();
    // The next engine does not have the frames before.
    this.number += GAP;
    this.decisions.gap(this.number);
  }

  /** A file that is played fast waits until the engine has room. */
  private async room(first: number, signal: AbortSignal): Promise<void> {
    const unscored = () => [...this.arrivals.keys()].filter((number) => number >= first).length;
    while (!signal.aborted && (!this.isReady || unscored() >= MOST_UNSCORED)) {
      await new Promise<void>((resolve) => {
        this.proceed = resolve;
      });
    }
  }

  /** Takes in a frame's score. */
  score(score: EngineScore): void {
    const arrival = this.arrivals.get(score.number);
    for (const number of this.arrivals.keys()) {
      if (number > score.number) break;
      if (number < score.number) this.counts.dropped++;
      this.arrivals.delete(number);
    }
    if (arrival !== undefined) this.latency = this.clock.steady() - arrival;
    this.counts.scored++;
    this.proceed();
    const outcome = this.decisions.score(score);
    if (!outcome) return;
    this.outcome = outcome;
    const { event, level } = outcome;
    if (event !== undefined && !(this.peak?.event === event && this.peak.level >= level)) {
      this.peak = { event, level, picture: this.picture };
    }
    this.host.show?.(outcome);
  }

  /**
   * One connection.
   * @returns why it was lost; undefined if a file has ended, or it is to be made again
   */
  private async connect(signal: AbortSignal): Promise<string | undefined> {
    const { config, host, recorder, clock } = this;
    const isRecorded = recorder !== undefined && config.record === undefined && host.canRecord();
    this.isRecorded = isRecorded;
    const connected = isRecorded ? recorder.connect() : undefined;
    this.connection = connected?.connection ?? this.connection + 1;
    this.number += GAP;
    this.decisions.connected(this.number);
    const times = new FrameTimes(config.fps, !this.play.fast, clock);
    const stop = new AbortController();
    let isRestart = false;
    this.restart = () => {
      isRestart = true;
      stop.abort(new InputError("the recording changes"));
    };
    const began = clock.steady();
    const [first, all] = [this.number, AbortSignal.any([signal, stop.signal])];
    const onAbort = () => this.proceed();
    all.addEventListener("abort", onAbort, { once: true });
    const listener = {
      onFrame: async (frame: CapturedFrame) => {
        if (this.play.fast) await this.room(first, all);
        if (clock.steady() - began > GOOD) this.backoff.reset();
        if (this.isFrozen(frame)) stop.abort(new InputError(`the picture does not change for ${FROZEN} s`));
        else this.take(frame, times);
      },
      onPicture: (jpeg: Uint8Array) => {
        this.picture = jpeg;
      },
      onSegment: (segment: Segment) => recorder?.add(segment),
    };
    const options = {
      ...{ source: config.source, fps: config.fps, ...host.size, privacy: config.privacy, fast: this.play.fast },
      ...(isRecorded && { segments: recorder.folder }),
      hardwareDecoding: this.hardwareDecoding,
    };
    const framesBefore = this.counts.frames;
    try {
      await capture(options, connected?.prefix ?? "", listener, all);
      this.isEnded = true;
      return undefined;
    } catch (error) {
      const why = reasonOf(error);
      if (isRestart) return undefined;
      if (this.counts.frames === framesBefore) this.withoutHardware(why);
      this.status = "offline";
      this.problem = why;
      if (!signal.aborted) this.decisions.lost(why, clock.steady() - this.seen, this.now);
      return why;
    } finally {
      // With a listener the signal would be kept as long as the process runs.
      all.removeEventListener("abort", onAbort);
      if (isRecorded) recorder.disconnect();
    }
  }

  /** A connection without any frame is tried again without the hardware. */
  private withoutHardware(why: string): void {
    if (this.hardwareDecoding === "off") return;
    this.host.warn(`decoding by hardware (${this.hardwareDecoding}) is given up: ${why}`);
    this.hardwareDecoding = "off";
  }

  private take({ data, index }: CapturedFrame, times: FrameTimes): void {
    const { host, clock } = this;
    const time = times.of(index);
    this.status = "online";
    this.problem = undefined;
    this.seen = clock.steady();
    this.lastFrame = clock.wall();
    this.counts.frames++;
    const number = this.number++;
    this.decisions.frame(data, host.size, number, time);
    this.arrivals.set(number, this.seen);
    const wasSent = this.isSent;
    this.isSent = host.send({ number, data });
    if (this.isSent) return;
    // A frame that is missing would leave its neighbours with wrong ones.
    this.arrivals.delete(number);
    this.counts.dropped++;
    if (wasSent) this.number += GAP;
    this.decisions.gap(this.number);
  }

  /** Whether the picture has been the same for long, over connections too. */
  private isFrozen({ data }: CapturedFrame): boolean {
    const now = this.clock.steady();
    let sample = 0;
    for (let at = 0; at < data.length; at += 97) sample = (Math.imul(sample, 31) + data[at]) | 0;
    if (sample !== this.unchanged.sample || Number.isNaN(this.unchanged.since)) this.unchanged = { since: now, sample };
    return now - this.unchanged.since > FROZEN;
  }

  private emit(change: "new" | "update" | "end", event: CameraEvent, time: FrameTime): void {
    const at = this.recordedAt(time);
    if (event.kind === "anomaly" && change === "new" && at) {
      this.begins.set(event.id, at);
      this.recorder?.hold(event.id, at.connection, at.time);
    }
    const picture = this.peak?.event === event.id ? this.peak.picture : change === "end" ? undefined : this.picture;
    this.keeping = this.keeping.then(async () => {
      const shown = event.kind === "offline" ? event : await this.withSnapshot(change, event, picture);
      await this.keep(change, shown);
      if (change === "end") this.makeClip(shown, at);
    });
  }

  private async keep(change: ChangeKind, event: CameraEvent): Promise<void> {
    const time = new Date(this.clock.wall()).toISOString();
    await this.host.keep({ change, time, event }).catch((error: unknown) => this.host.warn(reasonOf(error)));
  }

  /** Writes the picture of an event's begin or peak. */
  private async withSnapshot(
    change: ChangeKind,
    event: CameraEvent,
    picture: Uint8Array | undefined,
  ): Promise<CameraEvent> {
    const snapshot = `${clipBase(event)}.jpg`;
    if (picture) {
      try {
        await makeFolder(dirname(join(this.host.data, snapshot)));
        await writeFileAtomic(join(this.host.data, snapshot), picture);
        this.snapshots.add(event.id);
      } catch (error) {
        this.host.warn(`no snapshot: ${reasonOf(error)}`);
      }
    }
    const shown = this.snapshots.has(event.id) ? { ...event, snapshot } : event;
    if (change === "end") this.snapshots.delete(event.id);
    return shown;
  }

  /** @param end on the recording's clock; absent: nothing is recorded any more */
  private makeClip(event: CameraEvent, end: { connection: number; time: number } | undefined): void {
    const { recorder, config, host } = this;
    const begin = this.begins.get(event.id);
    this.begins.delete(event.id);
    if (!begin || !recorder || !config.clip) return;
    const { before, after } = config.clip;
    const clip = `${clipBase(event)}.mp4`;
    // A recording that began again has lost the rest.
    const to = end?.connection === begin.connection ? end.time + after : Number.POSITIVE_INFINITY;
    const stretch = { connection: begin.connection, from: begin.time - before, to };
    const making = (async () => {
      try {
        await makeFolder(dirname(join(host.data, clip)));
        if (await recorder.clip(event.id, stretch, join(host.data, clip))) await this.keep("clip", { ...event, clip });
        else host.warn(`no clip of ${event.id}: nothing was recorded`);
      } catch (error) {
        recorder.release(event.id);
        host.warn(`no clip of ${event.id}: ${reasonOf(error)}`);
      }
    })();
    this.clips.add(making);
    void making.finally(() => this.clips.delete(making));
  }
}

/** Where files of an event are, below the data folder, without their ending. */
function clipBase({ id, camera, start }: CameraEvent): string {
  return `clips/${camera}/${start.slice(0, 10)}/${id}`;
}
