// Times a network in ONNX Runtime, and prints one line of JSON:
//
//   node peer.js '{"provider": "webgpu" or "cpu", "models": [{"form", "path"}], "seconds", "seed"}'
//
// The sizes are in the network's files; masks are drawn from the seed. bench/peers/run.js starts
// it, with the environment that makes ONNX Runtime's Dawn take the wanted adapter.
import { readFileSync } from "node:fs";
import ort from "onnxruntime-node";

const { provider, models, seconds, seed } = JSON.parse(process.argv[2] ?? "{}");
if (!["webgpu", "cpu"].includes(provider) || !Array.isArray(models)) {
  throw new Error(`provider ${provider}: give "webgpu" or "cpu", and models`);
}

const executionProviders = [provider];

const all = [];
for (const { form, path } of models) {
  // A first session logs where the nodes are placed. That level of logging is too slow to be timed.
  if (provider === "webgpu") {
    const session = await open(path, 0);
    await session.release();
  }
  const session = await open(path, 3);
  const feeds = masks(session, seed);
  const { batch } = feeds;
  const run = async () => {
    const start = performance.now();
    // Outputs are CPU tensors, so the GPU has finished when they arrive.
    const { scores } = await session.run(feeds.tensors, ["scores"]);
    return { ms: performance.now() - start, scores: [...scores.data] };
  };
  let { ms: first, scores } = await run();
  // The first run compiles the kernels. If it was quick, another one warms up.
  if (first < 2000) await run();
  const times = [];
  const end = performance.now() + (seconds * 1000) / models.length;
  while (times.length < 3 || performance.now() < end) {
    const result = await run();
    times.push(result.ms);
    scores = result.scores;
  }
  await session.release();
  times.sort((a, b) => a - b);
  const ms = { median: times[times.length >> 1], min: times[0], max: times.at(-1) };
  const rate = (time) => (1000 * batch) / time;
  all.push({
    form,
    fps: { median: rate(ms.median), min: rate(ms.max), max: rate(ms.min), measurements: times.length },
    msPerBatch: ms,
    batches: times.length,
    scores,
  });
}

process.stdout.write(
  `${JSON.stringify({ version: `onnxruntime-node ${ort.env.versions.node}`, drivers: drivers(), all })}\n`,
);
// Native threads of ONNX Runtime outlive their sessions.
process.exit(0);

function open(path, logSeverityLevel) {
  return ort.InferenceSession.create(path, { executionProviders, graphOptimizationLevel: "all", logSeverityLevel });
}

/** A random order of each sample's tokens: the kept tokens, and each token's rank. */
function masks(session, seedOfMasks) {
  const shapeOf = (name) => session.inputMetadata.find((input) => input.name === name).shape;
  const [batch, keep] = shapeOf("ids_keep");
  const [, tokens] = shapeOf("ids_restore");
  const idsKeep = new BigInt64Array(batch * keep);
  const idsRestore = new BigInt64Array(batch * tokens);
  let state = seedOfMasks;
  for (let b = 0; b < batch; b++) {
    const order = Array.from({ length: tokens }, (_, i) => i);
    for (let i = tokens - 1; i > 0; i--) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const j = Math.floor((state / 2 ** 32) * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    for (const [rank, token] of order.entries()) {
      idsRestore[b * tokens + token] = BigInt(rank);
      if (rank < keep) idsKeep[b * keep + rank] = BigInt(token);
    }
  }
  const tensors = {
    ids_keep: new ort.Tensor("int64", idsKeep, [batch, keep]),
    ids_restore: new ort.Tensor("int64", idsRestore, [batch, tokens]),
  };
  return { batch, tensors };
}

/** The Vulkan drivers that this process loaded; empty if the system does not say. */
function drivers() {
  try {
    const maps = readFileSync("/proc/self/maps", "utf8");
    const names = maps.match(/[^/\s]*(?:libvulkan_|libvk_|GLX_nvidia|libEGL_nvidia)[^/\s]*(?=\n)/g) ?? [];
    return [...new Set(names)];
  } catch {
    return [];
  }
}
