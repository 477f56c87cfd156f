// The page of bench/streams.js: many cameras at once.
import { counted } from "../../counted.js";
import { score } from "../web/format.js";
import { tableMarkup } from "../web/static_page.js";
import { benchPage, logarithmicPlot, type PlotLine, shownMs } from "./page.js";

/** The results of a detector that scores a number of cameras at once. */
export interface StreamsFigure {
  streams: number;
  /** The most frames of a step. */
  batch: number;
  /** Scored frames per second, of all cameras together. */
  fps: number;
  /** Seconds from the arrival of the last frame that a score needs until the score. */
  latency: { p50: number; p90: number; p99: number; max: number };
  /** Whether frames came faster than they were scored. */
  lags: boolean;
}

/** What the page shows. */
export interface StreamsData {
  title: string;
  /** ISO 8601. */
  created: string;
  /** Frames per second of a camera. */
  cameraFps: number;
  figures: readonly StreamsFigure[];
  /** Settings and versions. */
  facts: readonly (readonly [name: string, value: string])[];
  /** Whether all was measured. */
  complete: boolean;
}

const percentiles = ["p50", "p90", "p99", "max"] as const;

/**
 * The page as one HTML file that loads nothing: frames per second and latency by the number of
 * cameras.
 */
export function streamsPage({ title, created, cameraFps, figures, facts, complete }: StreamsData): string {
  const sorted = [...figures].sort((a, b) => a.streams - b.streams);
  const cameras = (streams: number) => counted(streams, "camera");
  const given: PlotLine = {
    ...{ name: "what the cameras send", own: false },
    points: sorted.map(({ streams }) => {
      return { x: streams, y: streams * cameraFps, title: `${cameras(streams)} send ${streams * cameraFps} frames/s` };
    }),
  };
  const scored: PlotLine = {
    ...{ name: "scored", own: true },
    points: sorted.map(({ streams, fps, lags }) => {
      const state = lags ? "lags" : "keeps up";
      const title = `${cameras(streams)}: ${score(fps)} frames/s, ${state}`;
      return { x: streams, y: fps, title, label: lags ? state : undefined };
    }),
  };
  const latencies = percentiles.map((name): PlotLine => {
    const points = sorted.map(({ streams, latency }) => {
      const ms = 1000 * latency[name];
      return { x: streams, y: ms, title: `${cameras(streams)}, ${name}: ${shownMs(ms)} ms` };
    });
    return { name, own: name === "p50", points };
  });
  const shared = { x: "cameras", description: "Logarithmic axes. The table below has the figures." };
  const speed = { ...shared, id: "speed-plot", title: "Frames per second by number of cameras", y: "frames/s" };
  const latency = { ...shared, id: "latency-plot", title: "Latency by number of cameras", y: "latency, ms" };
  const sections = [
    { id: "speed", heading: speed.title, markup: logarithmicPlot(speed, [scored, given]) },
    { id: "latency", heading: latency.title, markup: logarithmicPlot(latency, latencies) },
    { id: "figures", heading: "Figures", markup: streamsTable(sorted) },
  ];
  return benchPage({ title, created, sections, complete, facts });
}

function streamsTable(figures: readonly StreamsFigure[]): string {
  return tableMarkup({
    section: "figures",
    caption: "Latency is the time from the arrival of the last frame that a score needs until the score is ready.",
    head: ["Cameras", "Batch", "Frames/s", "Latency p50, ms", "p90, ms", "p99, ms", "max, ms", "State"],
    rows: figures.map(({ streams, batch, fps, latency, lags }) => {
      const ms = percentiles.map((name) => shownMs(1000 * latency[name]));
      return { cells: [String(streams), String(batch), score(fps), ...ms, lags ? "lags" : "keeps up"] };
    }),
    words: true,
  });
}
