// Peers to be measured beside this engine, each in a process of its own, on the same network and adapter.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { adapterEnvironment, exportNetwork } from "../../dist/cli.js";

/**
 * What a peer is asked to do, as src/cli/fps.ts has it.
 * @typedef {import("../../src/cli/fps.js").PeerRequest} PeerRequest
 */

/**
 * @typedef {object} PeerResult
 * @property {string} name
 * @property {string} version with the form of the network that was the fastest
 * @property {string} provider ONNX Runtime's execution provider
 * @property {{median: number, min: number, max: number, measurements: number}} fps frames per second, one measurement a batch
 * @property {{median: number, min: number, max: number}} msPerBatch
 * @property {number} batches
 * @property {number[]} scores the last batch's [B, 2]
 * @property {string[]} drivers graphics drivers in the peer's process (Linux)
 * @property {string[]} onCpu nodes that the provider left to the CPU: index arithmetic
 * @property {object[]} all both forms' figures
 */

/** ONNX Runtime's execution provider by the peer's name. */
const providers = { "ort-webgpu": "webgpu", "ort-cpu": "cpu" };

/** Names of the peers. */
export const peers = Object.keys(providers);

const folder = fileURLToPath(new URL("onnxruntime/", import.meta.url));

/**
 * Measures a peer, which is installed first where it is not. The network goes to it in two forms, with attention in ONNX's operators
 * and in ONNX Runtime's fused one; the faster counts. One frame lies on the device: as in the engine's own measurement of the
 * model alone, nothing is uploaded but masks.
 * @param {string} name one of {@link peers}
 * @param {PeerRequest} request
 * @returns {Promise<PeerResult>}
 */
export async function runPeer(name, request) {
  const provider = providers[name];
  if (!provider) throw new Error(`no peer is named ${name}; there is ${peers.join(", ")}`);
  const { checkpoint, settings, batch, seconds, adapterKind } = request;
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
    const { output, log } = await runChild(
      name,
      { provider, models, seconds, seed: 1 },
      environment,
      600 + 6 * seconds,
    );
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

/**
 * `npm ci` in the peer's folder, unless what its package.json names is there. Its install script would only download CUDA libraries.
 */
async function install() {
  const wanted = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).dependencies["onnxruntime-node"];
  const installed = join(folder, "node_modules", "onnxruntime-node", "package.json");
  if (existsSync(installed) && JSON.parse(readFileSync(installed, "utf8")).version === wanted) return;
  process.stderr.write(`installing onnxruntime-node ${wanted} in ${folder} (about 300 MB)\n`);
  const windows = process.platform === "win32";
  const { code, stdout, stderr } = await collect(
    spawn(windows ? "npm.cmd" : "npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: folder,
      shell: windows,
    }),
  );
  if (code !== 0)
    throw new Error(`npm ci in ${folder} failed: ${lastLine(stderr) || lastLine(stdout) || `code ${code}`}`);
}

/** Runs peer.js; gives what it printed and its log. */
async function runChild(name, options, environment, limitSeconds) {
  const child = spawn(process.execPath, [join(folder, "peer.js"), JSON.stringify(options)], {
    env: { ...process.env, ...environment },
  });
  const limit = setTimeout(() => child.kill("SIGKILL"), limitSeconds * 1000);
  const { code, signal, stdout, stderr } = await collect(child).finally(() => clearTimeout(limit));
  if (code !== 0) {
    const why = errorLine(stderr) || (signal ? `it ended by ${signal}` : `code ${code}`);
    throw new Error(`the peer ${name} failed: ${why}`);
  }
  try {
    return { output: JSON.parse(lastLine(stdout)), log: stderr };
  } catch {
    throw new Error(`the peer ${name} printed no result: ${lastLine(stdout) || lastLine(stderr) || "nothing"}`);
  }
}

function collect(child) {
  return new Promise((resolve, reject) => {
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

function isSoftware(driver) {
  return /lvp|swiftshader/.test(driver);
}

function lastLine(text) {
  return text.trim().split("\n").at(-1) ?? "";
}

/** The last line that names an error: Node prints a stack and its version after it, ONNX Runtime its log before. */
function errorLine(text) {
  const lines = text.split("\n").filter((line) => /Error\b.*: /.test(line) && !/\[[VIW]:onnxruntime/.test(line));
  return lines.at(-1)?.trim() ?? lastLine(text);
}

/**
 * Reads off ONNX Runtime's log where it placed the nodes. Arithmetic with token numbers (int64) is the CPU's, on masks that
 * come from there; anything else there would make this no measurement of WebGPU.
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
  if (nodes.webgpu.length === 0) throw new Error(`the peer ${name} did not say that it runs on WebGPU`);
  if (stray.length > 0)
    throw new Error(`the peer ${name} left ${stray.length} nodes to the CPU, among them ${stray[0]}`);
  return [...new Set(nodes.cpu)];
}
