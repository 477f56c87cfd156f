import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ScoreSettings } from "../detector/settings.js";
import { InputError } from "../errors.js";
import type { Rate } from "./measure.js";

/** What a peer is asked to do. */
export interface PeerRequest {
  checkpoint: Checkpoint;
  settings: ScoreSettings;
  batch: number;
  seconds: number;
  adapterKind: string;
  /** The precisions that are wanted, of a peer that has several: f32, tf32, f16. All where none is named. */
  precisions?: readonly string[];
}

/** A peer's precisions that count as float32. */
export const fullPrecisions: readonly string[] = ["f32", "tf32"];

/** One way in which a peer ran the network, or why it did not. */
export interface PeerVariant {
  /** What values are rounded to; without it float32. */
  precision?: string;
  /** What tells it from the peer's other variants. */
  variant?: string;
  form?: string;
  /** Absent where it failed. */
  fps?: Rate;
  msPerBatch?: { median: number; min: number; max: number };
  /** Of a batch by itself, where it is not the same as {@link msPerBatch}. */
  latencyMs?: number;
  /** GPU memory at most. */
  memoryBytes?: number;
  error?: string;
}

/** What a peer reports: the figures of its fastest variant, and those of all. */
export interface PeerResult extends PeerVariant {
  name: string;
  version: string;
  fps: Rate;
  all?: PeerVariant[];
}

/** Runs a peer on the same network and adapter; lives beside the benchmarks, since peers are no part of the package. */
export type RunPeer = (name: string, request: PeerRequest) => Promise<PeerResult>;

/** Says why a peer cannot be measured here; nothing where it can. One that is asked for is installed where npm can do that. */
export type PeerMissing = (name: string, asked?: boolean) => Promise<string | undefined>;

/**
 * Refuses peers that were asked for and cannot run here: better before than after minutes of measuring.
 * @throws InputError
 */
export async function refuseMissing(names: readonly string[], peerMissing: PeerMissing): Promise<void> {
  for (const name of names) {
    const reason = await peerMissing(name, true);
    if (reason !== undefined) throw new InputError(`--peer ${name}: ${reason}`);
  }
}
