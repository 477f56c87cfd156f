import type { PeerRequest, PeerResult } from "../../../src/bench/peers.js";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.js";

export function pyTorchMissing(): Promise<string | undefined>;
export function runPyTorch(
  request: PeerRequest,
  exportPth: (checkpoint: Checkpoint) => Uint8Array,
): Promise<PeerResult & { device: string; scores: number[] }>;
