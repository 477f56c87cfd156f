// What `score` writes for people who look: a page, a video, a list of events.

import { rmdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { counted } from "../../counted.js";
import type { FrameSource } from "../../data/frame.js";
import { KeptFrames } from "../../data/kept_frames.js";
import type { MapKind } from "../../detector/frame_score.js";
import type { FrameScore } from "../../detector/scores.js";
import { comparable } from "../../detector/settings.js";
import type { ScoreMap } from "../../detector/token_maps.js";
import { InputError } from "../../errors.js";
import { findRegions, type Region } from "../../eval/regions.js";
import type { Detector } from "../../node/detector.js";
import { AtomicFile, makeFolder } from "../../node/files/atomic.js";
import { calibrationPath, readCalibration, type StoredCalibration } from "../../node/files/calibration_file.js";
import { weightsHash } from "../../node/files/weights_hash.js";
import { openInput } from "../../node/media/open.js";
import { checkVideoPath, VideoWriter } from "../../node/media/video_writer.js";
import { fold, rate } from "../../report/calibration/texts.js";
import { VideoReport } from "../../report/evaluation/video_report.js";
import { Painter } from "../../report/video/painter.js";
import * as format from "../../report/web/format.js";
import { usualAlarmRule } from "../../watch/alarm_rule.js";
import { alarmsAt, NormalCollector } from "../../watch/calibration.js";
import { EventFinder, type Thresholds, type WatchEvent } from "../../watch/events.js";
import { MapAverage } from "../../watch/map_average.js";
import { mapQuantiles, ValueSample } from "../../watch/value_sample.js";
import { regionMap, watchNormal } from "../normal_video.js";
import { withLogin } from "../options/input.js";
import { mapForDetector } from "../options/measure.js";
import { usualFps, usualQuantile, type WatchOptions } from "../options/watch.js";
import { alarmRuleText, frameScoreText, machineFacts, modelFacts } from "../terminal/facts.js";
import { Progress } from "../terminal/progress.js";
import { refuseOutputs } from "./refuse.js";

/** The columns of --events: numbers of frames, seconds, the highest level, its box in pixels. */
const columns = "event,start_frame,end_frame,peak_frame,start,end,peak,score,x1,y1,x2,y2\n";
/** Frames between two looks at the range of the map's values. */
const rangeEvery = 20;

/** A threshold, and where it comes from. */
interface Decision extends Thresholds {
  /** For the reader. */
  origin: string;
  /** Map values of normal video. */
  map?: { low: number; high: number };
}

/** The caller's side. */
export interface OutputContext {
  /** The source's name. */
  input: string;
  checkpoint: string;
  /** What the report calls it. Default: its file's name. */
  checkpointName?: string;
  quiet: boolean;
  say: (line: string) => void;
  signal: AbortSignal;
}

/** Whether an option asks for more than scores, so that the detector needs `tokenMaps`. */
export function wantsOutputs({ report, video, events }: WatchOptions): boolean {
  return report !== undefined || video !== undefined || events !== undefined;
}

/** Writes what the options ask for while a video is scored. */
export class ScoreOutputs {
  private madeFolder = false;
  private eventsFile?: AtomicFile;
  private writer?: VideoWriter;
  private kept?: KeptFrames;
  private painter?: Painter;
  private page?: VideoReport;
  private decision?: Decision;
  private finder?: EventFinder;
  private kind: MapKind = "error";
  private detector!: Detector;
  private fps = usualFps;
  private hasClock = false;
  private readonly average = new MapAverage();
  private readonly sample = new ValueSample();
  private range = { low: 0, high: 0 };
  private frames = 0;
  private events = 0;
  private abnormalSeconds = 0;
  private lastTime = 0;
  private top?: { level: number; frame: number };
  private done = false;

  private constructor(
    private readonly options: WatchOptions,
    private readonly context: OutputContext,
  ) {}

  /**
   * Checks the options and opens the files, before anything is computed.
   * @throws InputError if a file cannot be written, or an option has no effect
   */
  static async open(options: WatchOptions, context: OutputContext): Promise<ScoreOutputs> {
    const { report, video, events, threshold, normal, normalQuantile, calibration, fps } = options;
    if (!wantsOutputs(options)) {
      const useless = Object.entries({ threshold, normal, calibration, fps }).find(([, value]) => value !== undefined);
      if (useless) throw new InputError(`--${useless[0]} has no effect without --report, --video or --events`);
    }
    if (normalQuantile !== undefined && normal === undefined) {
      throw new InputError("--normal-quantile has no effect without --normal");
    }
    if (events !== undefined && !/\.csv$/i.test(events)) {
      throw new InputError(`--events ${events}: the name must end in .csv`);
    }
    await refuseOutputs({ json: events });
    if (video !== undefined) {
      await checkVideoPath(video, "--video");
      if (await isSameFile(video, context.input)) throw new InputError(`--video ${video} is the input itself`);
    }
    const outputs = new ScoreOutputs(options, context);
    try {
      if (report !== undefined) outputs.madeFolder = await makeFolder(report, `--report ${report}`);
      if (events !== undefined) outputs.eventsFile = await AtomicFile.create(events);
    } catch (error) {
      await outputs.discard();
      throw error;
    }
    return outputs;
  }

  /**
   * Decides the threshold, and prepares the video.
   * @returns the source to score, whose frames are kept until their scores come
   * @throws InputError if the threshold cannot be found, or none is given for --events
   */
  async start(detector: Detector, source: FrameSource): Promise<FrameSource> {
    const { options, context } = this;
    if (!wantsOutputs(options)) return source;
    this.detector = detector;
    this.kind = mapForDetector(detector);
    this.fps = options.fps ?? source.fps ?? usualFps;
    this.decision = await this.decide();
    const { decision } = this;
    if (decision) {
      context.say(`threshold ${format.score(decision.threshold)}: ${decision.origin}`);
      this.finder = new EventFinder(decision, usualAlarmRule);
      if (decision.map) this.range = decision.map;
    } else {
      const how = "give --threshold or --normal VIDEO, or run `sdmae calibrate` first";
      if (options.events !== undefined) throw new InputError(`--events needs a threshold: ${how}`);
      context.say(`without a threshold no events and no boxes are shown: ${how}`);
    }
    await this.eventsFile?.write(columns);
    if (options.video !== undefined) {
      this.painter = new Painter(source, this.fps, decision?.threshold);
      const { width, height } = this.painter;
      this.writer = await VideoWriter.create(options.video, { width, height, fps: this.fps });
    }
    if (options.report !== undefined) this.page = new VideoReport(basename(context.input), decision !== undefined);
    this.kept = new KeptFrames(source);
    return this.kept.source;
  }

  /** Takes the next frame's score. @throws InputError if a file cannot be written */
  async take(result: FrameScore): Promise<void> {
    if (!this.kept) return;
    const { index, score } = result;
    const frame = this.kept.take(index);
    if (result.time === undefined && index === 0 && this.options.fps === undefined) {
      this.context.say(`the frames have no clock: ${this.fps} per second are assumed (--fps)`);
    }
    this.hasClock = result.time !== undefined || this.options.fps !== undefined;
    const time = result.time ?? index / this.fps;
    // 1. The map, and the range of its values.
    const map = this.average.push(regionMap(result, this.detector, this.kind), time);
    this.sample.add(map.data);
    if (this.frames % rangeEvery === 0) this.updateRange();
    // 2. Events.
    const regions = this.decision ? this.regionsOf(map, frame) : [];
    const [box] = regions;
    const change = this.finder?.push({ frame: result.frame, time, score, ...(box && { box }) });
    const level = this.finder?.level ?? this.plainLevel(time, score);
    const current = this.finder?.current;
    if (change?.kind === "end") await this.endEvent(change.event);
    if (!this.top || level > this.top.level) this.top = { level, frame: result.frame };
    // 3. What people look at.
    await this.page?.take(frame, map, score, level, current, this.finder?.isRising);
    if (this.painter && this.writer) {
      const overlay = { map, range: this.range, boxes: regions, level, isAbnormal: current !== undefined };
      await this.writer.write(this.painter.paint({ ...frame, time: this.hasClock ? time : undefined }, overlay));
    }
    this.frames++;
    this.lastTime = time;
  }

  /**
   * Completes the files.
   * @returns lines for the user
   * @throws InputError if one cannot be written
   */
  async finish(): Promise<string[]> {
    if (!this.kept) return [];
    const { options, decision } = this;
    const last = this.finder?.finish();
    if (last) await this.endEvent(last.event);
    this.updateRange();
    const lines: string[] = [];
    if (decision) {
      const count = counted(this.events, "event");
      lines.push(
        `${count} at or above ${format.score(decision.threshold)}, ${this.abnormalSeconds.toFixed(1)} s in all`,
      );
    }
    await this.writer?.commit();
    if (options.video !== undefined) lines.push(`video: ${options.video}`);
    await this.eventsFile?.commit();
    if (options.events !== undefined) lines.push(`events: ${options.events}`);
    if (this.page && options.report !== undefined) {
      const path = join(options.report, "index.html");
      await this.page.write(path, this.texts(), this.range);
      lines.push(`report: ${path}`);
    }
    this.done = true;
    return lines;
  }

  /** Removes what is not complete. */
  async discard(): Promise<void> {
    await this.writer?.discard();
    await this.eventsFile?.discard();
    // A folder of its own goes too, if it is empty.
    if (!this.done && this.madeFolder && this.options.report !== undefined) {
      await rmdir(this.options.report).catch(() => undefined);
    }
  }

  private readonly unwatched = new EventFinder({ threshold: Number.POSITIVE_INFINITY }, usualAlarmRule);

  /** The level of a video without a threshold. */
  private plainLevel(time: number, score: number): number {
    this.unwatched.push({ frame: 0, time, score });
    return this.unwatched.level;
  }

  private async endEvent(event: WatchEvent): Promise<void> {
    this.events++;
    // The last frame lasts, too.
    const seconds = event.end.time - event.start.time + 1 / this.fps;
    this.abnormalSeconds += seconds;
    await this.page?.endEvent(event, seconds);
    await this.eventsFile?.write(eventLine(event, this.hasClock));
  }

  /**
   * The abnormal regions, the highest first: where the map reaches its high values of normal video,
   * or half of the way up to the frame's strongest place if that is lower.
   */
  private regionsOf(map: ScoreMap, size: { width: number; height: number }): Region[] {
    const peak = map.data.reduce((most, value) => Math.max(most, value), 0);
    const half = Math.min(peak, this.range.low + (peak - this.range.low) / 2);
    const threshold = Math.min(half, this.decision?.map?.high ?? half);
    return findRegions(map, Math.max(threshold, 0), size).sort((a, b) => b.score - a.score);
  }

  private updateRange(): void {
    const normal = this.decision?.map;
    const low = normal?.low ?? this.sample.quantile(mapQuantiles.low);
    this.range = { low, high: Math.max(this.sample.quantile(mapQuantiles.high), normal?.high ?? 0, low) };
  }

  private async decide(): Promise<Decision | undefined> {
    const { threshold, normal } = this.options;
    if (threshold !== undefined) return { threshold, origin: "as given" };
    if (normal !== undefined) return this.fromNormal(normal);
    const named = this.options.calibration;
    const path = named ?? calibrationPath(this.context.checkpoint);
    const found = await readCalibration(path);
    if (!found && named !== undefined) throw new InputError(`${named} cannot be read: no such file or folder`);
    return found && this.fromCalibration(found, path);
  }

  private fromCalibration(found: StoredCalibration, path: string): Decision {
    const { detector } = this;
    const again = "calibrate again, or give --threshold or --normal";
    if (found.model !== weightsHash(detector.checkpoint.weights)) {
      throw new InputError(`${path} was made with another model: ${again}`);
    }
    if (found.settings !== comparable(detector.settings)) {
      throw new InputError(`${path} was made with other settings, so its scores cannot be compared: ${again}`);
    }
    const { threshold, normal, alarmsPerDay, extrapolation, map } = found;
    const from = extrapolation > 1 ? `, extrapolated ${fold(extrapolation)}-fold` : "";
    return { threshold, normal, map, origin: `for ${rate(alarmsPerDay)}${from} (${path})` };
  }

  private async fromNormal(normal: string): Promise<Decision> {
    const { detector, kind, context } = this;
    const source = await openInput(withLogin(normal), { signal: context.signal });
    const collector = new NormalCollector(usualAlarmRule);
    const sample = new ValueSample();
    const total = source.frameCount ?? source.estimatedFrameCount;
    const progress = new Progress("frames of the normal video", total, context.quiet, true);
    const fps = this.options.fps ?? source.fps ?? usualFps;
    try {
      await watchNormal(detector, source, { collector, sample, kind, fps }, context.signal, () => progress.advance());
    } finally {
      progress.stop();
    }
    const q = this.options.normalQuantile ?? usualQuantile;
    const levels = collector.finish();
    const threshold = collector.quantile(q);
    const alarms = alarmsAt(levels, threshold);
    const perHour = (3600 * alarms) / levels.seconds;
    return {
      ...{ threshold, normal: levels.median },
      origin:
        `the ${q} quantile of the normal video ${source.name}, which raises ${counted(alarms, "false alarm")} ` +
        `in ${format.duration(levels.seconds)} (${Number(perHour.toPrecision(2))} per hour)`,
      map: { low: sample.quantile(mapQuantiles.low), high: sample.quantile(mapQuantiles.high) },
    };
  }

  private texts(): Parameters<VideoReport["write"]>[1] {
    const { detector, decision, context, page } = this;
    const { frameScore, score, norm } = detector.settings;
    const seconds = this.lastTime + 1 / this.fps;
    const share = ((100 * this.abnormalSeconds) / seconds).toFixed(1);
    const step = page?.framesPerPoint ?? 1;
    return {
      title: `${basename(context.input)}, ${basename(context.checkpointName ?? context.checkpoint)}`,
      metrics: [
        ...(decision
          ? [
              { name: "Events", text: String(this.events), note: "times that the score reached the threshold" },
              { name: "Abnormal", text: `${this.abnormalSeconds.toFixed(1)} s`, note: `${share} % of the video` },
            ]
          : []),
        { name: "Video", text: format.duration(seconds), note: counted(this.frames, "frame") },
        {
          name: "Highest score",
          text: format.score(this.top?.level),
          note: `averaged over ${usualAlarmRule.average} s, at frame ${this.top?.frame ?? "-"}`,
        },
      ],
      ...(decision && { threshold: decision.threshold, thresholdNote: decision.origin }),
      notes: [
        ...(decision ? [] : ["No threshold was given, so no events are marked."]),
        ...(step > 1 ? [`The video is long: each point of the curve is the highest score of ${step} frames.`] : []),
      ],
      facts: [
        ["video", context.input],
        ...modelFacts(detector),
        ["frame score", frameScoreText({ ...frameScore, rule: score }, norm)],
        ["regions", `found in the map ${this.kind}`],
        ...(decision ? [["threshold", `${format.score(decision.threshold)}: ${decision.origin}`] as const] : []),
        ["events", alarmRuleText(usualAlarmRule)],
        ...machineFacts(detector),
      ],
    };
  }
}

/** Whether two paths, which need not exist, name one file. */
async function isSameFile(a: string, b: string): Promise<boolean> {
  const [one, other] = await Promise.all([a, b].map((path) => stat(path).catch(() => undefined)));
  return one !== undefined && one.ino === other?.ino && one.dev === other.dev;
}

function eventLine({ id, start, end, peak }: WatchEvent, hasClock: boolean): string {
  const seconds = [start, end, peak].map(({ time }) => (hasClock ? Number(time.toFixed(6)) : ""));
  const { x1, y1, x2, y2 } = peak.box ?? {};
  const box = [x1, y1, x2, y2].map((value) => value ?? "");
  const cells = [id, start.frame, end.frame, peak.frame, ...seconds, Number(peak.level.toPrecision(9)), ...box];
  return `${cells.join(",")}\n`;
}
