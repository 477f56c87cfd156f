// The page of bench/compare.js: the engine beside its peers.
import { score } from "../web/format.js";
import { tableMarkup } from "../web/static_page.js";
import { benchPage, logarithmicPlot, type PlotLine, shownMs, shownSpread } from "./page.js";

/** The results of one contestant at one batch size. */
export interface ComparisonFigure {
  /** Its name, with the precision if there are several. */
  contestant: string;
  /** Whether it is the engine; the others are its peers. */
  own: boolean;
  /** Frames of a step. */
  batch: number;
  /** Frames per second; absent if it failed. */
  fps?: { median: number; min: number; max: number; measurements: number };
  /** Its frames per second over those of the best peer at this batch size. */
  ratio?: number;
  /**
   * Of a peer: the frames per second of the engine's fastest at this batch size over the peer's.
   */
  ahead?: number;
  /** Of a single batch, from its submission until it is done. */
  latencyMs?: number;
  /** GPU memory, bytes. */
  memoryBytes?: number;
  /** How it ran: its variant. */
  how?: string;
  /** Why it failed. */
  error?: string;
}

/** What the page shows. */
export interface ComparisonData {
  title: string;
  /** ISO 8601. */
  created: string;
  figures: readonly ComparisonFigure[];
  /** Remarks, such as what was not measured and why. */
  notes: readonly string[];
  /** Whether all was measured. */
  complete: boolean;
  /** Settings and versions. */
  facts: readonly (readonly [name: string, value: string])[];
}

/** A point of the plot. */
type Measured = ComparisonFigure & { fps: NonNullable<ComparisonFigure["fps"]> };

/**
 * A comparison as one HTML file that loads nothing: a plot of frames per second by batch size on
 * logarithmic axes, a line per contestant, and below it a table of all figures.
 */
export function comparisonPage({ title, created, figures, ...rest }: ComparisonData): string {
  const sections = [
    {
      id: "speed",
      heading: "Frames per second by batch size (\u00d7: ratio to the best peer)",
      markup: comparisonPlot(figures),
    },
    { id: "figures", heading: "Figures", markup: comparisonTable(figures) },
  ];
  return benchPage({ title, created, sections, ...rest });
}

const isMeasured = (figure: ComparisonFigure): figure is Measured => figure.fps !== undefined;

const times = (ratio: number) => `${ratio.toFixed(2)}\u00d7`;

/**
 * Markup of the plot and the names of its lines, in the contestants' order. Without measurements it
 * is a sentence.
 */
export function comparisonPlot(figures: readonly ComparisonFigure[]): string {
  const measured = figures.filter(isMeasured);
  const names = [...new Set(measured.map(({ contestant }) => contestant))];
  const lines = names.map((name): PlotLine => {
    const all = measured.filter(({ contestant }) => contestant === name);
    const points = all.map(({ batch, fps, own, ratio }) => ({
      ...{ x: batch, y: fps, title: `${name}, batch ${batch}: ${shownSpread(fps, "frames/s")}` },
      label: own && ratio !== undefined ? times(ratio) : undefined,
    }));
    return { name, own: all.some(({ own }) => own), points };
  });
  const axes = {
    id: "plot",
    title: "Frames per second by batch size",
    x: "batch size, frames",
    y: "frames/s",
    description:
      "Logarithmic axes; a line per contestant; bars from the slowest to the fastest measurement; beside the engine's points, its ratio to the best peer. The table below has the figures.",
  };
  return logarithmicPlot(axes, lines);
}

/** Markup of the table of all figures. */
export function comparisonTable(figures: readonly ComparisonFigure[]): string {
  const none = "\u2013";
  return tableMarkup({
    section: "figures",
    caption:
      "Frames/s are medians. Latency is the time of a single batch, from its submission until it is done. Engine's lead: the speed of the engine's fastest variant, divided by this contestant's.",
    head: [
      ...[
        "Contestant",
        "Batch",
        "Frames/s",
        "Slowest",
        "Fastest",
        "Ratio to the best peer",
        "Engine's lead",
        "Latency, ms",
      ],
      ...["Memory, MB", "How"],
    ],
    rows: figures.map((figure) => {
      const { contestant, own, batch, fps, ratio, ahead, latencyMs, memoryBytes, how, error } = figure;
      const cells = [
        ...[contestant, String(batch), score(fps?.median), score(fps?.min), score(fps?.max)],
        ratio === undefined ? none : times(ratio),
        ahead === undefined ? none : times(ahead),
        latencyMs === undefined ? none : shownMs(latencyMs),
        memoryBytes === undefined ? none : (memoryBytes / 1e6).toFixed(0),
        error === undefined ? (how ?? "") : `failed: ${error}`,
      ];
      return { cells, own };
    }),
    words: true,
  });
}
