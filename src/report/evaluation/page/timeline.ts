// The scores of all videos over time: a list, and a player for one of them.
import { h, named, section } from "../../web/dom.js";
import * as format from "../../web/format.js";
import type { Data, Moment, Video } from "./model.js";
import { Player } from "./player.js";
import { sharedRange, sparkline } from "./sparkline.js";

/** The section of the timeline. */
export interface Timeline {
  element: HTMLElement;
  /**
   * Opens the first video. Call it when the page has the element, since a plot measures its place.
   */
  start(): void;
  /** Goes to a moment in its video. */
  show(moment: Moment): void;
}

/** Undefined if there are no videos. */
export function timeline({ videos, threshold, thresholdNote }: Data): Timeline | undefined {
  const [first] = videos;
  if (!first) return undefined;
  const player = new Player(threshold ?? undefined, thresholdNote);
  const range = sharedRange(videos);
  const list = h("ul", {});
  const buttons = new Map<Video, HTMLButtonElement>();
  for (const video of videos) {
    const button = h(
      "button",
      { type: "button" },
      h("span", { class: "name", title: video.name }, named(video.name)),
      h("span", { class: "auc" }, video.auc == null ? "" : `AUC ${format.percent(video.auc)}`),
      video.about ? h("span", { class: "about" }, video.about) : undefined,
      sparkline(video, range),
    );
    button.addEventListener("click", () => open(video));
    buttons.set(video, button);
  }
  const open = (video: Video, index?: number) => {
    for (const [other, button] of buttons) {
      if (other === video) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    player.open(video, index);
  };
  const fill = (order: readonly Video[]) => {
    list.replaceChildren(...order.map((video) => h("li", {}, buttons.get(video))));
  };
  fill(videos);

  let panel: HTMLElement | undefined;
  if (videos.length > 1) {
    const head = h("div", { class: "list-head" }, h("span", {}, `${videos.length} videos`));
    const measured = videos.some(({ auc }) => auc != null);
    if (measured && videos.length > 3) {
      const order = h("select", { "aria-label": "Order of the videos" });
      order.append(
        h("option", {}, "original order"),
        h("option", {}, "lowest AUC first"),
        h("option", {}, "highest AUC first"),
      );
      order.addEventListener("change", () => {
        const sign = [0, 1, -1][order.selectedIndex];
        // Those without an AUC come last.
        const place = ({ auc }: Video) => (sign === 0 ? 0 : auc == null ? Infinity : sign * auc);
        fill(videos.toSorted((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b))));
      });
      head.append(order);
    }
    panel = h("nav", { class: "videos", "aria-label": "Videos" }, head, list);
  }

  const element = section(
    "timeline",
    "Scores over time",
    h("div", { class: panel ? "split" : "" }, panel, player.element),
  );
  return {
    element,
    start: () => open(first),
    show(moment) {
      const video = videos.find(({ name }) => name === moment.video);
      if (!video) return;
      open(video, moment.index ?? 0);
      const button = buttons.get(video) as HTMLElement;
      // This scrolls the list; the page scrolls to the player.
      list.scrollTo({ top: button.offsetTop - list.offsetTop, left: button.offsetLeft - list.offsetLeft });
      player.element.scrollIntoView({ block: "start" });
    },
  };
}
