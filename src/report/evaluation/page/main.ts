// The program of a report. All that it shows comes from the JSON in the page, as text and images
// only.
import "../../web/locale.js";

import { facts, notes } from "../../web/sections.js";
import { curves } from "./curves.js";
import type { Data } from "./model.js";
import { moments } from "./moments.js";
import { header, metrics } from "./summary.js";
import { timeline } from "./timeline.js";

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
