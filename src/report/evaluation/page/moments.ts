import { h, named, section } from "../../web/dom.js";
import * as format from "../../web/format.js";
import type { Moment } from "./model.js";
import { LayeredPicture } from "./picture.js";

/** Kinds of moments with a colour; others are grey. */
const KINDS = new Set(["event", "detected", "false positive", "missed", "no alarm"]);

/**
 * Cards of the best and worst moments.
 * @param known names of the videos on the page
 * @param show goes to a moment in its video
 */
export function moments(
  list: readonly Moment[],
  known: ReadonlySet<string>,
  show: (moment: Moment) => void,
): HTMLElement | undefined {
  if (list.length === 0) return undefined;
  const hint = h("p", { class: "hint" }, "Point at a picture, or tap it, to hide its anomaly map.");
  const cards = list.map((moment) => card(moment, known.has(moment.video) ? show : undefined));
  const heading = list.some(({ kind }) => kind === "event")
    ? "Events"
    : list.every(({ kind }) => kind === "highest")
      ? "Highest scores"
      : "Best and worst moments";
  return section("moments", heading, hint, h("ul", { class: "cards" }, ...cards));
}

function card(moment: Moment, show: ((moment: Moment) => void) | undefined): HTMLElement {
  const { kind, video, frame, score, label, note } = moment;
  const layers = new LayeredPicture(true);
  layers.show(moment, `${kind}: frame ${frame} of ${video}`);
  const picture = h("button", { type: "button", class: "peek", "aria-pressed": "true" }, layers.box);
  picture.setAttribute("aria-label", `Anomaly map on frame ${frame} of ${video}`);
  picture.addEventListener("click", () => {
    picture.setAttribute("aria-pressed", String(picture.getAttribute("aria-pressed") !== "true"));
  });
  const badge = h("span", { class: "badge", "data-kind": KINDS.has(kind) ? kind : undefined }, kind);
  const title = h("span", { class: "where" }, named(video), ` \u00b7 frame ${frame}`);
  const jump = show && h("button", { type: "button", class: "jump" }, title);
  jump?.setAttribute("aria-label", `Show frame ${frame} of ${video} in its timeline`);
  jump?.addEventListener("click", () => show?.(moment));
  const detail = `score ${format.score(score)}${label == null ? "" : ` \u00b7 ${format.label(label)}`}${note == null ? "" : ` \u00b7 ${note}`}`;
  return h(
    "li",
    {},
    picture,
    h("div", { class: "caption" }, badge, jump ?? title, h("span", { class: "detail" }, detail)),
  );
}
