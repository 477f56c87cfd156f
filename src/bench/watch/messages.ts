// What a benchmark and the watch process that it measures tell each other.
import type { WatchConfig } from "../../server/config/config.js";
import type { SupervisorOptions } from "../../server/supervisor.js";

/** What a watch process is started with. */
export interface WatchJob {
  config: WatchConfig;
  options: SupervisorOptions;
}

/** What a watch process holds at a moment. */
export interface Held {
  /** Seconds of the processor so far. */
  cpu: number;
  /** Bytes; after garbage collection if that was asked for. */
  rss: number;
  heap: number;
  /** Array buffers and what else lies beside the heap. */
  external: number;
  /** Open file descriptors; 0 where the system does not tell. */
  handles: number;
  /** Timers, sockets, processes and the like that keep Node running. */
  resources: number;
  frames: number;
  scored: number;
  dropped: number;
  connections: number;
  enginePids: number[];
}

/** From the benchmark. */
export type ToWatch =
  | ({ type: "start" } & WatchJob)
  | { type: "hold"; collect: boolean }
  /** Asks for the latencies since it was last asked. */
  | { type: "latencies" }
  | { type: "stop" };

/** To the benchmark. */
export type FromWatch =
  | { type: "page"; url: string }
  | ({ type: "held" } & Held)
  /** Seconds from a frame's arrival to its level, by camera. */
  | { type: "latencies"; cameras: { id: string; latencies: number[] }[] }
  /**
   * An anomaly is on disk. Milliseconds since 1970: when the frame arrived in which it became sure,
   * and when its line was on disk.
   */
  | { type: "event"; id: string; arrived: number; kept: number }
  | { type: "notice"; line: string }
  | { type: "failed"; message: string };
