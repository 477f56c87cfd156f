// Runs peer.py, which times the network in PyTorch. SDMAE_PYTHON names the Python that has torch
// (default: python3). SDMAE_PYTORCH_VARIANTS names variants that peer.py describes, separated by
// commas (default: all that the device has).
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { collect, runChild } from "../child.js";

const program = fileURLToPath(new URL("peer.py", import.meta.url));

/** No variant starts after this many seconds, since compiling one can take minutes. */
const limitSeconds = 1200;

function python() {
  return process.env.SDMAE_PYTHON || (process.platform === "win32" ? "python" : "python3");
}

/**
 * Why PyTorch cannot run here.
 * @returns {Promise<string | undefined>} undefined if it can
 */
export async function pyTorchMissing() {
  const advice = "SDMAE_PYTHON names the Python that has it";
  const find = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('torch') else 3)";
  try {
    const { code } = await collect(spawn(python(), ["-c", find]));
    if (code === 0) return undefined;
    return code === 3 ? `"${python()}" has no torch (${advice})` : `"${python()}" does not run as Python 3 (${advice})`;
  } catch {
    return `"${python()}" cannot be started (${advice})`;
  }
}

/**
 * Measures PyTorch with the request's checkpoint and settings: on CUDA if the engine runs on a GPU,
 * else on the CPU.
 * @typedef {import("../../../src/checkpoint/checkpoint.js").Checkpoint} Checkpoint
 * @param {import("../../../src/bench/peers.js").PeerRequest} request
 * @param {(checkpoint: Checkpoint) => Uint8Array} exportPth
 * @returns {Promise<import("../../../src/bench/peers.js").PeerResult>} also has `device`, and the
 *   `scores` [B, 2] of the last batch
 */
export async function runPyTorch({ checkpoint, settings, batch, seconds, adapterKind, precisions }, exportPth) {
  const missing = await pyTorchMissing();
  if (missing) throw new Error(`the peer pytorch needs PyTorch: ${missing}`);
  const { size, maskRatio, masking, norm, maskedOnly } = settings;
  const scratch = await mkdtemp(join(tmpdir(), "sdmae-peer-"));
  try {
    const path = join(scratch, "model.pth");
    await writeFile(path, exportPth(checkpoint));
    const options = {
      ...{ checkpoint: path, heads: checkpoint.config.heads, ...size, maskRatio, masking, norm, maskedOnly },
      ...{ batch, seconds, device: adapterKind === "gpu" ? "auto" : "cpu", seed: 1, limitSeconds },
      precisions: precisions ?? null,
      variants: process.env.SDMAE_PYTORCH_VARIANTS?.split(",").map((name) => name.trim()) ?? null,
    };
    const environment = { PYTHONDONTWRITEBYTECODE: "1", PYTHONUNBUFFERED: "1" };
    const limit = limitSeconds + 600 + 6 * seconds;
    const { output } = await runChild("pytorch", python(), [program, JSON.stringify(options)], environment, limit);
    return { ...output, version: `${output.version}, ${output.variant}, ${output.form}` };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
