// The player: one video with its picture, its plot of scores, and a slider.
import { h, named } from "../../web/dom.js";
import * as format from "../../web/format.js";
import { highestOf, nearestPicture, outcome, type Video } from "./model.js";
import { LayeredPicture } from "./picture.js";
import { ScorePlot } from "./score_plot.js";

/** Frames per second if a video has no clock; the longest time that playing takes, in seconds. */
const [RATE, LONGEST] = [20, 60];

/** Shows one video at a time. The slider moves through picture and plot. */
export class Player {
  private readonly name = h("h3", {});
  private readonly picture = new LayeredPicture();
  private readonly screen = h("div", { class: "screen" }, this.picture.box);
  private readonly caption = h("p", { class: "picture-note" });
  private readonly readout = h("dl", { class: "readout" });
  private readonly map = h("input", { type: "range", min: 0, max: 100, value: 70, class: "opacity" });
  private readonly mapSwitch = h("input", { type: "checkbox", checked: true });
  private readonly host = h("div", { class: "plot scores" });
  private readonly play = h("button", { type: "button", class: "play", "aria-label": "Play" });
  private readonly slider = h("input", { type: "range", min: 0, step: 1, class: "scrub", "aria-label": "Frame" });
  private readonly key = h("ul", { class: "key" });
  readonly element: HTMLElement;

  private plot?: ScorePlot;
  private video?: Video;
  private index = 0;
  private playing = 0;

  constructor(
    private readonly threshold: number | undefined,
    private readonly thresholdNote: string | undefined,
  ) {
    const mapControls = h(
      "div",
      { class: "map-controls" },
      h("label", {}, this.mapSwitch, "Anomaly map"),
      h("label", { class: "strength" }, h("span", { class: "hidden" }, "Opacity of the anomaly map"), this.map),
    );
    this.element = h(
      "div",
      { class: "player" },
      this.name,
      h("div", { class: "stage" }, this.screen, h("div", { class: "side" }, this.readout, mapControls, this.caption)),
      this.key,
      this.host,
      h("div", { class: "transport" }, this.play, this.slider),
    );
    this.mapSwitch.addEventListener("change", () => this.showMap());
    this.map.addEventListener("input", () => {
      this.mapSwitch.checked = true;
      this.showMap();
    });
    this.slider.addEventListener("input", () => {
      this.stop();
      this.seek(Number(this.slider.value));
    });
    this.play.addEventListener("click", () => (this.playing ? this.stop() : this.start()));
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.showMap();
  }

  /** Shows a video, at its highest score or at another frame. */
  open(video: Video, index = highestOf(video.scores)): void {
    this.stop();
    if (video !== this.video) {
      this.video = video;
      this.plot?.destroy();
      this.plot = undefined;
      this.name.replaceChildren(named(video.name), video.about ? h("span", { class: "about" }, video.about) : "");
      const count = video.scores.length;
      this.slider.max = String(Math.max(0, count - 1));
      this.element.classList.toggle("pictureless", video.strip.length === 0);
      this.key.replaceChildren(...this.keyItems(video));
      if (count > 0) {
        this.plot = new ScorePlot(this.host, video, this.threshold, (to) => {
          this.stop();
          this.slider.focus({ preventScroll: true });
          this.seek(to);
        });
      } else this.host.replaceChildren(h("p", { class: "hint" }, "This video has no scores."));
    }
    this.seek(index);
  }

  private seek(to: number): void {
    const { video } = this;
    if (!video) return;
    const index = Math.max(0, Math.min(video.scores.length - 1, Math.round(to)));
    this.index = index;
    this.slider.value = String(index);
    this.plot?.seek(index);
    const [frame, score, label] = [video.frames[index] ?? index, video.scores[index], video.labels?.[index]];
    const verdict = outcome(label, score, this.threshold);
    const over = score == null || this.threshold === undefined ? undefined : score >= this.threshold;
    const rows: [string, string | Node][] = [["Frame", `${frame}`]];
    if (video.times) rows.push(["Time", format.time(video.times[index])]);
    rows.push(["Score", format.score(score)], ["Before smoothing", format.score(video.raw[index])]);
    if (video.labels || !video.events) rows.push(["Label", video.labels ? format.label(label) : "none"]);
    if (verdict) rows.push(["Outcome", h("span", { class: "badge", "data-kind": verdict }, verdict)]);
    else if (over !== undefined) rows.push(["Outcome", over ? "above threshold" : "below threshold"]);
    this.readout.replaceChildren(...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
    this.slider.setAttribute(
      "aria-valuetext",
      [`frame ${frame}`, `score ${format.score(score)}`, label == null ? "" : format.label(label), verdict ?? ""]
        .filter(Boolean)
        .join(", "),
    );
    const picture = nearestPicture(video.strip, index);
    if (!picture) {
      this.caption.textContent = "This video has no pictures.";
      return;
    }
    const shown = video.frames[picture.index ?? 0] ?? picture.index;
    this.picture.show(picture, `Frame ${shown} of ${video.name}`);
    this.caption.textContent = shown === frame ? "" : `The nearest picture is of frame ${shown}.`;
  }

  private keyItems(video: Video): HTMLElement[] {
    const item = (kind: string, text: string, title?: string) => h("li", { title }, h("i", { class: kind }), text);
    const threshold = `threshold${this.threshold === undefined ? "" : ` ${format.score(this.threshold)}`}`;
    return [
      item("smooth", "score"),
      item("raw", "before smoothing"),
      video.labels
        ? item("abnormal", `labelled abnormal${video.about ? `: ${video.about}` : ""}`)
        : video.events
          ? item("abnormal", "event")
          : h("li", { class: "missing" }, "no labels"),
      this.threshold === undefined
        ? h("li", { class: "missing" }, "no threshold")
        : item("dashed", threshold, this.thresholdNote),
    ];
  }

  private showMap(): void {
    const strength = this.mapSwitch.checked ? Number(this.map.value) / 100 : 0;
    this.screen.style.setProperty("--map", String(strength));
  }

  private onKey(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    // Sliders handle the arrows themselves.
    if (step === undefined || target instanceof HTMLInputElement || event.altKey || event.ctrlKey || event.metaKey)
      return;
    event.preventDefault();
    this.stop();
    this.seek(this.index + step);
  }

  private start(): void {
    const count = this.video?.scores.length ?? 0;
    if (count < 2) return;
    if (this.index >= count - 1) this.seek(0);
    const { times } = this.video as Video;
    const clock = times?.at(-1) != null ? (count - 1) / ((times.at(-1) as number) - (times[0] ?? 0)) : RATE;
    const rate = Math.max(Number.isFinite(clock) && clock > 0 ? clock : RATE, count / LONGEST);
    let [last, at] = [performance.now(), this.index];
    const step = (now: number) => {
      at += (Math.max(0, now - last) / 1000) * rate;
      last = now;
      if (at >= count - 1) {
        this.seek(count - 1);
        this.stop();
        return;
      }
      if (Math.floor(at) !== this.index) this.seek(Math.floor(at));
      this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
    this.play.classList.add("on");
    this.play.setAttribute("aria-label", "Pause");
  }

  private stop(): void {
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.play.classList.remove("on");
    this.play.setAttribute("aria-label", "Play");
  }
}
