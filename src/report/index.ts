import { createHash } from "node:crypto";
import { script, style } from "virtual:report-page";
import type { ReportData } from "./data.js";
import { reportJson } from "./encode.js";

export type { ReportCurve, ReportData, ReportMetric, ReportMoment, ReportPicture, ReportVideo } from "./data.js";
export { type HeatmapImage, heatmap } from "./heatmap.js";

/**
 * A report as one HTML file: data, images, program and style are all inside, and its content security policy lets it load nothing else.
 * @throws InputError for an image that is no `data:` URL
 */
export function reportPage(data: ReportData): string {
  const json = reportJson(data);
  const policy = [
    "default-src 'none'",
    "img-src data:",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="sdmae">
<title>${escapeText(data.title)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<noscript>This report is drawn by a script that it contains: allow scripts to read it.</noscript>
<script type="application/json" id="report">${json}</script>
<script>${script}</script>
</body>
</html>
`;
}

/** What a content security policy calls an inline script or style: nothing else can then run. */
function hash(text: string): string {
  return `'sha256-${createHash("sha256").update(text, "utf8").digest("base64")}'`;
}

function escapeText(text: string): string {
  return text.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
}
