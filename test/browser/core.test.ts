import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type FrameScore, fromIterable } from "../../src/core.js";
import { Detector } from "../../src/node/detector.js";
import { shadersForEsbuild } from "../../tools/wgsl.js";
import { Chromium, chromiumMissing } from "../support/chromium.js";
import { fixture } from "../support/fixtures.js";
import { testAdapter } from "../support/gpu.js";
import { Random } from "../support/numbers.js";

const repository = fileURLToPath(new URL("../../", import.meta.url));

const checkpoint = fixture("tiny-patch8.pth");
const [count, height, width] = [12, 48, 100];
/** Passed to the page as JSON. */
const options = { size: { height: 32, width: 64 }, maskRatio: 0.5, masking: "random", seed: 5 } as const;
const video = Buffer.from(new Random(11).bytes(count * height * width * 4));

/** A frame's scores as the page sends them: the map is a plain array. */
type Row = Pick<FrameScore, "frame" | "score" | "studentError" | "targetError"> & { map: number[] };

/** What the page sends back. */
interface Report {
  adapter?: string;
  rows?: Row[];
  error?: string;
}

// The page gets the core, the checkpoint and the frames over HTTP, and sends the scores back.
const page = `<!doctype html><title>sdmae</title><script type="module">
  const report = (value) => fetch("/report", { method: "POST", body: JSON.stringify(value) });
  try {
    const { Detector, fromIterable } = await import("/core.js");
    const detector = await Detector.open("/tiny.pth", ${JSON.stringify(options)});
    const video = new Uint8Array(await (await fetch("/frames")).arrayBuffer());
    const bytes = ${width * height * 4};
    async function* frames() {
      for (let at = 0; at < video.length; at += bytes) {
        yield new ImageData(new Uint8ClampedArray(video.buffer, at, bytes), ${width}, ${height});
      }
    }
    const rows = [];
    const source = fromIterable(frames, { width: ${width}, height: ${height}, format: "rgba" });
    for await (const { frame, score, studentError, targetError, map } of detector.stream(source)) {
      rows.push({ frame, score, studentError, targetError, map: [...map.data] });
    }
    const { vendor, architecture, kind } = detector.gpu.adapter;
    detector.close();
    await report({ adapter: vendor + " " + architecture + ", " + kind, rows });
  } catch (error) {
    await report({ error: String(error) });
  }
</script>`;

let core = "";
let server: Server | undefined;
let browser: Chromium | undefined;
let finish: (report: Report) => void = () => {};
const report = new Promise<Report>((resolve) => {
  finish = resolve;
});

beforeAll(async () => {
  if (chromiumMissing) return;
  const { outputFiles } = await build({
    entryPoints: [join(repository, "src/core.ts")],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2022",
    plugins: [shadersForEsbuild],
  });
  core = outputFiles[0].text;
  server = createServer(async (request, response) => {
    const answer = (type: string, body: string | Uint8Array) => response.setHeader("content-type", type).end(body);
    if (request.url === "/") answer("text/html; charset=utf-8", page);
    else if (request.url === "/core.js") answer("text/javascript; charset=utf-8", core);
    else if (request.url === "/tiny.pth") answer("application/octet-stream", checkpoint);
    else if (request.url === "/frames") answer("application/octet-stream", video);
    else if (request.url === "/report" && request.method === "POST") {
      finish(JSON.parse(await bodyOf(request)) as Report);
      answer("text/plain", "");
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
});

afterAll(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
});

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

async function scoresInNode(): Promise<Row[]> {
  const detector = await Detector.open(checkpoint, { ...options, adapter: testAdapter });
  try {
    const frames = Array.from({ length: count }, (_, i) =>
      video.subarray(i * width * height * 4).subarray(0, width * height * 4),
    );
    const rows: Row[] = [];
    for await (const { frame, score, studentError, targetError, map } of detector.stream(
      fromIterable(frames, { width, height, format: "rgba" }),
    )) {
      rows.push({ frame, score, studentError, targetError, map: [...map.data] });
    }
    return rows;
  } finally {
    detector.close();
  }
}

/** All numbers of a row. */
const numbersOf = ({ score, studentError, targetError, map }: Row) => [score, studentError, targetError, ...map];

test("the core imports nothing, and scores in a browser as it does in Node", async ({ skip }) => {
  skip(chromiumMissing !== "", chromiumMissing);
  expect(core).not.toMatch(/^\s*(?:import|export)\b[^"'\n;]*\bfrom\s*["']/m);
  expect(core).not.toMatch(/^\s*import\s*["']/m);

  const expected = await scoresInNode();
  const { port } = server!.address() as AddressInfo;
  // Chromium calls SwiftShader unsafe; test machines have no other adapter.
  browser = new Chromium("--enable-unsafe-webgpu", `http://127.0.0.1:${port}/`);
  const { rows, error } = await Promise.race([report, browser.ended]);
  expect(error).toBeUndefined();
  expect(rows!.map(({ frame }) => frame)).toEqual(expected.map(({ frame }) => frame));
  expect(rows).toHaveLength(count);
  for (const [i, row] of rows!.entries()) {
    const [seen, wanted] = [numbersOf(row), numbersOf(expected[i])];
    expect(seen.length).toBe(wanted.length);
    for (const [j, value] of seen.entries()) {
      expect(Math.abs(value - wanted[j]), `frame ${row.frame}, number ${j}`).toBeLessThanOrEqual(
        1e-4 * Math.abs(wanted[j]),
      );
    }
  }
});
