// From a camera's frames and scores to its events. It reads no video and writes no file.
import { isDeepStrictEqual } from "node:util";
import { type FrameScoreSettings, frameScore, mapOf, tokenMap } from "../../detector/frame_score.js";
import type { ScoreSettings } from "../../detector/settings.js";
import type { TokenMaps } from "../../detector/token_maps.js";
import { type AlarmRule, tolerance, usualAlarmRule } from "../../watch/alarm_rule.js";
import { EventFinder, type Thresholds, type WatchEvent } from "../../watch/events.js";
import { type LumaPicture, lumaPicture } from "../../watch/luma.js";
import { MapAverage } from "../../watch/map_average.js";
import { type CameraMode, DayOrInfrared, SceneChange } from "../../watch/scene_change.js";
import { localTime, parseSchedule, type Schedule } from "../../watch/schedule.js";
import { regionOf, tokensIn } from "../../watch/zones.js";
import type { CameraConfig } from "../config/config.js";
import type { CameraEvent, EventKind } from "../records.js";
import type { FrameTime } from "./frame_time.js";
import type { Known } from "./known.js";
import { Learner, type NormalState } from "./learner.js";
import { atRate } from "./thresholds.js";
import { UsualView, viewSize } from "./view.js";

/** What decisions are about. */
export type WatchedCamera = Pick<
  CameraConfig,
  | "id"
  | "threshold"
  | "alarmsPerDay"
  | "minimum"
  | "hold"
  | "cooldown"
  | "area"
  | "ignore"
  | "zones"
  | "schedule"
  | "shadow"
>;

/** What decisions need of the rest. */
export interface DecisionOptions {
  newId(camera: string, time: Date): string;
  /**
   * Takes in what became of an event.
   * @param event a copy
   * @param time of its begin if it is new, else of the change
   */
  emit(change: "new" | "update" | "end", event: CameraEvent, time: FrameTime): void;
  /** Keeps what was learnt of normal video in a mode. */
  learnt?(mode: CameraMode, state: NormalState): void;
  /** Seconds of video until the first threshold. */
  learnFirst?: number;
  /** What it usually shows, if that is known already. */
  view?: UsualView;
}

/** A frame's outcome, for those who look. */
export interface Outcome {
  time: FrameTime;
  /** NaN while nothing is decided: at the start of a connection, or while the scene changes. */
  level: number;
  /** Absent while it is being learnt. */
  threshold?: number;
  mode: CameraMode;
  /** The smoothed map of the scoring, tokens that do not count as 0. */
  map: { rows: number; columns: number; data: Float32Array };
  /** The event that goes on. */
  event?: string;
}

/** Seconds between looks at the picture. */
const LOOK_EVERY = 0.2;
/** Frames at a connection's start without all their neighbours. */
const NEIGHBOURS = 3;
/** Seconds between updates of an event. */
const UPDATE_EVERY = 5;
/** Seconds until a lost stream is an event, and of frames until it is over. */
export const OFFLINE_AFTER = 10;
const BACK_AFTER = 3;

/** Decides for a camera. Calls come in the order of time. */
export class Decisions {
  /** What the camera shows now. */
  mode: CameraMode = "day";
  /** Whether somebody has switched alerts off: events are silent then. */
  isPaused = false;
  /** What the camera usually shows. */
  readonly view: UsualView;
  private readonly rule: AlarmRule;
  private readonly schedule: Schedule;
  private readonly modes = new DayOrInfrared();
  /** What earlier processes have learnt. */
  private before: Known = {};
  private normal: Partial<Record<CameraMode, NormalState>> = {};
  private readonly learners = new Map<CameraMode, Learner>();
  /** Times of frames that wait for their scores. */
  private readonly times = new Map<number, FrameTime>();
  private readonly open = new Map<EventKind, CameraEvent>();
  private scene = new SceneChange();
  private average = new MapAverage();
  private finder: EventFinder | undefined;
  /** What the finder was made with. */
  private found: Thresholds | undefined;
  /** Zones that were abnormal in frames that belong to an event, or may come to. */
  private zones: string[] = [];
  private settings: ScoreSettings | undefined;
  private masks: Masks | undefined;
  private firstNumber = Number.POSITIVE_INFINITY;
  private isClosed = false;
  /** When frames began to come after they had not. */
  private since = Number.NaN;
  private looked = Number.NEGATIVE_INFINITY;
  private lastAlert = Number.NEGATIVE_INFINITY;
  private lastUpdate = 0;
  private lastTime: FrameTime | undefined;

  /** @throws InputError if the schedule is wrong */
  constructor(
    private readonly camera: WatchedCamera,
    private readonly options: DecisionOptions,
  ) {
    this.rule = { ...usualAlarmRule, minimum: camera.minimum, hold: camera.hold };
    this.schedule = parseSchedule(camera.schedule);
    this.view = options.view ?? new UsualView();
  }

  /** The threshold of this mode, if there is one yet. */
  get threshold(): number | undefined {
    return this.given ?? this.learnt?.threshold;
  }

  /** The configuration's threshold of this mode. */
  private get given(): number | undefined {
    return this.camera.threshold[this.mode];
  }

  /** What was learnt of normal video in this mode. */
  get learnt(): NormalState | undefined {
    return this.normal[this.mode];
  }

  /** Whether an alert goes on. */
  get isAlarmed(): boolean {
    const event = this.open.get("anomaly");
    return event !== undefined && !event.silent;
  }

  /** Whether no event goes on. */
  get isQuiet(): boolean {
    return this.open.size === 0;
  }

  /** Share of the first learning that is done, 0…1; 1 if there is a threshold. */
  get learning(): number {
    if (this.threshold !== undefined) return 1;
    return this.learners.get(this.mode)?.progress ?? 0;
  }

  /** Seconds of video that `known` is made of, in all modes. */
  get seconds(): number {
    return [...this.learners.values()].reduce((sum, { seconds }) => sum + seconds, 0);
  }

  /** Seconds of video that this process has learnt from, in all modes. */
  get added(): number {
    return [...this.learners.values()].reduce((sum, { added }) => sum + added, 0);
  }

  /** What was learnt so far, to be kept for the next start. Sorting all levels takes time. */
  get known(): Known {
    const known: Known = { ...this.before };
    for (const [mode, { seen }] of this.learners) {
      const state = this.normal[mode];
      if (seen) known[mode] = { seen, ...(state && { state }) };
    }
    return known;
  }

  /**
   * The engine runs with these settings from now on.
   * @param known what was learnt before, with this model and these settings
   * @param why an anomaly that goes on ends
   */
  ready(settings: ScoreSettings, known: Known = {}, why = "the engine was started again"): void {
    this.settings = settings;
    this.masks = undefined;
    this.before = atRate(known, this.camera.alarmsPerDay, settings);
    this.learners.clear();
    this.normal = {};
    for (const [mode, { state }] of Object.entries(this.before)) if (state) this.normal[mode as CameraMode] = state;
    this.interrupt(why);
  }

  /** Goes on where the same camera ended with other settings. */
  continueFrom({ isPaused, lastAlert }: Decisions): void {
    this.isPaused = isPaused;
    this.lastAlert = lastAlert;
  }

  /** Forgets what was learnt, the thresholds and the usual view, and learns it again. */
  forget(): void {
    this.before = {};
    this.learners.clear();
    this.normal = {};
    this.view.forget();
    this.interrupt("it is learnt again");
    if (this.lastTime) this.end("camera_moved", this.lastTime, "it is learnt again");
  }

  /**
   * A connection begins; its first frame has this number.
   * @param reason why events of the one before end
   */
  connected(number: number, reason = "the stream began again"): void {
    this.interrupt(reason);
    this.gap(number);
    // Nobody sees its end.
    if (this.lastTime) this.end("scene_change", this.lastTime, reason);
    this.scene = new SceneChange();
  }

  /** Frames are missing before the one of this number: it has no neighbours before it. */
  gap(number: number): void {
    this.firstNumber = number;
  }

  /**
   * Looks at a frame before it is scored.
   * @param data height × width × 3 bytes: B, G, R
   */
  frame(data: Uint8Array, size: { width: number; height: number }, number: number, time: FrameTime): void {
    this.lastTime = time;
    this.times.set(number, time);
    // Frames that were left out have no score.
    for (const old of this.times.keys()) {
      if (this.times.size <= 1000) break;
      this.times.delete(old);
    }
    if (Number.isNaN(this.since)) this.since = time.steady;
    if (time.steady - this.since >= BACK_AFTER) this.end("offline", time);
    const mode = this.modes.push(data, time.steady);
    if (mode !== this.mode) {
      this.mode = mode;
      this.interrupt("the camera has switched between day and infrared");
    }
    if (time.steady - this.looked < LOOK_EVERY - tolerance) return;
    this.looked = time.steady;
    const picture = lumaPicture(data, size.width, size.height, viewSize.width, viewSize.height);
    this.lookAtScene(picture, time);
    if (!this.scene.isChanging) this.lookAtView(picture, time);
  }

  /** Takes in a frame's score. */
  score({ number, tokens }: { number: number; tokens: TokenMaps }): Outcome | undefined {
    const time = this.times.get(number);
    if (this.isClosed || !this.settings || !time) return undefined;
    for (const old of this.times.keys()) if (old <= number) this.times.delete(old);
    this.masks ??= new Masks(this.camera, tokens);
    const { counts } = this.masks;
    const { frameScore: tokenScoring, score: rule } = this.settings;
    const how: FrameScoreSettings = { ...tokenScoring, rule };
    const map = tokenMap(tokens, how.rule, mapOf[how.scoring]);
    const { rows, columns } = tokens;
    const data = counts ? map.map((value, i) => value * counts[i]) : map;
    const smooth = this.average.push({ rows, columns, data }, time.steady);
    const outcome: Outcome = { time, level: Number.NaN, mode: this.mode, map: smooth };
    if (number < this.firstNumber + NEIGHBOURS || this.scene.isChanging) return outcome;
    const value = this.masks.score(tokens, how);
    this.learn(time, value, smooth, how);
    const { threshold } = this;
    if (threshold === undefined) return outcome;
    const normal = this.learnt?.normal;
    const finder = this.finderFor({ threshold, ...(normal !== undefined && { normal }) }, time);
    const level = this.mapLevel(smooth.data);
    const score = this.coversArea(smooth.data, level) ? value : Math.min(value, normal ?? 0);
    const change = finder.push({ frame: number, time: time.steady, score });
    if (!finder.isRising && !finder.current) this.zones = [];
    else this.zones = union(this.zones, this.masks.zonesAt(tokens, how, threshold), this.camera);
    if (change?.kind === "end") this.end("anomaly", time);
    else if (finder.current) this.follow(finder.current, { number, time, smooth, level, threshold });
    outcome.level = finder.level;
    outcome.threshold = threshold;
    const event = this.open.get("anomaly")?.id;
    if (event !== undefined) outcome.event = event;
    return outcome;
  }

  /**
   * The connection is lost, or could not be made.
   * @param seconds how long there has been no frame
   */
  lost(why: string, seconds: number, time: FrameTime): void {
    this.interrupt("the stream was lost");
    this.since = Number.NaN;
    if (seconds >= OFFLINE_AFTER) this.begin("offline", time, { text: why });
  }

  /** The engine is gone: no scores come. */
  blind(): void {
    this.interrupt("the engine has failed");
  }

  /** Nothing is decided any more. @param reason of the end of events that go on */
  close(time: FrameTime, reason: string): void {
    this.interrupt(reason);
    this.isClosed = true;
    for (const kind of [...this.open.keys()]) this.end(kind, time, reason);
  }

  private lookAtScene(picture: LumaPicture, time: FrameTime): void {
    const change = this.scene.push(picture, time.steady);
    if (change === "begin") {
      this.interrupt("the whole picture has changed");
      this.begin("scene_change", time, { text: "the whole picture has changed" });
    }
    if (change === "end") this.end("scene_change", time);
  }

  private lookAtView(picture: LumaPicture, time: FrameTime): void {
    const change = this.view.push(picture, this.mode, time.steady);
    if (change === "moved")
      this.begin("camera_moved", time, { text: "the camera was moved, turned or covered: calibrate it again" });
    if (change === "back") this.end("camera_moved", time);
  }

  private learn(time: FrameTime, score: number, map: Outcome["map"], how: FrameScoreSettings): void {
    const { mode, rule, camera, options } = this;
    if (this.given !== undefined) return;
    let learner = this.learners.get(mode);
    if (!learner) {
      learner = new Learner(rule, camera.alarmsPerDay, how, this.before[mode]?.seen, options.learnFirst);
      this.learners.set(mode, learner);
    }
    const state = learner.push(time.steady, score, map);
    if (!state) return;
    this.normal[mode] = state;
    options.learnt?.(mode, state);
  }

  /** An event that goes on keeps its thresholds, and ends if people are to be alerted of it. */
  private finderFor(thresholds: Thresholds, time: FrameTime): EventFinder {
    const open = this.open.get("anomaly");
    if (open?.silent && !this.isSilent("anomaly", time)) {
      this.end("anomaly", time, "alerts are on again: what goes on is a new event");
      this.finder = undefined;
      this.zones = [];
    }
    if (!this.open.has("anomaly") && !isDeepStrictEqual(this.found, thresholds)) this.finder = undefined;
    if (!this.finder) this.found = thresholds;
    this.finder ??= new EventFinder(thresholds, this.rule);
    return this.finder;
  }

  /** From here on a value of the map belongs to a region. */
  private mapLevel(map: Float32Array): number {
    return this.learnt?.mapHigh ?? 0.5 * map.reduce((most, value) => Math.max(most, value), 0);
  }

  private coversArea(map: Float32Array, level: number): boolean {
    if (this.camera.area === 0) return true;
    return map.filter((value) => value >= level).length >= this.camera.area * map.length;
  }

  /** Takes in a frame of the event that goes on. */
  private follow(found: WatchEvent, at: Moment): void {
    const { time, number, threshold } = at;
    const { zones } = this;
    const event = this.open.get("anomaly");
    if (!event) {
      // The level may have been highest a little before an event is sure; this frame shows it too.
      const start = earlier(time, time.steady - found.start.time);
      this.begin("anomaly", start, { threshold, zones, peak: this.peakOf(found, at) }, time);
      this.lastUpdate = time.steady;
      return;
    }
    const isHighest = found.peak.frame === number;
    const isSeenElsewhere = zones.some((name) => !event.zones.includes(name));
    if (!isHighest && !isSeenElsewhere) return;
    Object.assign(event, { zones, ...(isHighest && { peak: this.peakOf(found, at) }) });
    if (!isSeenElsewhere && time.steady - this.lastUpdate < UPDATE_EVERY) return;
    this.lastUpdate = time.steady;
    this.options.emit("update", { ...event }, time);
  }

  /** What an event's highest moment so far says. */
  private peakOf(found: WatchEvent, { time, smooth, level }: Moment): CameraEvent["peak"] {
    const box = regionOf(smooth, level);
    const began = this.open.get("anomaly")?.start;
    // The machine's clock may have been set back.
    const wall = began === undefined ? time.wall : Math.max(time.wall, Date.parse(began));
    return { time: iso(wall), level: found.peak.level, ...(box && { box }) };
  }

  /** @param now it alerts if alerts are on now */
  private begin(kind: EventKind, time: FrameTime, more: Partial<CameraEvent> = {}, now = time): void {
    if (this.open.has(kind)) return;
    const date = new Date(time.wall);
    const event: CameraEvent = {
      ...{ id: this.options.newId(this.camera.id, date), camera: this.camera.id, kind, start: date.toISOString() },
      ...{ zones: [], ...more },
      ...(this.isSilent(kind, now) && { silent: true }),
    };
    if (kind === "anomaly" && !event.silent) this.lastAlert = time.steady;
    this.open.set(kind, event);
    this.options.emit("new", { ...event }, time);
  }

  private end(kind: EventKind, time: FrameTime, reason?: string): void {
    const event = this.open.get(kind);
    if (!event) return;
    this.open.delete(kind);
    if (kind === "anomaly" && !event.silent) this.lastAlert = time.steady;
    const end = iso(Math.max(time.wall, Date.parse(event.start)));
    const ended = { ...event, end, ...(reason !== undefined && { reason }) };
    this.options.emit("end", ended, time);
  }

  /** No frame that follows is a neighbour of those before. */
  private interrupt(reason: string): void {
    if (this.lastTime) this.end("anomaly", this.lastTime, reason);
    this.finder = undefined;
    this.zones = [];
    this.average = new MapAverage();
    for (const learner of this.learners.values()) learner.interrupt();
  }

  private isSilent(kind: EventKind, { steady, wall }: FrameTime): boolean {
    const { shadow, cooldown } = this.camera;
    if (shadow) return true;
    // That a camera is dead is told at any time.
    if (kind === "offline" || kind === "camera_moved") return false;
    if (this.isPaused || !this.schedule.isOn(localTime(new Date(wall)))) return true;
    return kind === "anomaly" && steady - this.lastAlert < cooldown;
  }
}

/** A frame in which an event was seen. */
interface Moment {
  number: number;
  time: FrameTime;
  smooth: Outcome["map"];
  level: number;
  threshold: number;
}

const earlier = ({ steady, wall, stream }: FrameTime, seconds: number): FrameTime => ({
  ...{ steady: steady - seconds, wall: Math.round(wall - 1000 * seconds), stream: stream - seconds },
});

const iso = (wall: number): string => new Date(wall).toISOString();

/** Which tokens count, and those of each zone. */
class Masks {
  /** Absent: all count. */
  readonly counts: Uint8Array | undefined;
  private readonly zones: readonly { name: string; counts: Uint8Array }[];

  constructor({ ignore, zones }: WatchedCamera, { rows, columns }: { rows: number; columns: number }) {
    const ignored = ignore.length > 0 ? tokensIn(ignore, rows, columns) : undefined;
    this.counts = ignored?.map((value) => 1 - value);
    this.zones = zones.map(({ name, polygon }) => {
      const counts = tokensIn([polygon], rows, columns);
      return { name, counts: counts.map((value, i) => (ignored?.[i] ? 0 : value)) };
    });
  }

  score(tokens: TokenMaps, how: FrameScoreSettings): number {
    return frameScore(tokens, how, this.counts);
  }

  /** Names of the zones that are at the threshold by themselves. */
  zonesAt(tokens: TokenMaps, how: FrameScoreSettings, threshold: number): string[] {
    return this.zones.filter(({ counts }) => frameScore(tokens, how, counts) >= threshold).map(({ name }) => name);
  }
}

/** Zones of either, in the configuration's order. */
function union(a: readonly string[], b: readonly string[], { zones }: WatchedCamera): string[] {
  return zones.map(({ name }) => name).filter((name) => a.includes(name) || b.includes(name));
}
