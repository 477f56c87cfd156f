// The list of events, newest first.
import { h, section } from "../../../report/web/dom.js";
import { type EventChange, eventKinds } from "../../records.js";
import type { ListedEvent } from "../api.js";
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
  private readonly day = h("input", { type: "date" });
  private readonly allDays = h("button", { type: "button", hidden: true }, "All days");
  private readonly more = h("button", { type: "button", class: "more" }, "Load more");
  private readonly empty = h("p", { class: "hint" });
  private readonly news = h("p", { class: "hidden", role: "status" });
  private readonly names = new Map<string, string>();
  /** How long clips are kept, for people. */
  private kept = "";
  private events: ListedEvent[] = [];
  private limit = PAGE;
  /** Counts loads: an answer that is overtaken by another one is dropped. */
  private loads = 0;
  /** Changes that came while a list was loaded. */
  private readonly fresh = new Map<string, ListedEvent>();

  constructor() {
    this.kind.append(...eventKinds.map((kind) => h("option", { value: kind }, kindNames[kind])));
    const filter = () => {
      this.allDays.hidden = this.day.value === "";
      this.limit = PAGE;
      void this.load();
    };
    for (const choice of [this.camera, this.kind, this.day]) choice.addEventListener("change", filter);
    this.allDays.addEventListener("click", () => {
      this.day.value = "";
      filter();
      this.day.focus();
    });
    this.more.addEventListener("click", () => {
      this.limit = Math.min(MOST, this.limit + PAGE);
      void this.load();
    });
    this.more.hidden = true;
    const filters = h(
      "div",
      { class: "filters" },
      this.camera,
      this.kind,
      h("label", {}, "Day ", this.day),
      this.allDays,
    );
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

  /** Takes how long clips are kept. */
  setKept(kept: string): void {
    if (kept === this.kept) return;
    this.kept = kept;
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
    const [since, until] = this.span();
    if (since !== undefined) query.set("since", since);
    if (until !== undefined) query.set("until", until);
    try {
      const events = await ask<ListedEvent[]>(`/api/events?${query}`);
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
  change({ change, event: news }: EventChange): void {
    // The server looks for files when events are listed.
    const isDeleted = change === "feedback" && this.events.some(({ id, deleted }) => id === news.id && deleted);
    const event: ListedEvent = isDeleted ? { ...news, deleted: true } : news;
    this.fresh.set(event.id, event);
    this.put(event);
    this.show();
    if (change !== "new" || event.silent) return;
    this.news.textContent = `${kindNames[event.kind]}: ${this.names.get(event.camera) ?? event.camera}`;
  }

  /** When the chosen day begins, and the next one; neither if there is none. */
  private span(): [since?: string, until?: string] {
    const [year, month, day] = this.day.value.split("-").map(Number);
    // While it is typed, the year may be 2.
    if (!(year >= 1970)) return [];
    return [new Date(year, month - 1, day).toISOString(), new Date(year, month - 1, day + 1).toISOString()];
  }

  private put(event: ListedEvent): void {
    const [since = "", until = "~"] = this.span();
    if (event.start < since || event.start >= until) return;
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
    const shown = [...this.list.children] as HTMLElement[];
    const before = new Map(shown.map((item) => [item.dataset.id, item]));
    const items = this.events.map((event) => {
      const item = eventItem(event, this.names.get(event.camera) ?? event.camera, this.kept);
      const old = before.get(event.id);
      return old && old.outerHTML === item.outerHTML ? old : item;
    });
    this.place(items);
    const isFiltered = [this.camera, this.kind, this.day].some(({ value }) => value !== "");
    this.say(items.length > 0 ? "" : isFiltered ? "No such events." : "No events yet.");
  }

  /** Puts items into the list. What stays is not taken out: it would lose the focus. */
  private place(items: readonly HTMLElement[]): void {
    const { list } = this;
    const focused = document.activeElement?.closest<HTMLElement>(".event");
    const isFeedback = document.activeElement?.matches(".feedback");
    const stays = new Set<Element>(items);
    for (const old of [...list.children]) if (!stays.has(old)) old.remove();
    for (const [i, item] of items.entries()) {
      if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
    }
    if (!focused || focused.isConnected) return;
    // An event that changed is a new element: its button takes the focus over.
    const again = items.find(({ dataset }) => dataset.id === focused.dataset.id);
    again?.querySelector<HTMLElement>(isFeedback ? ".feedback" : ".thumb")?.focus();
  }
}
