// Checks that tests mirror src/: a test of a floor lies at the path of the file or folder of src/
// that it tests, or, on the floor of ops, is named after a kernel. Part of tools/check-house.js.
import { existsSync, readdirSync } from "node:fs";
import { join, sep } from "node:path";

/** Tests of several files at once, below test/, and why they have no counterpart. */
const exceptions = new Map([
  ["checkpoint/hostile", "damaged files of every format"],
  ["cli/commands/distributed", "data sets as they are downloaded, through several commands"],
  ["cli/commands/score_memory", "memory of a whole process over a long video"],
  ["cli/commands/score_network", "what a whole process shows of addresses and passwords"],
  ["cli/commands/cluster", "submit, worker and jobs together, with a real server"],
  ["cluster/cameras/full_disk", "whole workers, one of which has a full disk"],
  ["cluster/cameras/kills", "whole workers and their server, killed while they watch"],
  ["cluster/cut_off", "workers and a real server that do not reach each other"],
  ["cluster/kills", "whole workers and their server, killed at random moments"],
  ["gpu/null_backend", "whether the kernels of every op compile"],
  ["model/matrix_units", "the whole network on matrix units"],
  ["node/media/rtsp_server", "cameras as a real RTSP server plays them"],
  ["node/media/tls", "certificates of https and rtsps"],
  ["ops/half", "every op of training in float16"],
  ["server/credentials", "what a whole process that watches shows of its secrets"],
  ["server/full_disk", "a whole process that watches while its disk is full"],
  ["server/endurance", "a whole watch process over many frames"],
  ["server/kills", "whole processes that watch, killed at random moments"],
  ["server/sinks_away", "a whole process that watches while brokers and webhooks are away"],
  ["server/sources", "whole cameras, from their sources to events"],
  ["train/choosing", "choosing without labels: trainer, validation set and checkpoints together"],
  ["train/mixed", "mixed precision: graph, trainer and checkpoints together"],
]);

/**
 * Checks where the tests of a repository lie.
 * @param {string} root
 * @returns {string[]} one line per problem
 */
export function mirrorProblems(root) {
  const tests = join(root, "test");
  if (!existsSync(tests)) return [];
  const exists = (...parts) => existsSync(join(root, ...parts));
  const problems = [];
  for (const file of readdirSync(tests, { recursive: true, encoding: "utf8" }).sort()) {
    const path = file.split(sep).join("/");
    if (!path.endsWith(".test.ts")) continue;
    const name = path.slice(0, -".test.ts".length);
    const [floor, ...rest] = name.split("/");
    // test/tools, test/package and the like test what is not in src/.
    if (rest.length === 0 || !exists("src", floor)) continue;
    const isKernel = floor === "ops" && exists("shaders", `${rest.join("/")}.wgsl`);
    if (isKernel || exists("src", `${name}.ts`) || exists("src", name) || exceptions.has(name)) continue;
    problems.push(`test/${path}:1: there is no src/${name}.ts: tests mirror src/ (tools/house/mirror.js)`);
  }
  return problems;
}
