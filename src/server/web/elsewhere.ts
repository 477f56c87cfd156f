// What the page is told of cameras that other machines watch.
import type { EventFilter } from "../event_query.js";
import type { EventChange } from "../records.js";
import type { CameraState, FrameMessage, ListedEvent, WatchState } from "./api.js";

/** Where files of other machines are in addresses: MACHINE/clips/… follows. */
export const machinesPath = "/files/machines/";

/** A request that another machine is asked to answer. */
export interface ForwardedRequest {
  method: "GET" | "HEAD" | "POST" | "DELETE";
  /** With its query. */
  path: string;
  headers: Readonly<Record<string, string>>;
}

/** Who hears what happens elsewhere. */
export interface ElsewhereListener {
  onFrame(frame: FrameMessage): void;
  /** Of all cameras, also of this machine's. */
  onChange(change: EventChange): void;
}

/** The cameras of other machines. */
export interface Elsewhere {
  /** Cameras of others, machines that are alive, and cameras that nobody watches. */
  state(): Promise<{ cameras: CameraState[] } & NonNullable<WatchState["shared"]>>;
  /** Events of all cameras, newest first. @throws InputError if a time is none */
  events(filter: EventFilter): Promise<ListedEvent[]>;
  /** Whether this machine may watch: it may not while the server is away for long. */
  readonly isInTouch: boolean;
  /**
   * How many machines there are, and how many cameras nobody watches; undefined: another machine
   * counts that.
   */
  readonly figures: { workers: number; unwatched: number } | undefined;
  /** The machine that watches a camera, if it is another one. */
  machineOf(camera: string): Promise<string | undefined>;
  /** The machine that an event is of, if it is another one. */
  machineOfEvent(id: string): Promise<string | undefined>;
  /** @throws Error if the machine does not answer */
  ask(machine: string, request: ForwardedRequest): Promise<Response>;
  /** Listens while a page is open. @returns what ends it */
  listen(listener: ElsewhereListener): () => void;
}
