// A report as one HTML file.
import { script, style } from "virtual:report-page";
import { htmlPage } from "../web/html.js";
import type { ReportData } from "./data.js";
import { reportJson } from "./encode.js";

export type { ReportCurve, ReportData, ReportMetric, ReportMoment, ReportPicture, ReportVideo } from "./data.js";
export { type HeatmapImage, heatmap } from "./heatmap.js";

/**
 * A report as one HTML file, with data, images, program and style inside. Its content security
 * policy lets it load nothing else.
 * @throws InputError if an image is not a `data:` URL
 */
export function reportPage(data: ReportData): string {
  const body = `<noscript>A script inside this page draws the report: allow scripts to see it.</noscript>
<script type="application/json" id="report">${reportJson(data)}</script>`;
  return htmlPage({ title: data.title, script, style, body });
}
