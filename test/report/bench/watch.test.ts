import { expect, test } from "vitest";
import { type WatchFigure, watchPage } from "../../../src/report/bench/watch.js";

const figure = (cameras: number): WatchFigure => ({
  ...{ cameras, scored: 5 * cameras, dropped: 0, events: cameras },
  level: { p50: 0.65, p99: 1.3 },
  kept: { p50: 0.7, p99: 0.9 },
  page: { p50: null, p99: null },
  cores: { supervisor: 0.1, engine: 1.25, ffmpeg: null },
  memory: { supervisor: 150e6, engine: 350e6, ffmpeg: null },
});

test("the page has a row and points for each number of cameras; what was not measured is no point", () => {
  const page = { title: "Cameras", created: "2026-11-30T12:00:00Z", fps: 5, facts: [], complete: true };
  const html = watchPage({ ...page, figures: [figure(4), figure(1)] });
  expect(html.match(/<th scope="row">/g)).toHaveLength(2);
  // Two lines of frames per second, and three of latency: the page heard of no event.
  expect(html.match(/<circle/g)).toHaveLength(10);
  expect(html).toContain("1 camera: 5");
  expect(html.indexOf('<th scope="row">1<')).toBeLessThan(html.indexOf('<th scope="row">4<'));
});
