// What ffmpeg's log says of a video: its format, its stream, and the time of every frame.
import { type FfmpegLine, libavutilVersion } from "./ffmpeg.js";

/** Frames are named to the log by this filter. It stands first: sizes are those of the decoder. */
export const FRAME_LOG = "showinfo";

/** This option names packets to the log: those that can be decoded, and those that cannot. */
export const PACKET_LOG = "-debug_ts";

/** A decoded frame, as the log names it. */
export interface LoggedFrame {
  /** On the stream's own clock; undefined if the frame has no time stamp. */
  ticks: number | undefined;
  width: number;
  height: number;
}

/** Takes in ffmpeg's log, line by line ("-v repeat+level+info", with {@link FRAME_LOG}). */
export class VideoLog {
  /** The container's format, such as "mov,mp4,m4a,3gp,3g2,mj2". */
  format: string | undefined;
  hasVideo = false;
  private exactRate: number | undefined;
  /** ffmpeg prints two decimals. */
  private averageRate: number | undefined;
  /** In seconds, by the container's header. */
  private duration: number | undefined;
  /** When the first coded picture is due, on the stream's own clock ({@link PACKET_LOG}). */
  firstPacket: number | undefined;
  /** Major and minor version of libavutil. */
  version: readonly [number, number] | undefined;
  /** A tick of the stream's clock: `unit` / `per` seconds. */
  private readonly clock = { unit: 0, per: 1 };
  private isInput = false;

  /** @param onFrame called for every frame, before its bytes are written */
  constructor(private readonly onFrame: (frame: LoggedFrame) => void = () => {}) {}

  add({ sender, level, text }: FfmpegLine): void {
    if (sender.includes("[Parsed_showinfo_")) this.addFrame(text);
    else if (level === "info") {
      // Whoever reads the packets says this: the program itself, or since FFmpeg 7 a part of it.
      const packet = /^demuxer -> .*\btype:video .*?\bpkt_pts:(-?\d+) /.exec(text);
      if (packet) this.firstPacket ??= Number(packet[1]);
      else if (sender === "") this.addHeader(text);
    }
  }

  /** Frames per second of the stream: exact if it is constant, an average else. */
  get frameRate(): number | undefined {
    return this.exactRate ?? this.averageRate;
  }

  /** How many frames there should be, by duration and rate. */
  get frameCount(): number | undefined {
    const { averageRate = 0, exactRate } = this;
    // At a variable rate the average is the better one, unless two decimals are too few.
    const rate = averageRate >= 1 ? averageRate : exactRate;
    return rate && this.duration ? Math.round(rate * this.duration) : undefined;
  }

  private addHeader(text: string): void {
    this.version ??= libavutilVersion(text);
    const format = /^Input #0, ([^']*), from /.exec(text)?.[1];
    if (format !== undefined) {
      this.format ??= format;
      this.isInput = true;
    }
    if (/^(Stream mapping:|Output #)/.test(text)) this.isInput = false;
    if (!this.isInput) return;
    if (/^\s+Stream #0:\d+.*?: Video: /.test(text)) {
      this.hasVideo = true;
      this.averageRate ??= Number(/, ([\d.]+) fps\b/.exec(text)?.[1]) || undefined;
    }
    const time = /^\s+Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)/.exec(text);
    if (time) this.duration ??= Number(time[1]) * 3600 + Number(time[2]) * 60 + Number(time[3]);
  }

  private addFrame(text: string): void {
    const config = /^config in time_base: (\d+)\/(\d+), frame_rate: (\d+)\/(\d+)/.exec(text);
    if (config) {
      const [unit, per, frames, seconds] = config.slice(1).map(Number);
      if (unit > 0 && per > 0) Object.assign(this.clock, { unit, per });
      this.exactRate ??= exactRate(frames / seconds, per / unit);
      return;
    }
    const frame = /^n: *\d+ pts: *(-?\d+|NOPTS) .*? s:(\d+)x(\d+) /.exec(text);
    if (!frame) return;
    const [pts, width, height] = frame.slice(1).map(Number);
    this.onFrame({ ticks: Number.isNaN(pts) || this.clock.unit === 0 ? undefined : pts, width, height });
  }

  /** A span of the stream's clock in seconds. */
  seconds(ticks: number): number {
    return (ticks * this.clock.unit) / this.clock.per;
  }
}

/**
 * ffmpeg gives the clock's rate (90,000, 1,000) for a stream whose frame rate it does not know, and
 * rounds NTSC's rates (n · 1000/1001) to two decimals where a container does.
 * @param clock ticks per second
 */
function exactRate(rate: number, clock: number): number | undefined {
  if (!(rate > 0) || !Number.isFinite(rate) || (rate >= clock && rate >= 1000)) return undefined;
  const ntsc = (Math.ceil(rate) * 1000) / 1001;
  return Math.abs(rate - ntsc) < 0.006 && rate % 1 !== 0 && rate > 5 ? ntsc : rate;
}
