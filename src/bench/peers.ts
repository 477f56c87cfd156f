// Peers: other runtimes that run the same network, for comparison. bench/peers/ holds them.
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ScoreSettings } from "../detector/settings.js";
import { InputError } from "../errors.js";
import type { Rate } from "./measure.js";

/** What a peer has to measure. */
export interface PeerRequest {
  checkpoint: Checkpoint;
  settings: ScoreSettings;
  batch: number;
  seconds: number;
  adapterKind: string;
  /** The precisions to measure: f32, tf32, f16; absent: all that the peer has. */
  precisions?: readonly string[];
}

/** The precisions of peers that count as float32. */
export const fullPrecisions: readonly string[] = ["f32", "tf32"];

/** A way in which a peer ran the network, or why it failed. */
export interface PeerVariant {
  /** The type that values are rounded to; by default f32. */
  precision?: string;
  /** Name of the variant, and of the form of its operators, if the peer has several. */
  variant?: string;
  form?: string;
  /** Absent if it failed. */
  fps?: Rate;
  msPerBatch?: { median: number; min: number; max: number };
  /** Of one batch alone, if it differs from {@link msPerBatch}. */
  latencyMs?: number;
  /** Peak of GPU memory. */
  memoryBytes?: number;
  error?: string;
}

/** A peer's report: the figures of its fastest variant, and those of all variants. */
export interface PeerResult extends PeerVariant {
  name: string;
  version: string;
  fps: Rate;
  all?: PeerVariant[];
}

/** Runs a peer on the same network and adapter. Peers are not part of the package. */
export type RunPeer = (name: string, request: PeerRequest) => Promise<PeerResult>;

/**
 * Says why a peer cannot run here; undefined if it can.
 * @param asked the user named the peer: it is installed if npm can do that
 */
export type PeerMissing = (name: string, asked?: boolean) => Promise<string | undefined>;

/**
 * Checks, before minutes of measuring, that peers can run here.
 * @throws InputError if one cannot
 */
export async function refuseMissing(names: readonly string[], peerMissing: PeerMissing): Promise<void> {
  for (const name of names) {
    const reason = await peerMissing(name, true);
    if (reason !== undefined) throw new InputError(`--peer ${name}: ${reason}`);
  }
}
