// A report's data as the page reads them, and what follows from them.
import type { Parsed } from "../../web/parsed.js";
import type { ReportData } from "../data.js";

export type Data = Parsed<ReportData>;
export type Metric = Data["metrics"][number];
export type Curve = Data["curves"][number];
export type Video = Data["videos"][number];
export type Picture = Video["strip"][number];
export type Moment = Data["moments"][number];
export type Numbers = readonly (number | null)[];

/** A run of abnormal frames, by position, both ends inclusive. */
export interface Range {
  first: number;
  last: number;
}

/** What a plot shades: abnormal frames by their labels, else events. */
export function shadedRanges({ labels, events }: Video): Range[] {
  if (labels || !events) return abnormalRanges(labels);
  return events.map(({ first, last }) => ({ first: first ?? 0, last: last ?? 0 }));
}

/** The runs of 1 among labels. */
export function abnormalRanges(labels: Numbers | undefined): Range[] {
  const ranges: Range[] = [];
  for (const [i, label] of (labels ?? []).entries()) {
    if (label !== 1) continue;
    const open = ranges.at(-1);
    if (open && open.last === i - 1) open.last = i;
    else ranges.push({ first: i, last: i });
  }
  return ranges;
}

/**
 * Whether a frame was detected; undefined unless its label, its score and the threshold are known.
 */
export function outcome(
  label: number | null | undefined,
  score: number | null | undefined,
  threshold: number | null | undefined,
) {
  if (label == null || score == null || threshold == null) return undefined;
  if (label === 1) return score >= threshold ? "detected" : "missed";
  return score >= threshold ? "false positive" : "no alarm";
}

/** The position of the highest score, of equal ones the first; 0 without scores. */
export function highestOf(scores: Numbers): number {
  return scores.reduce<number>((best, score, i) => ((score ?? -Infinity) > (scores[best] ?? -Infinity) ? i : best), 0);
}

/** The picture nearest to a position; undefined without pictures. */
export function nearestPicture(strip: readonly Picture[], index: number): Picture | undefined {
  let best: Picture | undefined;
  let least = Infinity;
  for (const picture of strip) {
    const distance = Math.abs((picture.index ?? 0) - index);
    if (distance >= least) continue;
    best = picture;
    least = distance;
  }
  return best;
}
