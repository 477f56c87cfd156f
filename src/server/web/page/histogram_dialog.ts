// Shows why a camera's threshold is where it is, and lets the camera learn again.

import { h, named } from "../../../report/web/dom.js";
import * as format from "../../../report/web/format.js";
import type { CameraState } from "../api.js";
import { openDialog } from "./dialog.js";
import { learnAgain } from "./learn_again.js";
import { cameraPath } from "./server.js";
import { learningText, level } from "./texts.js";

/** Opens the histogram of a camera's normal minutes. */
export async function showHistogram(camera: CameraState): Promise<void> {
  const { id, name } = camera;
  const chart = h("div", { class: "histogram" });
  const again = learnAgain(id, () => dialog.close());
  const words = h("p", { class: "hint" }, explanation(camera));
  const dialog = openDialog(h("span", {}, "Threshold of ", named(name)), [words, chart, again]);
  if (!camera.learnt) return;
  chart.append(h("p", { class: "hint" }, "Loading \u2026"));
  const response = await fetch(cameraPath(id, "histogram")).catch(() => undefined);
  if (!response?.ok) {
    chart.replaceChildren(h("p", { class: "hint" }, "There is no histogram."));
    return;
  }
  // Markup of our own server, whose texts are escaped.
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  chart.replaceChildren(...page.body.childNodes);
}

function explanation({ threshold, learnt, learning, mode }: CameraState): string {
  const light = mode === "infrared" ? " in infrared light" : "";
  if (threshold === null) return `There is no threshold yet${light}: ${learningText(learning)}.`;
  const meaning = `Levels from ${level(threshold)} on are abnormal${light}.`;
  if (!learnt) return `${meaning} The configuration says so.`;
  const aim = learnt.alarmsPerDay === 1 ? "1 false alarm" : `${learnt.alarmsPerDay} false alarms`;
  const source =
    threshold === learnt.threshold
      ? `It was learnt from ${format.duration(learnt.seconds)} of normal video, for ${aim} a day.`
      : `The configuration says so; normal video gave ${level(learnt.threshold)}.`;
  return `${meaning} ${source} Each bar counts minutes by their highest level.`;
}
