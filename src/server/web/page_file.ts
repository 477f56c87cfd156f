// The page of the watch process, and the files that it loads.
import { createHash } from "node:crypto";
import { script, style } from "virtual:watch-page";

/** A file of the page. Its name changes with its content, so that browsers may keep it. */
export interface PageFile {
  path: string;
  type: string;
  content: string;
}

function pageFile(name: string, type: string, content: string): PageFile {
  const mark = createHash("sha256").update(content).digest("hex").slice(0, 12);
  return { path: `/page/${mark}/${name}`, type, content };
}

const program = pageFile("watch.js", "text/javascript; charset=utf-8", script);
const look = pageFile("watch.css", "text/css; charset=utf-8", style);

/** What the page loads. */
export const pageFiles: readonly PageFile[] = [program, look];

/** The page. It holds no data: its program asks for them. */
export const watchPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>sdmae watch</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${look.path}">
</head>
<body>
<noscript>A script draws this page: allow scripts to see it.</noscript>
<script src="${program.path}"></script>
</body>
</html>
`;
