/** What a report shows: plain data, written into the page as JSON. Images are data: URLs. */
export interface ReportData {
  title: string;
  /** When it was made: ISO 8601. */
  created: string;
  /** Settings and versions, in order. */
  facts: readonly (readonly [name: string, value: string])[];
  metrics: readonly ReportMetric[];
  /** Scores at or above it count as abnormal. Absent unless there are labels of both classes. */
  threshold?: number;
  /** What the threshold is, for its tooltip. */
  thresholdNote?: string;
  curves: readonly ReportCurve[];
  videos: readonly ReportVideo[];
  moments: readonly ReportMoment[];
  /** Remarks for the reader, such as on videos without labels. */
  notes: readonly string[];
}

/** A figure of merit. */
export interface ReportMetric {
  name: string;
  /** In percent; absent if it cannot be computed. */
  value?: number;
  /** The paper's figure in percent, if there is one. */
  published?: number;
  /** Shown in place of a value in percent, such as "3 of 4". */
  text?: string;
  /** What it means, or why it is absent. */
  note?: string;
}

/** A ROC curve, or the recall of regions or tracks against false positives per frame. */
export interface ReportCurve {
  name: string;
  xLabel: string;
  yLabel: string;
  /** Rising, 0…1. */
  x: readonly number[];
  y: readonly number[];
  /** Area in percent. */
  area: number;
  /** Whether to draw the diagonal, which guessing gives (for a ROC curve). */
  chance?: boolean;
}

/** A video's scores over time. All arrays but `strip` have an entry per frame. */
export interface ReportVideo {
  name: string;
  /** What is abnormal in it, in a few words, if that is known. */
  about?: string;
  /** Frame numbers as in the files' names. */
  frames: readonly number[];
  /** Seconds, if the video has a clock. */
  times?: readonly number[];
  /** Before smoothing. */
  raw: readonly number[];
  /** After smoothing: those that were measured. */
  scores: readonly number[];
  /** 0 or 1; absent if the data set has none. */
  labels?: readonly number[];
  /** Spans above the threshold, by position, both ends inclusive; if there are no labels. */
  events?: readonly { first: number; last: number }[];
  /** In percent; absent if it cannot be computed. */
  auc?: number;
  /** Pictures of the video, in order, evenly spread over time. */
  strip: readonly ReportPicture[];
}

/** A frame with its anomaly map. */
export interface ReportPicture {
  /** Position in the video, from 0. */
  index: number;
  /** JPEG. */
  image: string;
  /** PNG with transparency, of any size: the page stretches it over the image. */
  map: string;
}

/** A moment worth looking at. */
export interface ReportMoment extends ReportPicture {
  /** "detected", "false positive", "missed", "highest", "event" … */
  kind: string;
  video: string;
  frame: number;
  score: number;
  label?: number;
  /** More about it, in a few words. */
  note?: string;
}
