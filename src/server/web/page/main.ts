// The program of the page of `sdmae watch`.
import "../../../report/web/locale.js";

import { h, section } from "../../../report/web/dom.js";
import { themeToggle } from "../../../report/web/theme.js";
import type { WatchState } from "../api.js";
import { CameraCard } from "./camera_card.js";
import { EventList } from "./events.js";
import { Health } from "./health.js";
import { Connection } from "./server.js";
import { keptText } from "./texts.js";

const cards = new Map<string, CameraCard>();
const events = new EventList();
const health = new Health();
const lost = h("p", { class: "lost", role: "alert" });
const heat = h("input", { type: "checkbox", checked: true });
const grid = h("div", { class: "cameras" });
const cameras = section(
  "cameras",
  "Cameras",
  h("label", { class: "switch" }, heat, "Heat map"),
  h("p", { class: "hint waiting" }, "Waiting for the server \u2026"),
  grid,
);
lost.hidden = true;
heat.addEventListener("change", () => cameras.classList.toggle("no-heat", !heat.checked));

document.body.prepend(
  h(
    "main",
    {},
    h("header", {}, h("h1", {}, "sdmae watch"), themeToggle()),
    lost,
    health.problems,
    cameras,
    events.element,
    health.element,
  ),
);

function showState(state: WatchState): void {
  cameras.querySelector(".waiting")?.remove();
  events.setCameras(state.cameras);
  events.setKept(keptText(state.storage));
  for (const camera of state.cameras) {
    let card = cards.get(camera.id);
    if (!card) {
      card = new CameraCard(camera);
      cards.set(camera.id, card);
      grid.append(card.element);
      void card.begin();
    }
    card.show(camera, state.time);
  }
  for (const [id, card] of cards) {
    if (state.cameras.some((camera) => camera.id === id)) continue;
    card.element.remove();
    cards.delete(id);
  }
  health.show(state);
}

new Connection({
  onOpen: () => {
    lost.hidden = true;
    document.body.classList.remove("is-lost");
    void events.load();
    for (const card of cards.values()) void card.begin();
  },
  onState: showState,
  onFrame: (frame) => cards.get(frame.camera)?.frame(frame),
  onChange: (change) => events.change(change),
  onLost: () => {
    lost.textContent = "The connection is lost. Trying again \u2026";
    lost.hidden = false;
    document.body.classList.add("is-lost");
  },
});
