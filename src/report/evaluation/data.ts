/** What a report shows. Plain data, so that it can be written to a page as JSON. Images are data: URLs. */
export interface ReportData {
  title: string;
  /** When it was made, ISO 8601. */
  created: string;
  /** Settings and versions, in the order in which they are shown. */
  facts: readonly (readonly [name: string, value: string])[];
  metrics: readonly ReportMetric[];
  /** Scores at or above it count as abnormal: where the equal-error rate is. Absent without labels of both classes. */
  threshold?: number;
  /** What drew the threshold, for its tooltip. */
  thresholdNote?: string;
  curves: readonly ReportCurve[];
  videos: readonly ReportVideo[];
  /** The best and the worst moments. */
  moments: readonly ReportMoment[];
  /** What a reader should know: videos without labels, and so on. */
  notes: readonly string[];
}

/** A figure of merit. */
export interface ReportMetric {
  name: string;
  /** In percent; absent where it cannot be computed. */
  value?: number;
  /** The paper's figure in percent, where there is one. */
  published?: number;
  /** What it means or why it is absent. */
  note?: string;
}

/** A ROC curve, or recall of regions or tracks against false positives a frame. */
export interface ReportCurve {
  name: string;
  xLabel: string;
  yLabel: string;
  /** Rising, 0…1. */
  x: readonly number[];
  y: readonly number[];
  /** Area in percent. */
  area: number;
  /** The diagonal is what guessing gives, as for a ROC curve: it is drawn too. */
  chance?: boolean;
}

/** A video's scores over time. All arrays have an entry a frame. */
export interface ReportVideo {
  name: string;
  /** Frame numbers as in the files' names. */
  frames: readonly number[];
  /** Seconds, where the video has a clock. */
  times?: readonly number[];
  /** Before smoothing. */
  raw: readonly number[];
  /** As measured: smoothed. */
  scores: readonly number[];
  /** 0 or 1; absent where the data set has none. */
  labels?: readonly number[];
  /** In percent; absent where it cannot be computed. */
  auc?: number;
  /** Pictures along the video, in order, evenly spread: the timeline to scrub. */
  strip: readonly ReportPicture[];
}

/** A frame with the anomaly map that is laid over it. */
export interface ReportPicture {
  /** Position in the video, from 0. */
  index: number;
  /** JPEG. */
  image: string;
  /** PNG with transparency, of any size: it is stretched over the image. */
  map: string;
}

/** A moment worth looking at. */
export interface ReportMoment extends ReportPicture {
  /** What it is: "detected", "false alarm", "missed", "quiet" … */
  kind: string;
  video: string;
  frame: number;
  score: number;
  label?: number;
}
