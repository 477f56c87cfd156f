import { script, style } from "virtual:report-page";
import { htmlPage } from "../web/html.js";
import type { ReportData } from "./data.js";
import { reportJson } from "./encode.js";

export type { ReportCurve, ReportData, ReportMetric, ReportMoment, ReportPicture, ReportVideo } from "./data.js";
export { type HeatmapImage, heatmap } from "./heatmap.js";

/**
 * A report as one HTML file: data, images, program and style are all inside, and its content security policy lets it load nothing else.
 * @throws InputError for an image that is no `data:` URL
 */
export function reportPage(data: ReportData): string {
  const body = `<noscript>This report is drawn by a script that it contains: allow scripts to read it.</noscript>
<script type="application/json" id="report">${reportJson(data)}</script>`;
  return htmlPage({ title: data.title, script, style, body });
}
