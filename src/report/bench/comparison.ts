import { score } from "../web/format.js";
import { benchPage, benchTable, logarithmicPlot, type PlotLine, shownMs, shownSpread } from "./page.js";

/** What was seen of one contestant at one batch size. */
export interface ComparisonFigure {
  /** Its name, with the precision where there are several. */
  contestant: string;
  /** Whether it is the engine that the others are peers of. */
  own: boolean;
  /** Frames of a step. */
  batch: number;
  /** Frames a second; absent where it failed. */
  fps?: { median: number; min: number; max: number; measurements: number };
  /** Its frames a second over those of the best peer at this batch size. */
  ratio?: number;
  /** Of a peer: the frames a second of the engine's fastest at this batch size over its own. */
  ahead?: number;
  /** Of a batch by itself, from submission until it is done. */
  latencyMs?: number;
  /** GPU memory, bytes. */
  memoryBytes?: number;
  /** The variant that it was. */
  how?: string;
  /** Why it failed. */
  error?: string;
}

/** What a comparison's page shows. */
export interface ComparisonData {
  title: string;
  /** ISO 8601. */
  created: string;
  figures: readonly ComparisonFigure[];
  /** What was not measured and why, and other remarks. */
  notes: readonly string[];
  /** Whether all was measured. */
  complete: boolean;
  /** Settings and versions. */
  facts: readonly (readonly [name: string, value: string])[];
}

/** A point of the plot. */
type Measured = ComparisonFigure & { fps: NonNullable<ComparisonFigure["fps"]> };

/**
 * A comparison as one HTML file that loads nothing: frames a second against batch size on logarithmic axes, a line a contestant, and a table
 * of all figures below.
 */
export function comparisonPage({ title, created, figures, ...rest }: ComparisonData): string {
  const sections = [
    {
      id: "speed",
      heading: "Frames a second by batch size; \u00d7: to the best peer",
      markup: comparisonPlot(figures),
    },
    { id: "figures", heading: "Figures", markup: comparisonTable(figures) },
  ];
  return benchPage({ title, created, sections, ...rest });
}

const isMeasured = (figure: ComparisonFigure): figure is Measured => figure.fps !== undefined;

const times = (ratio: number) => `${ratio.toFixed(2)}\u00d7`;

/** The plot with the names of its lines, in the order in which contestants come; a sentence where nothing was measured. */
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
    title: "Frames a second by batch size",
    x: "batch size, frames",
    y: "frames/s",
    description:
      "Logarithmic axes, a line a contestant, bars from the slowest to the fastest measurement, the engine's ratio to the best peer beside its points. The table below has the figures.",
  };
  return logarithmicPlot(axes, lines);
}

/** The figures as an HTML table. */
export function comparisonTable(figures: readonly ComparisonFigure[]): string {
  const none = "\u2013";
  return benchTable({
    section: "figures",
    caption:
      "Medians; latency is that of a batch by itself, from its submission until it is done. \u201cEngine to it\u201d is how many times faster the engine's fastest is.",
    head: [
      ...["Contestant", "Batch", "Frames/s", "Slowest", "Fastest", "To the best peer", "Engine to it", "Latency, ms"],
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
