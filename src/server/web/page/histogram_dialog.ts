// Shows why a camera's threshold is where it is.

import { h, named } from "../../../report/web/dom.js";
import * as format from "../../../report/web/format.js";
import type { CameraState } from "../api.js";
import { openDialog } from "./dialog.js";
import { cameraPath } from "./server.js";
import { level } from "./texts.js";

/** Opens the histogram of a camera's normal minutes. */
export async function showHistogram({ id, name, threshold, learnt, mode }: CameraState): Promise<void> {
  if (!learnt) return;
  const chart = h("div", { class: "histogram" }, h("p", { class: "hint" }, "Loading \u2026"));
  const aim = learnt.alarmsPerDay === 1 ? "1 false alarm" : `${learnt.alarmsPerDay} false alarms`;
  const source =
    threshold === learnt.threshold
      ? `It was learnt from ${format.duration(learnt.seconds)} of normal video, for ${aim} a day.`
      : `The configuration says so; normal video gave ${level(learnt.threshold)}.`;
  const words = [
    `Levels from ${level(threshold)} on are abnormal${mode === "infrared" ? " in infrared light" : ""}.`,
    source,
    "Each bar counts minutes by their highest level.",
  ].join(" ");
  openDialog(h("span", {}, "Threshold of ", named(name)), [h("p", { class: "hint" }, words), chart]);
  const response = await fetch(cameraPath(id, "histogram")).catch(() => undefined);
  if (!response?.ok) {
    chart.replaceChildren(h("p", { class: "hint" }, "There is no histogram."));
    return;
  }
  // Markup of our own server, whose texts are escaped.
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  chart.replaceChildren(...page.body.childNodes);
}
