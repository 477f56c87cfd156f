// The report of one video without ground truth, made while it is scored.
import type { Frame } from "../../data/frame.js";
import type { ScoreMap } from "../../detector/token_maps.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import type { WatchEvent } from "../../watch/events.js";
import type { ReportData, ReportMoment, ReportPicture } from "./data.js";
import { reportPage } from "./page_file.js";
import { jpeg, overlay } from "./pictures.js";

/** Points of the curve; of longer videos, neighbours become one. */
const mostPoints = 10_000;
/** Pictures of the strip. */
const mostPictures = 40;
const pictureWidth = 400;
/** Events, or highest scores, that get a card. */
const mostEvents = 12;
const mostHighest = 4;
/** The least distance of two highest scores, in frames. */
const apart = 40;

/** A frame to be shown, with its map and score. */
interface Shown {
  frame: Frame;
  map: ScoreMap;
  score: number;
}

/** A picture whose map is coloured at the end, when the range is known. */
interface Taken {
  index: number;
  image: string;
  map: ScoreMap;
}

/** The parts of the page that the caller knows. */
export type VideoReportTexts = Pick<
  ReportData,
  "title" | "facts" | "metrics" | "threshold" | "thresholdNote" | "notes"
>;

/**
 * Collects what a report shows. Memory does not grow with the video: longer ones are drawn with
 * fewer points and pictures.
 */
export class VideoReport {
  /** Frames per point. */
  private step = 1;
  private readonly frames: number[] = [];
  private readonly times: number[] = [];
  private readonly raw: number[] = [];
  private readonly levels: number[] = [];
  private strip: Taken[] = [];
  private every = 1;
  private highest: Shown[] = [];
  /** The frame of the highest level, where the page opens. */
  private top?: Shown;
  /** The index of the first of the frames that belong to an event, or may come to. */
  private rising?: number;
  /** The one of them with the highest level. */
  private peak?: Shown;
  private events: { event: WatchEvent; seconds: number; taken: Taken }[] = [];
  private spans: { first: number; last: number; event: WatchEvent }[] = [];
  private open?: { first: number; last: number };

  /** @param name the video's */
  constructor(
    private readonly name: string,
    private readonly hasThreshold: boolean,
  ) {}

  /**
   * Takes the next frame.
   * @param raw its score
   * @param level as the threshold is compared with
   * @param event the event that it belongs to, if any
   * @param isRising whether it may turn out to belong to one
   */
  async take(
    frame: Frame,
    map: ScoreMap,
    raw: number,
    level: number,
    event?: WatchEvent,
    isRising = false,
  ): Promise<void> {
    const { index } = frame;
    this.addPoint(frame, raw, level);
    if (index % this.every === 0) {
      this.strip.push({ index, image: await jpeg(frame.data, frame.width, frame.height, pictureWidth), map });
      if (this.strip.length > 2 * mostPictures) {
        this.every *= 2;
        this.strip = this.strip.filter((picture) => picture.index % this.every === 0);
      }
    }
    const shown = { frame, map, score: level };
    if (Number.isFinite(level) && !(this.top && this.top.score >= level)) this.top = shown;
    this.rising = event || isRising ? (this.rising ?? index) : undefined;
    if (this.rising === undefined) this.peak = undefined;
    else if (!this.peak || level > this.peak.score) this.peak = shown;
    if (event) {
      this.open ??= { first: this.rising ?? index, last: index };
      // During the hold it may be over already.
      if (event.end.frame === frame.number) this.open.last = index;
    }
    if (!this.hasThreshold) this.offerHighest(shown);
  }

  /**
   * Keeps an event that ended, before the next frame is taken.
   * @param seconds how long it was, its last frame included
   */
  async endEvent(event: WatchEvent, seconds: number): Promise<void> {
    if (this.open) {
      this.spans.push({ ...this.open, event });
      // An event without a card stays as a mark; of very many only the highest are kept.
      if (this.spans.length > 2000) this.spans = byPeak(this.spans).slice(0, 1000);
    }
    this.open = undefined;
    const { peak } = this;
    this.rising = undefined;
    this.peak = undefined;
    if (!peak) return;
    const least = this.events.at(-1);
    if (this.events.length === mostEvents && least && event.peak.level <= least.event.peak.level) return;
    this.events = byPeak([...this.events, { event, seconds, taken: await taken(peak) }]).slice(0, mostEvents);
  }

  /** Writes the page. @throws InputError if it cannot be written */
  async write(path: string, texts: VideoReportTexts, range: { low: number; high: number }): Promise<void> {
    const picture = async ({ index, image, map }: Taken): Promise<ReportPicture> => ({
      index: this.pointOf(index),
      image,
      map: await overlay(map, range),
    });
    const stride = Math.max(1, Math.ceil(this.strip.length / mostPictures));
    const strip = await Promise.all(this.strip.filter((_, i) => i % stride === 0).map(picture));
    const add = (one: ReportPicture) => {
      if (!strip.some(({ index }) => index === one.index)) strip.push(one);
    };
    if (this.top) add(await picture(await taken(this.top)));
    const moments: ReportMoment[] = [];
    for (const { event, seconds, taken } of this.events.toSorted((a, b) => a.event.id - b.event.id)) {
      const note = `event ${event.id}, ${seconds.toFixed(1)} s long`;
      const at = { kind: "event", video: this.name, frame: event.peak.frame, score: event.peak.level, note };
      moments.push({ ...at, ...(await picture(taken)) });
    }
    for (const shown of this.highest.sort((a, b) => b.score - a.score)) {
      const at = { kind: "highest", video: this.name, frame: shown.frame.number, score: shown.score };
      moments.push({ ...at, ...(await picture(await taken(shown))) });
    }
    // Whoever goes to a moment sees it.
    for (const { index, image, map } of moments) add({ index, image, map });
    strip.sort((a, b) => a.index - b.index);
    const spans = this.spans.sort((a, b) => a.first - b.first);
    const page = reportPage({
      ...texts,
      created: new Date().toISOString(),
      curves: [],
      videos: [
        {
          name: this.name,
          frames: this.frames,
          ...(this.times.length > 0 && { times: this.times }),
          raw: this.raw,
          scores: this.levels,
          strip,
          ...(this.hasThreshold && {
            events: spans.map(({ first, last }) => ({ first: this.pointOf(first), last: this.pointOf(last) })),
          }),
        },
      ],
      moments,
    });
    await writeFileAtomic(path, page);
  }

  /** Frames per point of the curve. */
  get framesPerPoint(): number {
    return this.step;
  }

  private pointOf(index: number): number {
    return Math.max(0, Math.min(this.frames.length - 1, Math.floor(index / this.step)));
  }

  private addPoint({ index, number, time }: Frame, raw: number, level: number): void {
    const point = Math.floor(index / this.step);
    if (point < this.frames.length) {
      this.raw[point] = largest(this.raw[point], raw);
      this.levels[point] = largest(this.levels[point], level);
      return;
    }
    if (this.frames.length === 2 * mostPoints) {
      this.step *= 2;
      for (const list of [this.raw, this.levels]) {
        const merged = list.flatMap((value, i) => (i % 2 === 0 ? [largest(value, list[i + 1])] : []));
        list.splice(0, list.length, ...merged);
      }
      for (const list of [this.frames, this.times]) {
        const kept = list.filter((_, i) => i % 2 === 0);
        list.splice(0, list.length, ...kept);
      }
    }
    this.frames.push(number);
    if (time !== undefined) this.times.push(time);
    this.raw.push(raw);
    this.levels.push(level);
  }

  /** Keeps a frame if its score is one of the highest, at a distance from the others. */
  private offerHighest(shown: Shown): void {
    if (!Number.isFinite(shown.score)) return;
    const isNear = (other: Shown) => Math.abs(other.frame.index - shown.frame.index) < apart;
    if (this.highest.some((other) => isNear(other) && other.score >= shown.score)) return;
    const others = this.highest.filter((other) => !isNear(other));
    this.highest = [...others, shown].sort((a, b) => b.score - a.score).slice(0, mostHighest);
  }
}

/** NaN counts as less than anything. */
function largest(a: number, b: number): number {
  return Number.isNaN(a) || b > a ? b : a;
}

function byPeak<T extends { event: WatchEvent }>(list: readonly T[]): T[] {
  return list.toSorted((a, b) => b.event.peak.level - a.event.peak.level);
}

async function taken({ frame, map }: Shown): Promise<Taken> {
  return { index: frame.index, image: await jpeg(frame.data, frame.width, frame.height, pictureWidth), map };
}
