import { h } from "../../web/dom.js";
import type { Picture } from "./model.js";

/** A frame with its anomaly map over it. The style sheet shows or hides the map. */
export class LayeredPicture {
  private readonly frame = h("img", { alt: "", class: "frame", draggable: "false" });
  private readonly map = h("img", { alt: "", class: "map", draggable: "false" });
  /** The box that keeps the picture's proportions. */
  readonly box = h("span", { class: "layers" }, this.frame, this.map);

  constructor(lazy = false) {
    if (lazy) for (const image of [this.frame, this.map]) image.loading = "lazy";
    this.frame.addEventListener("load", () => {
      const { naturalWidth, naturalHeight } = this.frame;
      if (naturalWidth > 0) this.box.style.setProperty("--ratio", String(naturalWidth / naturalHeight));
    });
  }

  show({ image, map }: Picture, description: string): void {
    this.frame.alt = description;
    if (this.frame.getAttribute("src") === image) return;
    this.frame.src = image;
    this.map.src = map;
  }
}
