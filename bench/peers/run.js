// Measures the engine's peers, each in its own process, on the same network and adapter.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { adapterEnvironment, exportNetwork, exportPth } from "../../dist/bench.js";
import { collect, lastLine, runChild } from "./child.js";
import { pyTorchMissing, runPyTorch } from "./pytorch/run.js";

/**
 * What a peer has to measure.
 * @typedef {import("../../src/bench/peers.js").PeerRequest} PeerRequest
 */

/**
 * @typedef {object} PeerResult
 * @property {string} name
 * @property {string} version with the fastest form of the network
 * @property {string} [provider] ONNX Runtime's execution provider
 * @property {{median: number, min: number, max: number, measurements: number}} fps
 *   frames per second; ONNX Runtime: one measurement per batch
 * @property {{median: number, min: number, max: number}} msPerBatch
 * @property {number} [latencyMs] PyTorch: one batch alone
 * @property {number} [memoryBytes] PyTorch: peak of GPU memory
 * @property {number} [batches] ONNX Runtime: number of batches
 * @property {number[]} scores of the last batch, [B, 2]
 * @property {string[]} [drivers] ONNX Runtime: graphics drivers in its process (Linux)
 * @property {string[]} [onCpu] ONNX Runtime: nodes that its provider left to the CPU (index
 *   arithmetic)
 * @property {object[]} all figures of all forms or variants
 */

/** ONNX Runtime's execution provider, by name of the peer. */
const providers = { "ort-webgpu": "webgpu", "ort-cpu": "cpu" };

/** Names of the peers. */
export const peers = [...Object.keys(providers), "pytorch"];

const folder = fileURLToPath(new URL("onnxruntime/", import.meta.url));

/**
 * Measures a peer.
 * @param {string} name one of {@link peers}
 * @param {PeerRequest} request
 * @returns {Promise<PeerResult>}
 */
export async function runPeer(name, request) {
  if (name === "pytorch") return runPyTorch(request, exportPth);
  if (!providers[name]) throw new Error(`there is no peer ${name}; take one of ${peers.join(", ")}`);
  return runOnnxRuntime(name, request);
}

/**
 * Why a peer cannot run here.
 * @param {string} name one of {@link peers}
 * @param {boolean} [asked] whether the user named it: then it is installed later
 * @returns {Promise<string | undefined>} undefined if it can run
 */
export async function peerMissing(name, asked = false) {
  if (name === "pytorch") return pyTorchMissing();
  return asked || isInstalled() ? undefined : `onnxruntime-node is not installed (--peer ${name} installs it)`;
}

/**
 * Measures ONNX Runtime in float32, and installs it first if necessary. It runs the network in two
 * forms, with attention in ONNX's operators and in ONNX Runtime's fused operator; the faster one
 * counts. One frame is on the device and only masks are uploaded, as when the engine is measured.
 */
async function runOnnxRuntime(name, request) {
  const provider = providers[name];
  const { checkpoint, batch, seconds, adapterKind } = request;
  const settings = { ...request.settings, dtype: "f32" };
  const environment = provider === "webgpu" ? await adapterEnvironment(adapterKind) : {};
  await install();
  const scratch = await mkdtemp(join(tmpdir(), "sdmae-peer-"));
  try {
    const { height, width } = settings.size;
    const image = Float32Array.from({ length: 9 * height * width }, noise(7)).map((v) => Math.fround(2 * v - 1));
    const models = [];
    for (const form of ["plain", "fused"]) {
      const path = join(scratch, `${form}.onnx`);
      await writeFile(path, exportNetwork(checkpoint, settings, batch, { image, fusedAttention: form === "fused" }));
      models.push({ form, path });
    }
    const args = [join(folder, "peer.js"), JSON.stringify({ provider, models, seconds, seed: 1 })];
    const { output, log } = await runChild(name, process.execPath, args, environment, 600 + 6 * seconds);
    const { version, drivers, all } = output;
    const onCpu = provider === "webgpu" ? nodesOnCpu(name, log) : [];
    if (provider === "webgpu" && adapterKind === "gpu" && drivers.length > 0 && drivers.every(isSoftware)) {
      throw new Error(`the peer ${name} found no GPU, only ${drivers.join(", ")}`);
    }
    const best = all.reduce((a, b) => (b.fps.median > a.fps.median ? b : a));
    return { name, version: `${version}, ${best.form}`, provider, ...best, drivers, onCpu, all };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Uniform noise, 0 to 1 (mulberry32). */
function noise(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The version of onnxruntime-node in package.json. */
function wantedVersion() {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).dependencies["onnxruntime-node"];
}

function isInstalled() {
  const installed = join(folder, "node_modules", "onnxruntime-node", "package.json");
  return existsSync(installed) && JSON.parse(readFileSync(installed, "utf8")).version === wantedVersion();
}

/**
 * Runs `npm ci` in the peer's folder, unless it is installed. Its install script, which only
 * downloads CUDA libraries, is skipped.
 */
async function install() {
  if (isInstalled()) return;
  process.stderr.write(`installing onnxruntime-node ${wantedVersion()} in ${folder} (about 300 MB)\n`);
  const windows = process.platform === "win32";
  const { code, stdout, stderr } = await collect(
    spawn(windows ? "npm.cmd" : "npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: folder,
      shell: windows,
    }),
  );
  if (code !== 0)
    throw new Error(`npm ci in ${folder} failed: ${lastLine(stderr) || lastLine(stdout) || `exit code ${code}`}`);
}

function isSoftware(driver) {
  return /lvp|swiftshader/.test(driver);
}

/**
 * Reads in ONNX Runtime's log where it placed the nodes. Arithmetic with token numbers (int64) is
 * on the CPU, where the masks come from. With anything else there, WebGPU would not be measured.
 */
function nodesOnCpu(name, log) {
  const nodes = { cpu: [], webgpu: [] };
  let provider;
  for (const line of log.split("\n")) {
    const placed = /odes?(?:\(s\))? placed on \[(\w+)ExecutionProvider\]/.exec(line);
    if (placed) provider = placed[1].toLowerCase();
    const node = /VerifyEachNodeIsAssignedToAnEp\]\s+(\w+) \((.*)\)\s*$/.exec(line);
    if (node && provider) nodes[provider]?.push(`${node[1]} of ${node[2].split("/")[0]}`);
  }
  const indexing = /^(Add|Min|Less|Where|Concat|GreaterOrEqual|Cast|Reshape) .*\b(patchEmbed|unshuffle|frameScores)$/;
  const stray = nodes.cpu.filter((node) => !indexing.test(node));
  if (nodes.webgpu.length === 0) throw new Error(`the peer ${name} placed no nodes on WebGPU`);
  if (stray.length > 0)
    throw new Error(`the peer ${name} left ${stray.length} nodes to the CPU, for example ${stray[0]}`);
  return [...new Set(nodes.cpu)];
}
