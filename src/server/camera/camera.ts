// A camera: connects again and again, shows its pictures, and makes events of frames and scores.
import type { ScoreSettings } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import { reasonOf } from "../../node/files/messages.js";
import type { CameraMode } from "../../watch/scene_change.js";
import { Backoff, pause } from "../backoff.js";
import { type CapturedFrame, capture, type Segment } from "../capture.js";
import type { CameraConfig } from "../config/config.js";
import { MOST_UNSCORED } from "../engine/engine.js";
import type { EngineFrame, EngineScore } from "../engine/messages.js";
import { Ending, type EventChange } from "../records.js";
import { Decisions, OFFLINE_AFTER, type Outcome } from "./decisions.js";
import { EventKeeper } from "./event_keeper.js";
import { type FrameTime, type MachineClock, machineClock, PlayClock, type Times } from "./frame_time.js";
import { FROZEN, FrozenPicture } from "./frozen.js";
import { HardwareDecoding } from "./hardware.js";
import type { Known } from "./known.js";
import type { NormalState } from "./learner.js";
import { NormalKeeper } from "./normal_keeper.js";
import { normalFolder } from "./normal_video.js";
import { RecentPictures } from "./pictures.js";
import { Recording } from "./recording.js";
import { ScoredShare, slownessText } from "./scored_share.js";
import { CameraSource, type CameraSourceOptions, type Reading } from "./source.js";
import { UnscoredFrames } from "./unscored.js";

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

/**
 * Whether frames come. `waiting`: a folder has had no new file yet; `ended`: a file was played to
 * its end.
 */
export type CameraStatus = "connecting" | "waiting" | "online" | "offline" | "ended" | "off";

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
/** Seconds since the last score after which nobody knows whether the video is normal. */
const SCORED = 5;
/** Seconds between an event and normal video, besides how long an anomaly takes to be one. */
const FROM_EVENT = 10;
/** Frames of a folder that may wait for their scores: a frame needs those up to three later. */
const MOST_AHEAD = 5;
/** Seconds for which frames of a folder wait until the ones before have been scored. */
const PATIENCE = 60;
/** Seconds between attempts to send a frame that must not be lost. */
const SEND_AGAIN = 0.05;

/** A camera that is watched. */
export class Camera {
  status: CameraStatus = "connecting";
  /** Why it is offline. */
  problem: string | undefined;
  /** The last picture, as JPEG. */
  picture: Uint8Array | undefined;
  /** The last frame's outcome. */
  outcome: Outcome | undefined;
  /** Milliseconds since 1970 of the last frame. */
  lastFrame = Number.NaN;
  readonly decisions: Decisions;
  private readonly clock: MachineClock;
  private readonly backoff = new Backoff({ first: 1, most: 60 });
  private readonly counted = { frames: 0, scored: 0, reconnects: 0 };
  private readonly unscored: UnscoredFrames;
  private readonly events: EventKeeper;
  private readonly source: CameraSource;
  private readonly hardware: HardwareDecoding;
  /** Whether a file was played to its end. */
  private isEnded = false;
  /** Ends the connection, which is then made again. */
  private restart: () => void = () => {};
  private recording: Recording | undefined;
  private normal: NormalKeeper | undefined;
  private readonly pictures = new RecentPictures();
  /** The picture of the frame whose score is taken in now. */
  private scoredPicture: Uint8Array | undefined;
  private number = 0;
  /** Whether the engine took the last frame. */
  private isSent = true;
  private seen: number;
  private readonly frozen = new FrozenPicture();
  private readonly share = new ScoredShare();

  /** @throws InputError if the schedule is wrong */
  constructor(
    readonly config: CameraConfig,
    private readonly host: CameraHost,
    private readonly play: PlayOptions = {},
  ) {
    this.clock = host.clock ?? (play.fast ? new PlayClock() : machineClock);
    this.seen = this.clock.steady();
    const warn = (line: string) => host.warn(line);
    const onWait = () => {
      if (this.status === "connecting") this.status = "waiting";
    };
    this.source = new CameraSource({ ...config, ...play, clock: this.clock, warn, onWait });
    this.unscored = new UnscoredFrames({
      most: play.fast ? MOST_UNSCORED : MOST_AHEAD,
      patience: play.fast ? Number.POSITIVE_INFINITY : PATIENCE,
      clock: this.clock,
    });
    this.events = new EventKeeper({ ...host, clip: config.clip, clock: this.clock });
    this.hardware = new HardwareDecoding(config.hardwareDecoding, warn);
    this.decisions = new Decisions(config, {
      newId: host.newId,
      emit: (change, event, time) => {
        this.events.take(change, event, this.recording?.at(time), this.scoredPicture ?? this.picture);
      },
      learnt: (mode, state) => host.learnt(mode, state),
      ...(play.learnFirst !== undefined && { learnFirst: play.learnFirst }),
    });
  }

  /** What is counted. */
  get counts(): CameraCounts {
    return { ...this.counted, dropped: this.unscored.dropped };
  }

  /** Seconds from a frame's arrival to its score, the last one. */
  get latency(): number {
    return this.unscored.latency;
  }

  /** Says that the machine does not keep up; undefined if it does, or no frames come. */
  get slowness(): string | undefined {
    const { low } = this.share;
    return low === undefined || this.status !== "online" ? undefined : slownessText(low, this.config.fps);
  }

  /** Watches until the signal ends it, or a file ends. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    this.recording = await Recording.open(this.config, { ...this.host, clock: this.clock });
    this.events.recorder = this.recording?.recorder;
    this.normal = await this.openKeeper();
    const ended = new AbortController();
    const recording = this.recording?.recordOther(AbortSignal.any([signal, ended.signal]));
    while (!signal.aborted) {
      const why = await this.connect(signal);
      if (signal.aborted) break;
      if (why === undefined && (this.play.loop || !this.isEnded)) continue;
      if (why === undefined) {
        this.status = "ended";
        break;
      }
      this.counted.reconnects++;
      await this.wait(this.backoff.next(), why ?? "", signal);
    }
    const { reason } = signal;
    const why = reason instanceof Ending ? reason.message : "the process has ended";
    this.decisions.close(this.now, signal.aborted ? why : "the video is over");
    ended.abort();
    await recording;
    await this.normal?.close();
    await this.events.close();
  }

  private async openKeeper(): Promise<NormalKeeper | undefined> {
    const { host, clock, config } = this;
    const recorder = this.recording?.recorder;
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

  /** The disk has become full, or has room again: the recording stops or begins. */
  roomChanged(): void {
    if (this.recording?.roomChanged()) this.restart();
  }

  /**
   * The engine is ready.
   * @param known what was learnt with this model and these settings
   * @param why an anomaly that goes on ends
   */
  ready(settings: ScoreSettings, known: Known, why?: string): void {
    // The engine has none of the frames before.
    this.number += GAP;
    this.decisions.gap(this.number);
    this.decisions.ready(settings, known, why);
    this.unscored.ready();
    this.share.restart();
  }

  /** The engine is gone: no scores come. */
  blind(): void {
    this.unscored.blind();
    this.share.restart();
    this.decisions.blind();
    this.outcome = undefined;
    // The next engine does not have the frames before.
    this.number += GAP;
    this.decisions.gap(this.number);
  }

  /** Takes in a frame's score. */
  score(score: EngineScore): void {
    const arrival = this.unscored.arrivalOf(score.number);
    this.unscored.score(score.number);
    this.counted.scored++;
    this.share.scored();
    this.scoredPicture = arrival === undefined ? undefined : this.pictures.near(arrival);
    const outcome = this.decisions.score(score);
    if (outcome) this.events.seen(outcome, this.scoredPicture ?? this.picture);
    this.scoredPicture = undefined;
    if (!outcome) return;
    this.outcome = outcome;
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
      this.outcome = undefined;
      if (!signal.aborted) this.decisions.lost(why, this.clock.steady() - this.seen, this.now);
      return why;
    }
  }

  /** Reads until it ends, or is to be read again. @throws Error that says why it was lost */
  private async read({ source, times, kind }: Reading, signal: AbortSignal): Promise<undefined> {
    const { config, host, recording, clock, play } = this;
    const recorded = recording?.connect();
    this.number += GAP;
    this.unscored.connected(this.number);
    this.decisions.connected(this.number);
    const stop = new AbortController();
    let isRestart = false;
    this.restart = () => {
      isRestart = kind === "stream";
      if (isRestart) stop.abort(new InputError("the recording changes"));
    };
    const began = clock.steady();
    let hasFrame = false;
    const all = AbortSignal.any([signal, stop.signal]);
    const listener = {
      onFrame: async (frame: CapturedFrame) => {
        if (!hasFrame) this.hardware.works();
        hasFrame = true;
        if (clock.steady() - began > GOOD || kind !== "stream") this.backoff.reset();
        if (kind === "stream" && this.frozen.push(frame.data, clock.steady()))
          stop.abort(new InputError(`the picture does not change for ${FROZEN} s`));
        else if (kind !== "stream" || play.fast) await this.takePatiently(frame, times, all);
        else this.take(frame, times);
      },
      onPicture: (jpeg: Uint8Array) => {
        this.picture = jpeg;
        this.pictures.add(jpeg, clock.steady());
      },
      onSegment: (segment: Segment) => recording?.recorder.add(segment),
    };
    const options = {
      ...{ source, fps: config.fps, ...host.size, privacy: config.privacy, fast: play.fast },
      ...(recorded && { segments: recorded.segments }),
      hardwareDecoding: this.hardware.setting,
    };
    try {
      await capture(options, recorded?.prefix ?? "", listener, all);
      this.isEnded = kind === "stream";
    } catch (error) {
      if (isRestart) return undefined;
      if (!hasFrame && !signal.aborted) this.hardware.failed(reasonOf(error));
      if (kind !== "recording" || signal.aborted) throw error;
      host.warn(reasonOf(error));
    } finally {
      this.normal?.interrupt();
      await recording?.disconnect();
    }
    if (kind !== "stream") await this.endPart(signal);
    return undefined;
  }

  /** A file of a folder has ended: the next one is another recording, and may come much later. */
  private async endPart(signal: AbortSignal): Promise<void> {
    // The last scores are on their way.
    await pause(0.5, signal);
    if (signal.aborted) return;
    this.decisions.connected(this.number + GAP, "the recording has ended");
    this.outcome = undefined;
  }

  /** Takes a frame of a folder, or of a file that is played fast, once the engine has room. */
  private async takePatiently(frame: CapturedFrame, times: Times, signal: AbortSignal): Promise<void> {
    await this.unscored.room(signal);
    if (signal.aborted) return;
    if (times.isGap?.(frame.index)) {
      this.number += GAP;
      this.decisions.gap(this.number);
    }
    const number = this.note(frame, times);
    while (!signal.aborted && !this.host.send({ number, data: frame.data })) await pause(SEND_AGAIN, signal);
  }

  private take(frame: CapturedFrame, times: Times): void {
    const number = this.note(frame, times);
    const wasSent = this.isSent;
    this.isSent = this.host.send({ number, data: frame.data });
    if (this.isSent) return;
    // A frame that is missing would leave its neighbours with wrong ones.
    this.unscored.refused(number);
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
    this.counted.frames++;
    const number = this.number++;
    this.decisions.frame(data, host.size, number, time);
    const isKnown = this.seen - this.unscored.scored < SCORED;
    this.normal?.frame(this.recording?.at(time), isKnown && this.decisions.isQuiet && host.canRecord());
    this.unscored.add(number, this.seen);
    if (this.share.frame(this.seen, this.counted)) host.warn(slownessText(this.share.low!, this.config.fps));
    return number;
  }
}
