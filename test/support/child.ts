import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { reportPageForEsbuild } from "../../tools/report-page.js";
import { shadersForEsbuild } from "../../tools/wgsl.js";

const repository = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Bundles a TypeScript text, which may import from `./src/…`, into a file for Node. The file exists
 * while `use` runs.
 */
export async function withBundle<T>(program: string, use: (file: string) => Promise<T>): Promise<T> {
  // Inside of the repository, so that node finds node_modules from there.
  const folder = mkdtempSync(join(repository, "node_modules", ".sdmae-test-"));
  try {
    const file = join(folder, "program.mjs");
    const { outputFiles } = await build({
      stdin: { contents: program, resolveDir: repository, loader: "ts" },
      bundle: true,
      write: false,
      format: "esm",
      platform: "node",
      target: "node20",
      packages: "external",
      plugins: [shadersForEsbuild, reportPageForEsbuild],
    });
    writeFileSync(file, outputFiles[0].text);
    return await use(file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Runs a TypeScript text as a program of its own, see {@link withBundle}: for what a process
 * decides once (the Vulkan loader's environment) or what may end it.
 */
export function runInChild(
  program: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }> {
  return withBundle(program, (file) => runFile(file, environment));
}

function runFile(file: string, environment: Readonly<Record<string, string>>) {
  return new Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>(
    (resolve, reject) => {
      const child = spawn(process.execPath, [file], { cwd: repository, env: { ...process.env, ...environment } });
      let [stdout, stderr] = ["", ""];
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        stdout += text;
      });
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        stderr += text;
      });
      const timer = setTimeout(() => child.kill("SIGKILL"), 90_000);
      child.on("error", reject).on("close", (code, signal) => {
        clearTimeout(timer);
        resolve({ code, signal, stdout, stderr });
      });
    },
  );
}
