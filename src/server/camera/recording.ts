// What is recorded of a camera for clips: the stream that is scored, or another one.
import { join } from "node:path";
import { InputError } from "../../errors.js";
import { reasonOf } from "../../node/files/messages.js";
import { Backoff, pause } from "../backoff.js";
import { capture, type Segment } from "../capture.js";
import type { CameraConfig } from "../config/config.js";
import type { FrameTime, MachineClock } from "./frame_time.js";
import type { RecordedMoment } from "./normal_keeper.js";
import { Recorder } from "./recorder.js";

/** What a recording needs of its camera. */
export interface RecordingHost {
  /** The data folder. */
  data: string;
  clock: MachineClock;
  /** Whether the disk has room for it. */
  canRecord(): boolean;
  /** Takes in a line about a problem that ends nothing. */
  warn(line: string): void;
}

/** Seconds between looks for room on a full disk. */
const LOOK_FOR_ROOM = 10;

/** The recording of a camera. */
export class Recording {
  /** The connection to the scored stream, and whether it is recorded. */
  private connection = 0;
  private isRecorded = false;
  /** The connection to another stream, and when its recording began. */
  private other: { connection: number; first: number } | undefined;
  private stopOther: () => void = () => {};

  private constructor(
    private readonly config: Pick<CameraConfig, "record" | "privacy">,
    private readonly host: RecordingHost,
    readonly recorder: Recorder,
  ) {}

  /** @returns undefined if there are no clips, or its folder cannot be used, of which it warns */
  static async open(config: CameraConfig, host: RecordingHost): Promise<Recording | undefined> {
    if (!config.clip) return undefined;
    try {
      const recorder = await Recorder.open(join(host.data, "segments", config.id), config.clip.before);
      return new Recording(config, host, recorder);
    } catch (error) {
      host.warn(`nothing is recorded: ${reasonOf(error)}`);
      return undefined;
    }
  }

  /** A connection to the scored stream begins. @returns where its segments go, if it is recorded */
  connect(): { segments: string; prefix: string } | undefined {
    const { recorder, host, config } = this;
    if (config.record !== undefined) return undefined;
    this.isRecorded = host.canRecord();
    if (!this.isRecorded) {
      recorder.rest();
      return undefined;
    }
    const { connection, prefix } = recorder.connect();
    this.connection = connection;
    return { segments: recorder.folder, prefix };
  }

  /** The connection to the scored stream has ended. */
  async disconnect(): Promise<void> {
    if (this.isRecorded) await this.recorder.disconnect();
  }

  /** A moment on the clock of the recording; undefined if nothing is recorded. */
  at({ steady, stream }: FrameTime): RecordedMoment | undefined {
    const { other, connection } = this;
    if (this.config.record !== undefined) {
      return other && { connection: other.connection, time: steady - other.first };
    }
    return this.isRecorded ? { connection, time: stream } : undefined;
  }

  /**
   * The disk has become full, or has room again.
   * @returns whether the scored stream must be connected to again, to be recorded or not
   */
  roomChanged(): boolean {
    const canRecord = this.host.canRecord();
    if (this.config.record === undefined) return this.isRecorded !== canRecord;
    if (!canRecord) this.stopOther();
    return false;
  }

  /** Records another stream of the camera, if one is named, until the signal ends it. */
  async recordOther(signal: AbortSignal): Promise<void> {
    const { host, recorder, config } = this;
    if (config.record === undefined) return;
    const backoff = new Backoff({ first: 1, most: 60 });
    /** Why it failed, as it was said. */
    let said = "";
    const onWorking = () => {
      backoff.reset();
      said = "";
    };
    while (!signal.aborted) {
      if (!host.canRecord()) {
        recorder.rest();
        await pause(LOOK_FOR_ROOM, signal);
        continue;
      }
      const why = await this.connectOther(config.record, onWorking, signal);
      if (signal.aborted) return;
      if (why !== said) host.warn(`the stream for clips: ${why}`);
      said = why;
      await pause(backoff.next(), signal);
    }
  }

  /** One connection to the other stream, whose clock is this machine's. @returns why it ended */
  private async connectOther(source: string, onWorking: () => void, signal: AbortSignal): Promise<string> {
    const { recorder, config, host } = this;
    const { connection, prefix } = recorder.connect();
    /** It began at this time, or before. */
    const began = (time: number) => {
      if (!this.other) onWorking();
      this.other = { connection, first: Math.min(this.other?.first ?? time, time) };
    };
    const listener = {
      onFrame: () => {
        if (!this.other) began(host.clock.steady());
      },
      onSegment: (segment: Segment) => {
        // ffmpeg holds the first frame back until there are more key frames.
        began(host.clock.steady() - segment.end);
        recorder.add(segment);
      },
    };
    const size = { fps: 1, width: 16, height: 16, keyFramesOnly: true };
    const options = { source, ...size, privacy: config.privacy, segments: recorder.folder };
    const stop = new AbortController();
    this.stopOther = () => stop.abort(new InputError("the disk is nearly full"));
    const why = await capture(options, prefix, listener, AbortSignal.any([signal, stop.signal])).then(
      () => "the recording ended",
      (error: unknown) => reasonOf(error),
    );
    this.other = undefined;
    await recorder.disconnect();
    return why;
  }
}
