// Watches normal video, for a threshold.
import type { FrameSource } from "../data/frame.js";
import { type MapKind, mapOf, tokenMap } from "../detector/frame_score.js";
import type { FrameScore } from "../detector/scores.js";
import type { ScoreMap } from "../detector/token_maps.js";
import type { Detector } from "../node/detector.js";
import type { NormalCollector } from "../watch/calibration.js";
import { MapAverage } from "../watch/map_average.js";
import type { ValueSample } from "../watch/value_sample.js";

/**
 * Quantiles of a map's values: below the first nothing shows; from the second a region is abnormal.
 */
export const mapQuantiles = { low: 0.9, high: 0.999 };

/** The map in which regions are found, for a detector opened with `tokenMaps`. */
export function regionMap({ tokens }: FrameScore, { settings }: Detector, kind: MapKind): ScoreMap {
  if (!tokens) throw new Error("regions need a detector that was opened with { tokenMaps: true }");
  return { rows: tokens.rows, columns: tokens.columns, data: tokenMap(tokens, settings.score, kind) };
}

/**
 * Scores a normal video and collects its levels and map values.
 * @param fps for frames without a time
 * @throws InputError if it cannot be read, GpuError if the GPU fails, the signal's reason
 */
export async function watchNormal(
  detector: Detector,
  source: FrameSource,
  { collector, sample, kind, fps }: { collector: NormalCollector; sample: ValueSample; kind: MapKind; fps: number },
  signal: AbortSignal,
  onFrame: () => void,
): Promise<void> {
  const average = new MapAverage();
  for await (const result of detector.stream(source, signal)) {
    const time = result.time ?? result.index / fps;
    collector.push({ time, score: result.score });
    sample.add(average.push(regionMap(result, detector, kind), time).data);
    onFrame();
  }
  collector.endVideo();
}

/** The largest possible score, if there is one. */
export function scoreLimit({ settings }: Detector): number | undefined {
  return mapOf[settings.frameScore.scoring] === "anomaly-map" ? 1 : undefined;
}

/** How a detector scores, as a text: scores can be compared if it is the same. */
export function comparable({ settings }: Detector): string {
  // The type changes scores by rounding only.
  const { dtype: _, ...rest } = settings;
  return JSON.stringify(rest);
}
