// A camera's picture, loaded again and again while somebody can see it. A stream of pictures would
// take one of the six connections that a browser opens to a server.
import { h } from "../../../report/web/dom.js";
import { cameraPath } from "./server.js";

/** Milliseconds between pictures. */
const EVERY = 200;
/** Milliseconds until the next try if there was no picture. */
const PAUSE = 2000;

/** A picture that is kept new. */
export class LivePicture {
  /** Where it is seen: an image that is hidden has no place. */
  readonly place: HTMLElement;
  private readonly image: HTMLImageElement;
  private isSeen = false;
  private isThere = false;
  private isLive = false;
  private isLoading = false;
  private began = 0;
  private timer = 0;

  /** @param over is drawn over the picture */
  constructor(
    private readonly camera: string,
    name: string,
    over: HTMLElement,
  ) {
    this.image = h("img", { alt: `What ${name} shows`, width: 640, height: 360, draggable: "false", hidden: true });
    this.place = h("div", { class: "screen" }, this.image, over);
    this.image.addEventListener("load", () => this.loaded(true));
    this.image.addEventListener("error", () => this.loaded(false));
    const observer = new IntersectionObserver((entries) => {
      this.isSeen = entries.at(-1)?.isIntersecting ?? false;
      this.load();
    });
    observer.observe(this.place);
    document.addEventListener("visibilitychange", () => this.load());
  }

  /**
   * Says what there is to load.
   * @param isThere whether there is a picture at all
   * @param isLive whether new ones come
   */
  set(isThere: boolean, isLive: boolean): void {
    const changes = isThere !== this.isThere || isLive !== this.isLive;
    Object.assign(this, { isThere, isLive });
    if (changes) this.load();
  }

  private load(): void {
    clearTimeout(this.timer);
    const isWanted = this.isThere && this.isSeen && !document.hidden && (this.isLive || this.image.hidden);
    if (!isWanted || this.isLoading) return;
    this.isLoading = true;
    this.began = performance.now();
    this.image.src = `${cameraPath(this.camera, "picture.jpg")}?${Date.now()}`;
  }

  private loaded(isGood: boolean): void {
    this.isLoading = false;
    if (isGood) {
      const { naturalWidth, naturalHeight } = this.image;
      this.image.hidden = false;
      this.place.style.aspectRatio = `${naturalWidth} / ${naturalHeight}`;
    }
    const pause = isGood && this.isLive ? Math.max(0, this.began + EVERY - performance.now()) : PAUSE;
    this.timer = setTimeout(() => this.load(), pause) as unknown as number;
  }
}
