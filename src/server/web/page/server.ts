// Asks the server, and listens to it. A lost connection is opened again.
import type { EventChange } from "../../records.js";
import type { FrameMessage, Refusal, WatchState } from "../api.js";

/** Asks for JSON. @throws Error with a line for people */
export async function ask<T>(path: string, method: "GET" | "POST" | "DELETE" = "GET"): Promise<T> {
  const response = await fetch(path, { method }).catch(() => {
    throw new Error("the server does not answer");
  });
  if (response.ok) return (await response.json()) as T;
  // The login is over: the server shows its form instead of the page.
  if (response.status === 401) location.reload();
  const refusal = (await response.json().catch(() => undefined)) as Refusal | undefined;
  throw new Error(refusal?.error ?? `the server answers ${response.status}`);
}

/** The address of a camera's part of the API. */
export const cameraPath = (camera: string, name: string): string =>
  `/api/cameras/${encodeURIComponent(camera)}/${name}`;

/** The address of an event's file. */
export const filePath = (file: string): string => `/files/${file.split("/").map(encodeURIComponent).join("/")}`;

/** What the server says. */
export interface ServerListener {
  /** The connection is there, perhaps again: something may have been missed. */
  onOpen(): void;
  onState(state: WatchState): void;
  onFrame(frame: FrameMessage): void;
  onChange(change: EventChange): void;
  /** The connection is lost; it is opened again. */
  onLost(): void;
}

/** Milliseconds of silence after which the connection counts as dead: states come every 2 s. */
const SILENCE = 8000;
/** Milliseconds until it is opened again, at first and at most. */
const [FIRST, MOST] = [1000, 10_000];

/** Listens while the page is seen. */
export class Connection {
  private source: EventSource | undefined;
  private timer = 0;
  private heard = 0;
  private pause = FIRST;

  constructor(private readonly listener: ServerListener) {
    document.addEventListener("visibilitychange", () => this.show(!document.hidden));
    setInterval(() => this.watch(), 1000);
    this.open();
  }

  private show(isSeen: boolean): void {
    clearTimeout(this.timer);
    if (isSeen) this.open();
    else this.close();
  }

  private open(): void {
    this.close();
    const source = new EventSource("/api/stream");
    this.source = source;
    this.heard = performance.now();
    const on = <T>(name: string, take: (value: T) => void) =>
      source.addEventListener(name, ({ data }: MessageEvent<string>) => {
        this.heard = performance.now();
        take(JSON.parse(data) as T);
      });
    on<WatchState>("state", (state) => this.listener.onState(state));
    on<FrameMessage>("frame", (frame) => this.listener.onFrame(frame));
    on<EventChange>("change", (change) => this.listener.onChange(change));
    source.addEventListener("open", () => {
      this.heard = performance.now();
      this.pause = FIRST;
      this.listener.onOpen();
    });
    source.addEventListener("error", () => this.lost());
  }

  private close(): void {
    this.source?.close();
    this.source = undefined;
  }

  /** A machine that slept, or a cable that was pulled, gives no error. */
  private watch(): void {
    if (this.source && performance.now() - this.heard > SILENCE) this.lost();
  }

  private lost(): void {
    this.close();
    this.listener.onLost();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.open();
      // An EventSource does not say that the login is over.
      void ask("/api/state").catch(() => {});
    }, this.pause) as unknown as number;
    this.pause = Math.min(MOST, 2 * this.pause);
  }
}
