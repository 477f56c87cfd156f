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
import { type CameraEvent, type ChangeKind, Ending, type EventChange } from "../records.js";
import { clipBase } from "../storage.js";
import { Decisions, OFFLINE_AFTER, type Outcome } from "./decisions.js";
import { type FrameTime, type MachineClock, machineClock, PlayClock, type Times } from "./frame_time.js";
import { FROZEN, FrozenPicture } from "./frozen.js";
import { HardwareDecoding } from "./hardware.js";
import type { Known } from "./known.js";
import type { NormalState } from "./learner.js";
import { NormalKeeper } from "./normal_keeper.js";
import { normalFolder } from "./normal_video.js";
import { Recorder } from "./recorder.js";
import { CameraSource, type CameraSourceOptions, type Reading } from "./source.js";

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
  /** How folders are watched. */
  folder?: CameraSourceOptions["folder"];
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
/** Seconds since the last score after which nobody knows whether the video is normal. */
const SCORED = 5;
/** Seconds between an event and normal video, besides how long an anomaly takes to be one. */
const FROM_EVENT = 10;
/** Frames of a recording that may wait for their scores: a frame needs those up to three later. */
const MOST_AHEAD = 5;
/** Seconds for which frames of a recording wait until the ones before have been scored. */
const PATIENCE = 60;

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
  private readonly source: CameraSource;
  private readonly hardware: HardwareDecoding;
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
  private normal: NormalKeeper | undefined;
  /** When the last score came. */
  private scored = Number.NEGATIVE_INFINITY;
  private connection = 0;
  private number = 0;
  /** Whether the engine took the last frame. */
  private isSent = true;
  private seen: number;
  private readonly frozen = new FrozenPicture();
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
    const warn = (line: string) => host.warn(line);
    this.source = new CameraSource({ ...config, ...play, clock: this.clock, warn });
    this.hardware = new HardwareDecoding(config.hardwareDecoding, warn);
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
      this.normal = await this.openKeeper();
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
    this.decisions.close(this.now, signal.reason instanceof Ending ? signal.reason.message : undefined);
    ended.abort();
    await recording;
    await this.normal?.close();
    await this.keeping;
    await Promise.all(this.clips);
  }

  private async openKeeper(): Promise<NormalKeeper | undefined> {
    const { recorder, host, clock, config } = this;
    const { id, normal, minimum } = config;
    if (!recorder || !normal) return undefined;
    const folder = normalFolder(host.data, id);
    const warn = (line: string) => host.warn(line);
    return NormalKeeper.open({ recorder, folder, ...normal, margin: FROM_EVENT + minimum, warn, clock });
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
    /** Why it failed, as it was said. */
    let said = "";
    while (recorder && !signal.aborted) {
      if (!host.canRecord()) {
        recorder.rest();
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
          said = "";
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
      this.recorded = undefined;
      await recorder.disconnect();
      if (signal.aborted) return;
      if (why !== said) host.warn(`the stream for clips: ${why}`);
      said = why;
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
    if (this.config.record === undefined && !this.isRecorded) return undefined;
    if (this.config.record === undefined) return { connection: this.connection, time: stream };
    return this.recorded && { connection: this.recorded.connection, time: steady - this.recorded.first };
  }

  /**
   * The engine is ready.
   * @param known what was learnt with this model and these settings
   * @param why an anomaly that goes on ends
   */
  ready(settings: ScoreSettings, known: Known, why?: string): void {
    this.giveUpScores();
    // The engine has none of the frames before.
    this.number += GAP;
    this.decisions.gap(this.number);
    this.decisions.ready(settings, known, why);
    this.isReady = true;
    this.proceed();
  }

  /** The engine is gone: no scores come. */
  blind(): void {
    this.isReady = false;
    this.giveUpScores();
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
    this.scored = this.clock.steady();
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
    try {
      return await this.read(await this.source.next(signal), signal);
    } catch (error) {
      const why = reasonOf(error);
      this.status = "offline";
      this.problem = why;
      if (!signal.aborted) this.decisions.lost(why, this.clock.steady() - this.seen, this.now);
      return why;
    }
  }

  /** Reads until it ends, or is to be read again. @throws Error that says why it was lost */
  private async read({ source, times, kind }: Reading, signal: AbortSignal): Promise<undefined> {
    const { config, host, recorder, clock } = this;
    const isRecorded = recorder !== undefined && config.record === undefined && host.canRecord();
    this.isRecorded = isRecorded;
    if (config.record === undefined && !isRecorded) recorder?.rest();
    const connected = isRecorded ? recorder.connect() : undefined;
    this.connection = connected?.connection ?? this.connection + 1;
    this.number += GAP;
    this.decisions.connected(this.number);
    const stop = new AbortController();
    let isRestart = false;
    this.restart = () => {
      isRestart = kind === "stream";
      if (isRestart) stop.abort(new InputError("the recording changes"));
    };
    const began = clock.steady();
    let hasFrame = false;
    const [first, all] = [this.number, AbortSignal.any([signal, stop.signal])];
    const onAbort = () => this.proceed();
    all.addEventListener("abort", onAbort, { once: true });
    const listener = {
      onFrame: async (frame: CapturedFrame) => {
        if (!hasFrame) this.hardware.works();
        hasFrame = true;
        if (clock.steady() - began > GOOD || kind !== "stream") this.backoff.reset();
        if (kind !== "stream") return this.takePatiently(frame, times, signal);
        if (this.play.fast) await this.room(first, all);
        if (this.frozen.push(frame.data, clock.steady()))
          stop.abort(new InputError(`the picture does not change for ${FROZEN} s`));
        else this.take(frame, times);
      },
      onPicture: (jpeg: Uint8Array) => {
        this.picture = jpeg;
      },
      onSegment: (segment: Segment) => recorder?.add(segment),
    };
    const options = {
      ...{ source, fps: config.fps, ...host.size, privacy: config.privacy, fast: this.play.fast },
      ...(isRecorded && { segments: recorder.folder }),
      hardwareDecoding: this.hardware.setting,
    };
    try {
      await capture(options, connected?.prefix ?? "", listener, all);
      this.isEnded = kind === "stream";
    } catch (error) {
      if (isRestart) return undefined;
      if (!hasFrame && !signal.aborted) this.hardware.failed(reasonOf(error));
      if (kind !== "recording" || signal.aborted) throw error;
      host.warn(reasonOf(error));
    } finally {
      // With a listener the signal would be kept as long as the process runs.
      all.removeEventListener("abort", onAbort);
      this.normal?.interrupt();
      if (isRecorded) await recorder.disconnect();
    }
    if (kind !== "stream") await this.endPart(signal);
    return undefined;
  }

  /** A file of a folder has ended: the next one is another recording, and may come much later. */
  private async endPart(signal: AbortSignal): Promise<void> {
    // The last scores are on their way.
    await pause(0.5, signal);
    if (!signal.aborted) this.decisions.connected(this.number + GAP, "the recording has ended");
  }

  /** Takes a frame of a folder, which waits until those before have been scored. */
  private async takePatiently(frame: CapturedFrame, times: Times, signal: AbortSignal): Promise<void> {
    const { arrivals, clock, host } = this;
    const until = clock.steady() + PATIENCE;
    while (arrivals.size >= MOST_AHEAD && clock.steady() < until && !signal.aborted) await pause(0.01, signal);
    if (arrivals.size >= MOST_AHEAD) this.giveUpScores();
    if (times.isGap?.(frame.index)) {
      this.number += GAP;
      this.decisions.gap(this.number);
    }
    const number = this.note(frame, times);
    while (!signal.aborted && !host.send({ number, data: frame.data })) await pause(0.05, signal);
  }

  /** Scores of the frames that were sent do not come any more. */
  private giveUpScores(): void {
    this.counts.dropped += this.arrivals.size;
    this.arrivals.clear();
  }

  private take(frame: CapturedFrame, times: Times): void {
    const number = this.note(frame, times);
    const wasSent = this.isSent;
    this.isSent = this.host.send({ number, data: frame.data });
    if (this.isSent) return;
    // A frame that is missing would leave its neighbours with wrong ones.
    this.arrivals.delete(number);
    this.counts.dropped++;
    if (wasSent) this.number += GAP;
    this.decisions.gap(this.number);
  }

  /** Notes that a frame has come. @returns its number */
  private note({ data, index }: CapturedFrame, times: Times): number {
    const { host, clock } = this;
    const time = times.of(index);
    this.status = "online";
    this.problem = undefined;
    this.seen = clock.steady();
    this.lastFrame = clock.wall();
    this.counts.frames++;
    const number = this.number++;
    this.decisions.frame(data, host.size, number, time);
    const isKnown = this.seen - this.scored < SCORED;
    this.normal?.frame(this.recordedAt(time), isKnown && this.decisions.isQuiet && host.canRecord());
    this.arrivals.set(number, this.seen);
    return number;
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
    // On a full disk what is left is for events.
    if (picture && this.host.canRecord()) {
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
