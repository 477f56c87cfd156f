// The list of events, newest first.
import { h, section } from "../../../report/web/dom.js";
import { type CameraEvent, type EventChange, eventKinds } from "../../records.js";
import { eventItem } from "./event_item.js";
import { ask } from "./server.js";
import { kindNames } from "./texts.js";

/** Events that are loaded at once. */
const PAGE = 50;
/** Events that the server gives at most. */
const MOST = 1000;

/** The list. */
export class EventList {
  readonly element: HTMLElement;
  private readonly list = h("ol", { class: "events" });
  private readonly camera = h("select", { "aria-label": "Camera" }, h("option", { value: "" }, "All cameras"));
  private readonly kind = h("select", { "aria-label": "Kind" }, h("option", { value: "" }, "All kinds"));
  private readonly more = h("button", { type: "button", class: "more" }, "Load more");
  private readonly empty = h("p", { class: "hint" });
  private readonly news = h("p", { class: "hidden", role: "status" });
  private readonly names = new Map<string, string>();
  private events: CameraEvent[] = [];
  private limit = PAGE;
  /** Counts loads: an answer that is overtaken by another one is dropped. */
  private loads = 0;
  /** Changes that came while a list was loaded. */
  private readonly fresh = new Map<string, CameraEvent>();

  constructor() {
    this.kind.append(...eventKinds.map((kind) => h("option", { value: kind }, kindNames[kind])));
    for (const select of [this.camera, this.kind]) {
      select.addEventListener("change", () => {
        this.limit = PAGE;
        void this.load();
      });
    }
    this.more.addEventListener("click", () => {
      this.limit = Math.min(MOST, this.limit + PAGE);
      void this.load();
    });
    this.more.hidden = true;
    const filters = h("div", { class: "filters" }, this.camera, this.kind);
    this.element = section("events", "Events", filters, this.news, this.empty, this.list, this.more);
  }

  /** Takes the names of cameras. */
  setCameras(cameras: readonly { id: string; name: string }[]): void {
    if (cameras.every(({ id, name }) => this.names.get(id) === name)) return;
    for (const { id, name } of cameras) {
      if (!this.names.has(id)) this.camera.append(h("option", { value: id }, name));
      this.names.set(id, name);
    }
    this.show();
  }

  /** Loads the newest events. */
  async load(): Promise<void> {
    const load = ++this.loads;
    this.fresh.clear();
    const { limit } = this;
    const query = new URLSearchParams({ limit: String(limit) });
    if (this.camera.value) query.set("camera", this.camera.value);
    if (this.kind.value) query.set("kind", this.kind.value);
    try {
      const events = await ask<CameraEvent[]>(`/api/events?${query}`);
      if (load !== this.loads) return;
      this.events = events;
      for (const event of this.fresh.values()) this.put(event);
      this.more.hidden = events.length < limit || limit === MOST;
      this.show();
    } catch (error) {
      if (load === this.loads) this.say((error as Error).message);
    }
  }

  /** Takes what became of an event. */
  change({ change, event }: EventChange): void {
    this.fresh.set(event.id, event);
    this.put(event);
    this.show();
    if (change !== "new" || event.silent) return;
    this.news.textContent = `${kindNames[event.kind]}: ${this.names.get(event.camera) ?? event.camera}`;
  }

  private put(event: CameraEvent): void {
    if (this.camera.value && event.camera !== this.camera.value) return;
    if (this.kind.value && event.kind !== this.kind.value) return;
    const others = this.events.filter(({ id }) => id !== event.id);
    const at = others.findIndex(({ start, id }) => start < event.start || (start === event.start && id < event.id));
    // An old event that changes may be behind the list's end.
    if (at < 0 && !this.more.hidden && others.length === this.events.length) return;
    others.splice(at < 0 ? others.length : at, 0, event);
    this.events = others;
  }

  private say(text: string): void {
    this.empty.textContent = text;
    this.empty.hidden = text === "";
  }

  /** Events that are as before keep their elements, and with them the focus. */
  private show(): void {
    const before = new Map([...this.list.children].map((item) => [(item as HTMLElement).dataset.id, item]));
    const items = this.events.map((event) => {
      const item = eventItem(event, this.names.get(event.camera) ?? event.camera);
      const old = before.get(event.id);
      return old && old.outerHTML === item.outerHTML ? old : item;
    });
    if (items.some((item, i) => item !== this.list.children[i]) || items.length !== this.list.children.length) {
      this.list.replaceChildren(...items);
    }
    const isFiltered = this.camera.value !== "" || this.kind.value !== "";
    this.say(items.length > 0 ? "" : isFiltered ? "No such events." : "No events yet.");
  }
}
