// Serves the page and the built core to this machine only: node examples/browser/serve.js [PORT]
import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const root = await realpath(fileURLToPath(new URL("../../", import.meta.url)));
/** Only these folders of the repository are served. */
const folders = ["dist", "examples"].map((name) => join(root, name) + sep);
const port = Number(process.argv[2] ?? 8080);
const types = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".map": "application/json",
};

/** The file that a request asks for, after following links; undefined if it is not served. */
async function fileFor(url) {
  try {
    const path = decodeURIComponent(new URL(url, "http://localhost").pathname);
    const file = await realpath(join(root, path.endsWith("/") ? `${path}index.html` : path));
    return folders.some((folder) => file.startsWith(folder)) && (await stat(file)).isFile() ? file : undefined;
  } catch {
    return undefined; // there is no such file, or the path is invalid
  }
}

const server = createServer(async ({ method, url, headers }, response) => {
  const end = (status, more = {}) => response.writeHead(status, more).end();
  // The name of another site may point here (DNS rebinding): refuse it.
  if (!/^(localhost|127\.0\.0\.1)(:\d+)?$/.test(headers.host ?? "")) return end(403);
  if (method !== "GET" && method !== "HEAD") return end(405, { allow: "GET, HEAD" });
  if (url === "/") return end(302, { location: "/examples/browser/" });
  const file = await fileFor(url);
  if (!file) return end(404);
  response.writeHead(200, {
    "content-type": types[extname(file)] ?? "application/octet-stream",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  if (method === "HEAD") return response.end();
  createReadStream(file)
    .on("error", () => response.destroy())
    .pipe(response);
});
server.on("error", ({ message }) => {
  console.error(`cannot serve on port ${process.argv[2] ?? port}: ${message}`);
  process.exitCode = 2;
});
if (Number.isInteger(port) && port >= 0 && port <= 65535) {
  server.listen(port, "127.0.0.1", () => console.log(`http://localhost:${server.address().port}/  (Ctrl-C stops it)`));
} else {
  console.error(`port ${process.argv[2]} is not a whole number from 0 to 65535`);
  process.exitCode = 2;
}
