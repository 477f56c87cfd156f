// The package as it is published, built from the sources of now, whatever dist/ holds.

import { execFile } from "node:child_process";
import { cpSync, existsSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { testAdapter } from "./gpu.js";

export const repository = fileURLToPath(new URL("../../", import.meta.url));

/** What a copy needs to be built and packed. */
const parts = [
  ...["LICENSE", "README.md", "bench", "docs", "examples", "models", "package.json", "shaders", "src", "tools"],
  ...["tsconfig.build.json", "tsconfig.json"],
];

/** Copies the project into a new folder, without what it has installed: that is linked. */
export function copyProject(folder: string): void {
  for (const part of parts) {
    if (!existsSync(join(repository, part))) throw new Error(`there is no ${part} to pack`);
    const filter = (path: string) => basename(path) !== "node_modules";
    cpSync(join(repository, part), join(folder, part), { recursive: true, filter });
  }
  symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"), "dir");
}

/**
 * Runs a program in a folder, on the tests' adapter. Fails with what it printed unless it exits
 * with 0.
 */
export async function runIn(folder: string, program: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, SDMAE_ADAPTER: testAdapter };
  const { stdout } = await promisify(execFile)(program, args, { cwd: folder, env, maxBuffer: 1 << 26 }).catch(
    ({ message, stdout, stderr }: Error & { stdout: string; stderr: string }) => {
      throw new Error(`${message}\n${stdout}\n${stderr}`);
    },
  );
  return stdout;
}
