// Pages as HTML files with everything inside.
import { createHash } from "node:crypto";

/** The parts of a page. */
export interface HtmlPage {
  title: string;
  script: string;
  style: string;
  /** Markup between the style and the program. */
  body: string;
  /** Where other scripts may come from, as in a content security policy. */
  scriptSources?: string;
}

/**
 * An HTML file. Its content security policy lets it load nothing but scripts from `scriptSources`.
 */
export function htmlPage({ title, script, style, body, scriptSources }: HtmlPage): string {
  const policy = [
    "default-src 'none'",
    "img-src data:",
    `script-src ${hash(script)}${scriptSources ? ` ${scriptSources}` : ""}`,
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
<title>${escapeText(title)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
${body}
<script>${script}</script>
</body>
</html>
`;
}

/**
 * The name of an inline script or style in a content security policy, so that nothing else can run.
 */
function hash(text: string): string {
  return `'sha256-${createHash("sha256").update(text, "utf8").digest("base64")}'`;
}

function escapeText(text: string): string {
  return text.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
}
