import { curves } from "./curves.js";
import type { Data } from "./model.js";
import { moments } from "./moments.js";
import { facts, header, metrics, notes } from "./summary.js";
import { timeline } from "./timeline.js";

// The page of a report: everything on it comes from the JSON that the page carries, as text and images only.
const data = JSON.parse(document.getElementById("report")?.textContent ?? "") as Data;

const main = document.createElement("main");
document.body.prepend(main);
const line = timeline(data);
const parts = [
  header(data),
  metrics(data.metrics),
  notes(data.notes),
  line?.element,
  curves(data.curves),
  moments(data.moments, new Set(data.videos.map(({ name }) => name)), (moment) => line?.show(moment)),
  facts(data.facts),
];
for (const part of parts) if (part) main.append(part);
line?.start();
