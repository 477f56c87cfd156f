// A camera: its picture with the heat map, its status, and its levels.
import { h, named } from "../../../report/web/dom.js";
import type { CameraState, FrameMessage, LevelPoint } from "../api.js";
import { editAreas } from "./area_editor.js";
import { Heat } from "./heat.js";
import { showHistogram } from "./histogram_dialog.js";
import { LevelPlot } from "./level_plot.js";
import { LivePicture } from "./live_picture.js";
import { ask, cameraPath } from "./server.js";
import { learningText, level, statusText } from "./texts.js";

/** A camera's part of the page. */
export class CameraCard {
  readonly element: HTMLElement;
  private readonly heat = new Heat();
  private readonly picture: LivePicture;
  private readonly plot: LevelPlot;
  private readonly status = h("span", { class: "badge" });
  private readonly problem = h("p", { class: "problem" });
  private readonly progress = h("progress", { max: 1 });
  private readonly learning = h("div", { class: "learning" }, this.progress, h("span", {}));
  private readonly figures = h("dl", { class: "figures" });
  private state: CameraState;

  constructor(state: CameraState) {
    this.state = state;
    const { id, name } = state;
    this.picture = new LivePicture(id, name, this.heat.canvas);
    this.plot = new LevelPlot(name);
    const threshold = h("button", { type: "button", "aria-label": `Threshold of ${name}` }, "Threshold");
    const areas = h("button", { type: "button", "aria-label": `Areas of ${name}` }, "Areas");
    areas.addEventListener("click", () => editAreas(this.state));
    threshold.addEventListener("click", () => void showHistogram(this.state));
    this.element = h(
      "article",
      { class: "camera", "aria-label": name, "data-camera": id },
      h("div", { class: "camera-head" }, h("h3", {}, named(name)), this.status),
      this.picture.place,
      this.problem,
      this.learning,
      this.plot.host,
      h("div", { class: "camera-foot" }, this.figures, h("div", { class: "actions" }, threshold, areas)),
    );
  }

  /** Loads what the server remembers of the last minutes. */
  async begin(): Promise<void> {
    const points = await ask<LevelPoint[]>(cameraPath(this.state.id, "levels")).catch(() => []);
    this.plot.begin(points);
  }

  /** Shows a new state. @param now of the server */
  show(state: CameraState, now: number): void {
    this.state = state;
    const { element, status, problem, learning, progress } = this;
    const isLive = state.status === "online";
    element.dataset.status = state.status;
    status.textContent = statusText(state, now);
    problem.textContent = state.problem ?? "";
    this.picture.set(state.picture, isLive);
    if (!isLive) this.heat.clear();
    learning.hidden = state.threshold !== null || !isLive;
    progress.value = state.learning;
    (learning.lastChild as HTMLElement).textContent = learningText(state.learning);
    progress.setAttribute("aria-label", learningText(state.learning));
    this.figures.replaceChildren(...figures(state).map(([name, value]) => row(name, value)));
    this.mark(isLive ? state.level : null, state.threshold);
    this.plot.draw(now);
  }

  /** Shows a frame. */
  frame(frame: FrameMessage): void {
    this.heat.show(frame, this.state.learnt);
    this.plot.push(frame);
    this.mark(frame.level, frame.threshold);
  }

  private mark(value: number | null, threshold: number | null): void {
    this.element.classList.toggle("abnormal", value !== null && threshold !== null && value >= threshold);
  }
}

const row = (name: string, value: string): HTMLElement => h("div", {}, h("dt", {}, name), h("dd", {}, value));

function figures({
  level: value,
  threshold,
  fps,
  wantedFps,
  latency,
  mode,
  shadow,
  paused,
  machine,
}: CameraState): [string, string][] {
  return [
    ["level", threshold === null ? level(value) : `${level(value)} of ${level(threshold)}`],
    ["frames/s", `${fps.toFixed(1)} of ${wantedFps}`],
    ["delay", latency === null ? "\u2013" : `${latency.toFixed(latency < 10 ? 1 : 0)} s`],
    ...(machine === null ? [] : ([["machine", machine]] as [string, string][])),
    ...(mode === "infrared" ? ([["light", "infrared"]] as [string, string][]) : []),
    ...(shadow || paused ? ([["alerts", shadow ? "off (shadow)" : "switched off"]] as [string, string][]) : []),
  ];
}
