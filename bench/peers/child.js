// Runs a peer in another process.
import { spawn } from "node:child_process";

/**
 * Runs a program whose last line of output is JSON.
 * @param {string} name the peer's name, for errors
 * @param {string} program
 * @param {string[]} args
 * @param {Record<string, string>} environment variables in addition to this process's
 * @param {number} limitSeconds it is killed after this time
 * @returns {Promise<{output: any, log: string}>} the JSON, and its stderr
 */
export async function runChild(name, program, args, environment, limitSeconds) {
  const child = spawn(program, args, { env: { ...process.env, ...environment } });
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, limitSeconds * 1000);
  const { code, signal, stdout, stderr } = await collect(child).finally(() => clearTimeout(limit));
  if (late) throw new Error(`the peer ${name} did not finish within ${limitSeconds} s`);
  if (code !== 0) {
    const why = errorLine(stderr) || (signal ? `ended by ${signal}` : `exit code ${code}`);
    throw new Error(`the peer ${name} failed: ${why}`);
  }
  try {
    return { output: JSON.parse(lastLine(stdout)), log: stderr };
  } catch {
    throw new Error(`the peer ${name} printed no result: ${lastLine(stdout) || lastLine(stderr) || "nothing"}`);
  }
}

/** Waits for a process, and returns what it printed; rejects if it cannot be started. */
export function collect(child) {
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

export function lastLine(text) {
  return text.trim().split("\n").at(-1) ?? "";
}

/**
 * The last line that names an error. Node prints a stack and its version after it, ONNX Runtime its
 * log before it.
 */
function errorLine(text) {
  const lines = text.split("\n").filter((line) => /Error\b.*: /.test(line) && !/\[[VIW]:onnxruntime/.test(line));
  return lines.at(-1)?.trim() ?? lastLine(text);
}
