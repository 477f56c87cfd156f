// Makes the pictures of README.md:
//   docs/images/report.png         the demo's report at an abnormal moment
//   docs/images/anomaly-map.webp   a drawn street with its anomaly map and scores, animated
// Usage: node tools/readme-images.js [FOLDER]
// Needs `npm ci`. Takes the Chromium of the environment variable CHROMIUM, else /usr/bin/chromium,
// else that of the npm package @sparticuz/chromium. One minute on two CPU cores.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { Detector, sceneDataset, smooth } from "sdmae";
import sharp from "sharp";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = process.argv[2] ?? join(root, "docs", "images");

/** The seed of the demo's street, which the model was not trained on. */
const seed = 123;

/**
 * Takes a picture of the report's head: its figures, and the player at the most abnormal frame.
 * @param {typeof import("../test/support/chromium.js").Chromium} Chromium
 * @param {string} scratch
 */
async function pictureOfReport(Chromium, scratch) {
  const report = join(scratch, "report");
  const demo = [join(root, "tools", "sdmae.js"), "demo", "--seed", `${seed}`, "--report", report];
  execFileSync(process.execPath, demo, { stdio: "inherit" });
  const browser = new Chromium("--hide-scrollbars");
  try {
    await browser.page();
    const view = { width: 1200, height: 1600, deviceScaleFactor: 1, mobile: false };
    await browser.send("Emulation.setDeviceMetricsOverride", view);
    await browser.send("Emulation.setEmulatedMedia", {
      features: [
        { name: "prefers-color-scheme", value: "light" },
        { name: "prefers-reduced-motion", value: "reduce" },
      ],
    });
    await browser.open(pathToFileURL(join(report, "index.html")).href);
    // The first card is the abnormal frame with the highest score.
    const height = await browser.evaluate(`(async () => {
      document.querySelector(".jump").click();
      document.activeElement.blur();
      document.querySelector("time").style.visibility = "hidden";
      await document.fonts.ready;
      await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
      scrollTo(0, 0);
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      const player = document.querySelector(".player").closest("section");
      return Math.ceil(player.getBoundingClientRect().bottom + 16);
    })()`);
    const { data } = await browser.send("Page.captureScreenshot", {
      format: "png",
      clip: { x: 0, y: 0, width: view.width, height, scale: 1 },
    });
    const file = join(folder, "report.png");
    await sharp(Buffer.from(data, "base64")).png({ palette: true, colours: 256, effort: 10 }).toFile(file);
  } finally {
    await browser.close();
  }
}

/** The animation's picture and the strip of scores under it, in pixels. */
const [width, height, strip] = [528, 352, 72];
/** Which frames of the clip are shown. */
const [from, to, fps] = [14, 54, 10];

/**
 * Scores a clip in which somebody cycles through a pedestrian street, and lays the anomaly map over
 * its frames, in the report's colours.
 * @param {typeof import("../src/report/evaluation/heatmap.js").heatmap} heatmap
 */
async function animation(heatmap) {
  const anomalies = ["runner", "bicycle", "cart", "thrown-object"];
  const street = { seed, width, height, fps, view: "close", frames: 70, train: 0, test: 4, anomalies };
  const clip = sceneDataset(street).test[1];
  const labels = await clip.labels();
  const frames = [];
  for await (const { data } of (await clip.open()).frames()) frames.push(data);
  const model = join(root, "models", "scene.safetensors");
  const detector = await Detector.open(model, { anomalyMap: true });
  const results = [];
  for await (const result of detector.stream(await clip.open())) results.push(result);
  detector.close();
  const raw = Float64Array.from(results, ({ score }) => score);
  const scores = smooth(raw, { kind: "gaussian", sigma: 1 }, clip.name);

  const pictures = [];
  for (let i = from; i < to; i++) {
    const map = heatmap(results[i].anomalyMap, 0.1, 1);
    // What is under the map stays visible.
    for (let at = 3; at < map.rgba.length; at += 4) map.rgba[at] *= 0.65;
    const overlay = await sharp(map.rgba, { raw: { width: map.width, height: map.height, channels: 4 } })
      .resize(width, height, { kernel: "cubic" })
      .png()
      .toBuffer();
    const frame = Buffer.from(frames[i]);
    // BGR to RGB.
    for (let at = 0; at < frame.length; at += 3) [frame[at], frame[at + 2]] = [frame[at + 2], frame[at]];
    const picture = await sharp(frame, { raw: { width, height, channels: 3 } })
      .extend({ bottom: strip, background: "#ffffff" })
      .composite([
        { input: overlay, left: 0, top: 0 },
        { input: Buffer.from(plot(scores, labels, i)), left: 0, top: height },
      ])
      .removeAlpha()
      .png()
      .toBuffer();
    pictures.push(picture);
  }
  await sharp(pictures, { join: { animated: true } })
    .webp({ quality: 62, effort: 6, delay: 1000 / fps, loop: 0, smartSubsample: true })
    .toFile(join(folder, "anomaly-map.webp"));
}

/** The strip of scores as SVG: the curve up to now in full colour, abnormal frames shaded. */
function plot(scores, labels, now) {
  const [left, right, top, bottom] = [12, width - 12, 22, strip - 8];
  const highest = Math.max(...scores);
  const x = (i) => left + ((right - left) * (i - from)) / (to - 1 - from);
  const y = (score) => bottom - ((bottom - top) * score) / highest;
  const line = (first, last) => {
    const points = [];
    for (let i = first; i <= last; i++) points.push(`${x(i).toFixed(1)},${y(scores[i]).toFixed(1)}`);
    return points.join(" ");
  };
  const shaded = [...labels].flatMap((label, i) =>
    label && i >= from && i < to
      ? [`<rect x="${x(i - 0.5)}" y="${top}" width="${x(1) - x(0) + 0.3}" height="${bottom - top}"/>`]
      : [],
  );
  const text = 'font-family="DejaVu Sans, Arial, sans-serif" font-size="12"';
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${strip}">
    <g fill="#f8e6d8">${shaded.join("")}</g>
    <text x="${left}" y="15" ${text} fill="#0069a8">anomaly score</text>
    <text x="${right}" y="15" ${text} fill="#a84300" text-anchor="end">shaded: labelled abnormal</text>
    <polyline points="${line(from, to - 1)}" fill="none" stroke="#b8d4e6" stroke-width="2"/>
    <polyline points="${line(from, now)}" fill="none" stroke="#0069a8" stroke-width="2.5"/>
    <circle cx="${x(now)}" cy="${y(scores[now])}" r="4.5" fill="#0069a8"/>
  </svg>`;
}

/** Parts of the project that no package exports. */
async function bundled(scratch) {
  const file = join(scratch, "parts.mjs");
  await build({
    stdin: {
      contents: `export { Chromium } from "./test/support/chromium.ts";
        export { heatmap } from "./src/report/evaluation/heatmap.ts";`,
      resolveDir: root,
    },
    bundle: true,
    format: "esm",
    platform: "node",
    outfile: file,
  });
  return import(pathToFileURL(file).href);
}

if (!process.env.CHROMIUM && !existsSync("/usr/bin/chromium")) {
  const { default: chromium } = await import("@sparticuz/chromium");
  process.env.CHROMIUM = await chromium.executablePath();
}
const scratch = await mkdtemp(join(tmpdir(), "sdmae-readme-"));
try {
  await mkdir(folder, { recursive: true });
  const { Chromium, heatmap } = await bundled(scratch);
  await animation(heatmap);
  await pictureOfReport(Chromium, scratch);
} finally {
  await rm(scratch, { recursive: true, force: true });
}
