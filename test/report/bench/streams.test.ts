import { expect, it } from "vitest";
import { type StreamsFigure, streamsPage } from "../../../src/report/bench/streams.js";

it("plots frames per second and latency against cameras", () => {
  const figure = (streams: number, seconds: number): StreamsFigure => {
    const latency = { p50: seconds, p90: 10 * seconds, p99: 10 * seconds, max: 10 * seconds };
    return { streams, batch: 1, fps: 10 * streams, latency, lags: false };
  };
  const html = streamsPage({
    ...{ title: "cameras <at once>", created: "2026-01-02T03:04:05.678Z", cameraFps: 100 },
    ...{ figures: [figure(4, 0.1), figure(1, 0.01), figure(16, 1)], facts: [["size", "<b>"]], complete: true },
  });
  const paths = [...html.matchAll(/<path class="line[^"]*" d="([^"]*)"/g)].map(([, d]) =>
    [...d.matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)] as [number, number]),
  );
  expect(paths.map((points) => points.length)).toEqual([3, 3, 3, 3, 3, 3]);
  const [scored, given, p50, p90] = paths;
  // Points are in the order of their number. In the other plot ten times the latency is one decade.
  expect(scored.map(([x]) => x)).toEqual([...scored.map(([x]) => x)].sort((a, b) => a - b));
  const perDecade = (p50[0][1] - p50[2][1]) / 2;
  for (let i = 0; i < 3; i++) {
    expect(p50[i][1] - p90[i][1]).toBeCloseTo(perDecade, 0);
    expect(scored[i][1] - given[i][1]).toBeGreaterThan(0);
  }
  expect(html).toContain("4 cameras, p90: 1000 ms");
  expect(html).not.toContain("<b>");
  expect(html).not.toContain("has not finished");
});
