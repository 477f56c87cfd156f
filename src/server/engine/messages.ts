// What the engine's process and the supervisor tell each other.

import type { ScoreSettings } from "../../detector/settings.js";
import type { TokenMaps } from "../../detector/token_maps.js";
import type { NodeDetectorOptions } from "../../node/detector.js";

/** What an engine is started with. */
export interface EngineSetup {
  /** Paths of the checkpoint, and of a student if it lies apart. */
  checkpoint: readonly string[];
  /** How many cameras it can score. */
  places: number;
  /** Size of their frames in pixels. */
  width: number;
  height: number;
  /** Whether no frame is left out, and senders wait instead: for files that are played fast. */
  everyFrame?: boolean;
  /** Of the detector; what a message between processes can carry. */
  detector: Omit<NodeDetectorOptions, "gpu" | "onNotice">;
}

/** A frame to score. */
export interface EngineFrame {
  /** The camera's place, from 0. */
  camera: number;
  /** Rises from frame to frame; a gap says that the frames before are no neighbours. */
  number: number;
  /** height × width × 3 bytes: B, G, R. */
  data: Uint8Array;
}

/** A frame's result. */
export interface EngineScore {
  camera: number;
  number: number;
  /** The model's own score of the whole frame. */
  score: number;
  tokens: TokenMaps;
}

/** From the supervisor. */
export type ToEngine =
  | ({ type: "setup" } & EngineSetup)
  | ({ type: "frame" } & EngineFrame)
  /** Ends the process once its frames are scored. */
  | { type: "stop" };

/** What is known of an engine that runs. */
export interface EngineFacts {
  /** The adapter's description. */
  adapter: string;
  settings: ScoreSettings;
  /** Hash of the model's weights. */
  model: string;
}

/** To the supervisor. */
export type FromEngine =
  | ({ type: "ready" } & EngineFacts)
  /** A frame was handed on to the GPU: another one may come. */
  | { type: "taken"; camera: number }
  | ({ type: "score" } & EngineScore)
  | { type: "notice"; line: string }
  /** The process ends with this. `wrong`: the setup is to blame, so trying again is no use. */
  | { type: "failed"; message: string; wrong: boolean };
