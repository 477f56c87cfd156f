import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { ReportData } from "../../../src/report/evaluation/data.js";
import { VideoReport } from "../../../src/report/evaluation/video_report.js";
import { scratch } from "../../support/folders.js";

const at = scratch();
const map = { rows: 1, columns: 1, data: Float32Array.of(1) };
const data = new Uint8Array(8 * 8 * 3);
const frame = (index: number) => ({ data, width: 8, height: 8, index, number: index, time: index / 10 });
const range = { low: 0, high: 1 };
const texts = { title: "t", facts: [], metrics: [], notes: [] };

async function written(report: VideoReport): Promise<ReportData> {
  await report.write(at("page.html"), texts, range);
  return JSON.parse(/id="report">(.*?)<\/script>/s.exec(readFileSync(at("page.html"), "utf8"))![1]) as ReportData;
}

describe("the report of a long video", () => {
  it("has fewer points, each the highest of its frames, and few pictures", async () => {
    const report = new VideoReport("long", true);
    const moment = (index: number) => ({ frame: index, time: index / 10 });
    const event = {
      id: 1,
      start: moment(30_001),
      raised: moment(30_003),
      end: moment(30_010),
      peak: { ...moment(30_005), level: 7 },
    };
    // 45,000 frames: two in a point from 20,000 on, four from 40,000 on.
    for (let i = 0; i < 45_000; i++) {
      const isIn = i >= 30_003 && i <= 30_010;
      const current = isIn ? { ...event, end: moment(i) } : undefined;
      const isRising = i === 30_001 || i === 30_002;
      if (i === 30_011) await report.endEvent(event, 1);
      await report.take(frame(i), map, i === 12_345 ? 9 : 1, i === 30_005 ? 7 : 2, current, isRising);
    }
    const { videos, moments } = await written(report);
    const [{ frames, times, raw, scores, strip, events }] = videos;
    expect(report.framesPerPoint).toBe(4);
    expect(frames).toHaveLength(11_250);
    expect(frames.slice(0, 3)).toEqual([0, 4, 8]);
    expect(times?.at(-1)).toBeCloseTo(4499.6, 6);
    expect(raw.flatMap((value, i) => (value === 9 ? [i] : []))).toEqual([Math.floor(12_345 / 4)]);
    expect(scores.flatMap((value, i) => (value === 7 ? [i] : []))).toEqual([Math.floor(30_005 / 4)]);
    expect(events).toEqual([{ first: Math.floor(30_001 / 4), last: Math.floor(30_010 / 4) }]);
    expect(strip.length).toBeGreaterThan(20);
    // One more is that of the highest level, and one that of the event.
    expect(strip.length).toBeLessThanOrEqual(42);
    expect(moments).toMatchObject([
      { kind: "event", frame: 30_005, index: Math.floor(30_005 / 4), score: 7, note: "event 1, 1.0 s long" },
    ]);
  });

  it("opens at a picture of the highest level, and shows an event's highest frame before it was known", async () => {
    const report = new VideoReport("brief", true);
    const moment = (index: number) => ({ frame: 10 * index, time: index / 10 });
    const event = {
      id: 1,
      start: moment(501),
      raised: moment(505),
      end: moment(507),
      peak: { ...moment(503), level: 8 },
    };
    const levels: Record<number, number> = { 502: 6, 503: 8, 504: 7, 505: 6, 701: 9 };
    for (let i = 0; i < 1000; i++) {
      const current = i >= 505 && i <= 507 ? { ...event, end: moment(i) } : undefined;
      // A level that does not last is no event.
      const isRising = (i >= 501 && i < 505) || i === 701;
      await report.take({ ...frame(i), number: 10 * i }, map, 1, levels[i] ?? 1, current, isRising);
      if (i === 507) await report.endEvent(event, 0.7);
    }
    const { videos, moments } = await written(report);
    const [{ strip, events }] = videos;
    const indices = strip.map(({ index }) => index);
    expect(indices).toContain(701);
    expect(indices).toContain(503);
    expect(indices).toEqual(indices.toSorted((a, b) => a - b));
    expect(moments).toMatchObject([{ kind: "event", frame: 5030, index: 503 }]);
    // Numbers may have steps.
    expect(events).toEqual([{ first: 501, last: 507 }]);
  });

  it("shows the highest scores, apart from each other, if there is no threshold", async () => {
    const report = new VideoReport("unwatched", false);
    const scores: Record<number, number> = { 10: 5, 30: 8, 100: 6, 200: 4, 300: 7, 400: 3 };
    for (let i = 0; i < 420; i++) await report.take(frame(i), map, 0, scores[i] ?? 0);
    const { moments, videos } = await written(report);
    // 10 is near 30, and 400 is the fifth.
    expect(moments.map((moment) => moment.frame)).toEqual([30, 300, 100, 200]);
    expect(videos[0].events).toBeUndefined();
  });
});
