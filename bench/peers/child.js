// Running a peer in a process of its own.
import { spawn } from "node:child_process";

/**
 * Runs a program that prints a line of JSON last.
 * @param {string} name the peer's, for errors
 * @param {string} program
 * @param {string[]} args
 * @param {Record<string, string>} environment beside this process's own
 * @param {number} limitSeconds after which it is killed
 * @returns {Promise<{output: any, log: string}>} what it printed, and its stderr
 */
export async function runChild(name, program, args, environment, limitSeconds) {
  const child = spawn(program, args, { env: { ...process.env, ...environment } });
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, limitSeconds * 1000);
  const { code, signal, stdout, stderr } = await collect(child).finally(() => clearTimeout(limit));
  if (late) throw new Error(`the peer ${name} was not done after ${limitSeconds} s`);
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

/** Resolves when a process has ended, with what it printed; rejects where it could not be started. */
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

/** The last line that names an error: Node prints a stack and its version after it, ONNX Runtime its log before. */
function errorLine(text) {
  const lines = text.split("\n").filter((line) => /Error\b.*: /.test(line) && !/\[[VIW]:onnxruntime/.test(line));
  return lines.at(-1)?.trim() ?? lastLine(text);
}
