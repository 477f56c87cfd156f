// When a frame was: by the stream's clock, held to this machine's.

/** When a frame was. */
export interface FrameTime {
  /** Seconds on a clock that never steps back, for durations. */
  steady: number;
  /** Milliseconds since 1970, for people. */
  wall: number;
  /** Seconds of the connection's clock, for its recording. */
  stream: number;
}

/** Both clocks of this machine. */
export interface MachineClock {
  /** Seconds; never steps back. */
  steady(): number;
  /** Milliseconds since 1970; somebody may set it. */
  wall(): number;
  /** For a clock that frames drive: a file was played until then, in seconds. */
  played?(until: number): void;
}

/** This machine's clocks. */
export const machineClock: MachineClock = { steady: () => performance.now() / 1000, wall: () => Date.now() };

/** The clock of a file that is read fast: its frames drive it, over all connections. */
export class PlayClock implements MachineClock {
  private seconds = machineClock.steady();
  private readonly begin = machineClock.wall() - 1000 * this.seconds;

  steady(): number {
    return this.seconds;
  }

  wall(): number {
    return this.begin + 1000 * this.seconds;
  }

  played(until: number): void {
    this.seconds = until;
  }
}

/** The times of a connection's frames. */
export interface Times {
  /** The time of a frame, asked for when it arrives; frames are counted from 0. */
  of(index: number): FrameTime;
  /** Whether frames are missing before this one. */
  isGap?(index: number): boolean;
}

/** Seconds that a camera's clock may differ from the machine's until times are set right. */
const DRIFT = 2;

/**
 * The times of a connection's frames. Frame n is n / fps seconds after the first one. Packets come
 * in bursts, so the moment of arrival alone would be wrong by tenths of a second.
 *
 * If somebody sets the machine's clock, `wall` follows, and `steady` does not.
 */
export class FrameTimes implements Times {
  private first: { steady: number; wall: number } | undefined;
  private last = Number.NEGATIVE_INFINITY;

  /**
   * @param isLive whether frames come as time passes; a file that is read faster keeps its times
   */
  constructor(
    private readonly fps: number,
    private readonly isLive: boolean,
    private readonly clock: MachineClock = machineClock,
  ) {}

  of(index: number): FrameTime {
    const stream = index / this.fps;
    const arrival = this.clock.steady();
    const now = this.clock.wall();
    this.first ??= { steady: arrival, wall: now };
    const drift = arrival - (this.first.steady + stream);
    const isSet = Math.abs(now - this.first.wall - 1000 * (arrival - this.first.steady)) > 1000 * DRIFT;
    if (this.isLive && (isSet || Math.abs(drift) > DRIFT)) {
      this.first = { steady: this.first.steady + drift, wall: now - 1000 * stream };
    }
    this.last = Math.max(this.last, this.first.steady + stream);
    this.clock.played?.(this.last + 1 / this.fps);
    return { steady: this.last, wall: Math.round(this.first.wall + 1000 * stream), stream };
  }
}

/**
 * The clock of what was recorded into a folder: `steady` goes with the times of the recordings, not
 * with those at which they are read. It never steps back, from one recording to the next either.
 */
export class RecordedClock {
  /** Seconds from 1970 on `wall` to 0 on `steady`. */
  private offset: number | undefined;
  private last = Number.NEGATIVE_INFINITY;

  constructor(private readonly machine: MachineClock = machineClock) {}

  /** @param wall milliseconds since 1970 */
  at(wall: number, stream: number): FrameTime {
    this.offset ??= this.machine.steady() - wall / 1000;
    const steady = wall / 1000 + this.offset;
    // A recording that is older than the one before, or overlaps it, goes on from there.
    if (steady < this.last) this.offset += this.last - steady;
    this.last = Math.max(this.last, steady);
    return { steady: this.last, wall: Math.round(wall), stream };
  }
}

/** The times of a recording whose begin is known. */
export class RecordingTimes implements Times {
  /** @param start milliseconds since 1970 */
  constructor(
    private readonly fps: number,
    private readonly start: number,
    private readonly clock: RecordedClock,
  ) {}

  of(index: number): FrameTime {
    const stream = index / this.fps;
    return this.clock.at(this.start + 1000 * stream, stream);
  }
}

/** More frames than this may not be missing between neighbours. */
const MOST_MISSING = 2;

/** The times of images, each with its own. */
export class ImageTimes implements Times {
  private readonly waiting: { wall: number; isGap: boolean }[] = [];
  /** Of the first image, and how many frames later the last one was. */
  private first: number | undefined;
  private tick = 0;
  private taken = 0;

  constructor(
    private readonly fps: number,
    private readonly clock: RecordedClock,
  ) {}

  /**
   * An image comes.
   * @param wall milliseconds since 1970
   * @returns false if it comes too soon after the one before to be a frame
   */
  add(wall: number): boolean {
    const isFirst = this.first === undefined;
    this.first ??= wall;
    // Images of the wanted rate may come a little too early.
    const tick = Math.floor(((wall - this.first) * this.fps) / 1000 + 0.3);
    if (!isFirst && tick <= this.tick) return false;
    this.waiting.push({ wall, isGap: tick - this.tick > MOST_MISSING + 1 });
    this.tick = tick;
    return true;
  }

  isGap(index: number): boolean {
    return this.waiting[index - this.taken]?.isGap ?? false;
  }

  of(index: number): FrameTime {
    // ffmpeg gives one frame for each image.
    const { wall } = this.waiting[Math.min(index - this.taken, this.waiting.length - 1)];
    this.waiting.splice(0, index - this.taken);
    this.taken = index;
    return this.clock.at(wall, index / this.fps);
  }
}
