// What bench/cluster.js and its processes of workers tell each other. Times are Date.now().

/** What workers are started with. */
export interface WorkersJob {
  /** The server's address. */
  url: string;
  names: string[];
  /** Seconds. */
  lease: number;
  /** Frames per second that each worker says it scores. */
  capacity: number;
}

/** From the benchmark. */
export type ToWorkers =
  | ({ type: "start" } & WorkersJob)
  /** All workers begin to take cameras. */
  | { type: "begin" }
  /** A worker's connection ends, without a word. */
  | { type: "crash"; worker: string }
  /** Asks which of the workers leads. */
  | { type: "lead" }
  /** Events begin and end: so many per second for some seconds, or one of each camera at once. */
  | { type: "events"; perSecond?: number; seconds?: number }
  | { type: "hold" };

/** To the benchmark. */
export type FromWorkers =
  | { type: "started" }
  /** All that a worker watches from now on. */
  | { type: "watches"; worker: string; at: number; cameras: string[] }
  | { type: "crashed"; at: number }
  | { type: "leads"; worker?: string }
  /** Messages that have arrived at the server, and those that did not. */
  | { type: "sent"; messages: number; failed: number }
  /** Bytes after garbage collection, and seconds of the processor so far. */
  | { type: "held"; rss: number; cpu: number }
  | { type: "failed"; message: string };
