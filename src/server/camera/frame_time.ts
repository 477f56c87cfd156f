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

/** Seconds that a camera's clock may differ from the machine's until times are set right. */
const DRIFT = 2;

/**
 * The times of a connection's frames. Frame n is n / fps seconds after the first one. Packets come
 * in bursts, so the moment of arrival alone would be wrong by tenths of a second.
 */
export class FrameTimes {
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

  /** The time of a frame that arrives now. */
  of(index: number): FrameTime {
    const stream = index / this.fps;
    const arrival = this.clock.steady();
    this.first ??= { steady: arrival, wall: this.clock.wall() };
    const drift = arrival - (this.first.steady + stream);
    if (this.isLive && Math.abs(drift) > DRIFT) {
      this.first = { steady: this.first.steady + drift, wall: this.clock.wall() - 1000 * stream };
    }
    this.last = Math.max(this.last, this.first.steady + stream);
    this.clock.played?.(this.last + 1 / this.fps);
    return { steady: this.last, wall: Math.round(this.first.wall + 1000 * stream), stream };
  }
}
