// Draws zones and other areas on a camera's picture, and writes them as YAML.
import { h, named } from "../../../report/web/dom.js";
import { onTheme } from "../../../report/web/theme.js";
import type { CameraState } from "../api.js";
import { Pen } from "./area_pen.js";
import { type Area, type AreaKind, AreaSketch, type Corner } from "./area_sketch.js";
import { areaYaml } from "./area_yaml.js";
import { openDialog } from "./dialog.js";
import { cameraPath } from "./server.js";

/** Pixels from a corner within which a click means it. */
const NEAR = 12;
/** Shares of the picture that an arrow key moves the cross, alone and with Shift. */
const [STEP, LEAP] = [0.01, 0.05];

const kinds: readonly (readonly [AreaKind, string, string])[] = [
  ["zone", "Zone", "a named part of the picture"],
  ["ignore", "Ignore", "does not count"],
  ["privacy", "Privacy", "blacked out before anything is stored"],
];

/** Opens the editor. It changes nothing by itself: the configuration is a file. */
export function editAreas(camera: CameraState): void {
  new AreaEditor(camera).open();
}

class AreaEditor {
  private readonly sketch: AreaSketch;
  private readonly canvas: HTMLCanvasElement;
  private readonly yaml = h("textarea", { readonly: true, rows: 9, spellcheck: "false", "aria-label": "YAML" });
  private readonly list = h("ul", { class: "areas" });
  private readonly name = h("input", { type: "text", maxlength: 40, placeholder: "door", autocomplete: "off" });
  private readonly said = h("p", { class: "hint", role: "status" });
  private readonly finishButton = h("button", { type: "button" }, "Finish area");
  private readonly undoButton = h("button", { type: "button" }, "Undo");
  private kind: AreaKind = "zone";
  /** Where the cross of the keyboard is. */
  private cross: Corner = [0.5, 0.5];
  private hasCross = false;
  private pointer: Corner | undefined;
  private held: { area: Area; i: number } | undefined;

  constructor(private readonly camera: CameraState) {
    this.sketch = new AreaSketch(camera);
    this.canvas = h("canvas", {
      ...{ class: "drawing", tabindex: 0, role: "application" },
      "aria-label": "Picture. Arrow keys move the cross, Enter sets a corner, Backspace takes a step back.",
    });
  }

  open(): void {
    const size = new ResizeObserver(() => this.draw());
    const endTheme = onTheme(() => this.draw());
    const title = h("span", {}, "Areas of ", named(this.camera.name));
    const dialog = openDialog(title, [...this.drawing(), ...this.writing()], () => {
      size.disconnect();
      endTheme();
    });
    dialog.classList.add("editor");
    dialog.addEventListener("cancel", (event) => {
      if (this.sketch.corners.length === 0) return;
      // Escape gives up the area that is drawn, then the dialog.
      event.preventDefault();
      this.sketch.clear();
      this.show();
    });
    this.listen();
    size.observe(this.canvas);
    this.show();
  }

  /** What areas are drawn with. */
  private drawing(): HTMLElement[] {
    const src = `${cameraPath(this.camera.id, "picture.jpg")}?${Date.now()}`;
    const picture = h("img", { alt: "", width: 640, height: 360, src });
    const absent = h("p", { class: "hint", hidden: true }, "There is no picture of this camera yet.");
    picture.addEventListener("error", () => {
      picture.classList.add("absent");
      absent.hidden = false;
    });
    this.finishButton.addEventListener("click", () => this.finish());
    this.undoButton.addEventListener("click", () => this.undo());
    return [
      this.kindChoice(h("label", {}, "Name of the zone", this.name)),
      absent,
      h("div", { class: "stage" }, picture, this.canvas),
      this.said,
      h("div", { class: "actions" }, this.finishButton, this.undoButton),
      this.list,
    ];
  }

  /** What they become. */
  private writing(): HTMLElement[] {
    const how =
      "Click to set corners, and the first one again to finish. Drag a corner to move it. Undo takes the last step back. With keys: arrows move the cross, Enter sets a corner, Backspace takes a step back.";
    const paste = `Nothing is changed here: the areas belong into the configuration. Paste what stands below "${this.camera.id}:" into that camera's part of it, in place of its zones, ignore and privacy. sdmae watch takes the file over within seconds.`;
    const copy = h("button", { type: "button", class: "main" }, "Copy");
    copy.addEventListener("click", () => void this.copy());
    return [
      h("p", { class: "hint" }, how),
      h("p", { class: "hint" }, paste),
      this.yaml,
      h("div", { class: "actions" }, copy),
    ];
  }

  private kindChoice(nameLabel: HTMLElement): HTMLElement {
    const choices = kinds.map(([kind, title, what]) => {
      const radio = h("input", { type: "radio", name: "area-kind", value: kind, checked: kind === this.kind });
      radio.addEventListener("change", () => {
        this.kind = kind;
        this.sketch.clear();
        nameLabel.hidden = kind !== "zone";
        this.show();
      });
      return h("label", { class: "choice" }, radio, h("span", {}, h("b", {}, title), ` ${what}`));
    });
    return h("fieldset", {}, h("legend", { class: "hidden" }, "What to draw"), ...choices, nameLabel);
  }

  private listen(): void {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.hasCross = false;
      const place = this.placeOf(event);
      this.held = this.sketch.corners.length === 0 ? this.sketch.near(place, NEAR, this.distance) : undefined;
      if (this.held) {
        this.sketch.remember();
        canvas.setPointerCapture(event.pointerId);
      } else this.set(place);
    });
    canvas.addEventListener("pointermove", (event) => {
      this.pointer = this.placeOf(event);
      if (this.held) {
        this.sketch.move(this.held, this.pointer);
        this.show();
      } else this.draw();
    });
    const drop = () => {
      this.held = undefined;
    };
    canvas.addEventListener("pointerup", drop);
    canvas.addEventListener("pointercancel", drop);
    canvas.addEventListener("pointerleave", () => {
      this.pointer = undefined;
      this.draw();
    });
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  private onKey(event: KeyboardEvent): void {
    const step = event.shiftKey ? LEAP : STEP;
    const moves: Record<string, Corner> = {
      ...{ ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] },
    };
    const move = moves[event.key];
    if (move) {
      const [x, y] = this.cross.map((value, i) => Math.max(0, Math.min(1, value + move[i])));
      this.cross = [x, y];
      this.pointer = undefined;
      this.hasCross = true;
      this.said.textContent = `${Math.round(100 * x)} % from the left, ${Math.round(100 * y)} % from the top`;
      this.draw();
    } else if (event.key === "Enter" || event.key === " ") {
      this.hasCross = true;
      this.set(this.cross);
    } else if (event.key === "Backspace" || event.key === "Delete") this.undo();
    else return;
    event.preventDefault();
  }

  /** Sets a corner, or finishes at the first one. */
  private set(place: Corner): void {
    const { sketch, kind } = this;
    const [first] = sketch.corners;
    if (first && sketch.missing(kind) === 0 && this.distance(place, first) <= NEAR) this.finish();
    else if (sketch.add(kind, place)) this.finish();
    else this.show();
  }

  private finish(): void {
    const { sketch, kind, name } = this;
    if (sketch.finish(kind, name.value)) {
      name.value = "";
      this.show();
      return;
    }
    // Two corners of a rectangle on a line, or a polygon that covers nothing.
    if (kind === "privacy") sketch.undo();
    this.show("This area covers nothing.");
  }

  private undo(): void {
    this.sketch.undo();
    this.show();
  }

  private async copy(): Promise<void> {
    this.yaml.select();
    // Browsers give the clipboard to pages of https and of this machine only.
    const isCopied = await (navigator.clipboard?.writeText(this.yaml.value) ?? Promise.reject(new Error())).then(
      () => true,
      () => document.execCommand("copy"),
    );
    this.said.textContent = isCopied ? "Copied." : "Copy the selected text.";
  }

  /** Shows everything as it is now. @param news said instead of what to do next */
  private show(news = this.next()): void {
    const { sketch, kind } = this;
    this.yaml.value = areaYaml(this.camera.id, sketch.areas);
    this.said.textContent = news;
    this.finishButton.disabled = sketch.corners.length === 0 || sketch.missing(kind) > 0;
    this.undoButton.disabled = !sketch.canUndo;
    this.list.replaceChildren(...sketch.areas.map((area) => this.item(area)));
    this.draw();
  }

  private next(): string {
    const { corners } = this.sketch;
    const missing = this.sketch.missing(this.kind);
    if (this.kind === "privacy") return corners.length === 0 ? "Set a corner." : "Set the opposite corner.";
    if (missing > 0) return `Set ${missing === 1 ? "another corner" : `${missing} corners or more`}.`;
    return "Set more corners, or finish.";
  }

  private item(area: Area): HTMLElement {
    const title = area.kind === "zone" ? `zone ${area.name}` : area.kind;
    const remove = h("button", { type: "button", "aria-label": `Remove ${title}` }, "Remove");
    remove.addEventListener("click", () => {
      this.sketch.remove(area);
      this.show();
    });
    return h("li", {}, h("i", { "data-kind": area.kind }), h("span", {}, title), remove);
  }

  private placeOf({ clientX, clientY }: PointerEvent): Corner {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [(clientX - left) / width, (clientY - top) / height];
  }

  private readonly distance = (a: Corner, b: Corner): number => {
    const { clientWidth, clientHeight } = this.canvas;
    return Math.hypot((a[0] - b[0]) * clientWidth, (a[1] - b[1]) * clientHeight);
  };

  private draw(): void {
    const { canvas, sketch, kind } = this;
    const scale = devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    if (!context) return;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const pen = new Pen(context, width, height);
    for (const area of sketch.areas) pen.area(area);
    const at = this.hasCross ? this.cross : this.pointer;
    pen.open(kind, sketch.corners, this.held ? undefined : at);
    if (this.hasCross) pen.cross(this.cross);
  }
}
