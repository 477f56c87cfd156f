// The page of bench/watch.js: how many cameras a machine carries.
import { counted } from "../../counted.js";
import { score } from "../web/format.js";
import { tableMarkup } from "../web/static_page.js";
import { benchPage, logarithmicPlot, type PlotLine, shownMs } from "./page.js";

/** In seconds; null if nothing was measured. */
interface Percentiles {
  p50: number | null;
  p99: number | null;
}

/** A figure of each kind of process; null where the system does not tell. */
interface ByProcess {
  supervisor: number | null;
  engine: number | null;
  ffmpeg: number | null;
}

/** What a number of cameras takes. */
export interface WatchFigure {
  cameras: number;
  /** Frames per second, of all cameras together. */
  scored: number;
  dropped: number;
  /** From a frame's arrival to its level. */
  level: Percentiles;
  /** Events that began. */
  events: number;
  /** From the arrival of the frame that makes an event sure to its line on disk, to the page. */
  kept: Percentiles;
  page: Percentiles;
  /** Seconds of the processor per second. */
  cores: ByProcess;
  /** Bytes. */
  memory: ByProcess;
}

/** What the page shows. */
export interface WatchData {
  title: string;
  /** ISO 8601. */
  created: string;
  /** Frames per second of each camera that are to be scored. */
  fps: number;
  figures: readonly WatchFigure[];
  /** Settings and versions. */
  facts: readonly (readonly [name: string, value: string])[];
  /** Whether all was measured. */
  complete: boolean;
}

/** The page as one HTML file that loads nothing. */
export function watchPage({ title, created, fps, figures, facts, complete }: WatchData): string {
  const sorted = [...figures].sort((a, b) => a.cameras - b.cameras);
  const names = ({ cameras }: WatchFigure) => counted(cameras, "camera");
  const line = (name: string, own: boolean, read: (figure: WatchFigure) => number | null, unit: string): PlotLine => ({
    ...{ name, own },
    points: sorted.flatMap((figure) => {
      const y = read(figure);
      if (y === null || y <= 0) return [];
      return [{ x: figure.cameras, y, title: `${names(figure)}: ${score(y)} ${unit}` }];
    }),
  });
  const ms = (value: number | null) => (value === null ? null : 1000 * value);
  const shared = { x: "cameras", description: "Logarithmic axes. The table below has the figures." };
  const speed = { ...shared, id: "speed-plot", title: "Scored frames per second by number of cameras", y: "frames/s" };
  const latency = { ...shared, id: "latency-plot", title: "Latency by number of cameras", y: "latency, ms" };
  const sections = [
    {
      ...{ id: "speed", heading: speed.title },
      markup: logarithmicPlot(speed, [
        line("scored", true, ({ scored }) => scored, "frames/s"),
        line("what the cameras send", false, ({ cameras }) => cameras * fps, "frames/s"),
      ]),
    },
    {
      ...{ id: "latency", heading: latency.title },
      markup: logarithmicPlot(latency, [
        line("level, p50", true, ({ level }) => ms(level.p50), "ms"),
        line("level, p99", false, ({ level }) => ms(level.p99), "ms"),
        line("event on disk, p50", false, ({ kept }) => ms(kept.p50), "ms"),
        line("event on the page, p50", false, ({ page }) => ms(page.p50), "ms"),
      ]),
    },
    { id: "figures", heading: "Figures", markup: watchTable(sorted) },
  ];
  return benchPage({ title, created, sections, complete, facts });
}

function watchTable(figures: readonly WatchFigure[]): string {
  const shown = (value: number | null, scale: number) => (value === null ? "-" : score(value / scale));
  const ms = (value: number | null) => (value === null ? "-" : shownMs(1000 * value));
  return tableMarkup({
    section: "figures",
    caption:
      "Latency is the time from a frame's arrival: to its level, and for events from the frame that made them sure to their line on disk and to the page.",
    head: [
      ...["Cameras", "Scored/s", "Dropped/s", "Level p50, ms", "p99", "Events", "On disk p50, ms", "p99"],
      ...["Page p50, ms", "p99", "Cores: supervisor", "engine", "ffmpeg", "MB: supervisor", "engine", "ffmpeg"],
    ],
    rows: figures.map(({ cameras, scored, dropped, level, events, kept, page, cores, memory }) => ({
      cells: [
        ...[String(cameras), score(scored), score(dropped), ms(level.p50), ms(level.p99), String(events)],
        ...[ms(kept.p50), ms(kept.p99), ms(page.p50), ms(page.p99)],
        ...[cores.supervisor, cores.engine, cores.ffmpeg].map((value) => shown(value, 1)),
        ...[memory.supervisor, memory.engine, memory.ffmpeg].map((value) => shown(value, 1e6)),
      ],
    })),
  });
}
