import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { packageFile } from "./package_files.js";

/**
 * The versions of this package, Node, and npm's webgpu (which contains Dawn), for records of
 * measurements.
 */
export function versions(): { sdmae: string; node: string; webgpu: string } {
  const { version } = JSON.parse(readFileSync(packageFile("package.json"), "utf8")) as { version: string };
  const webgpu = createRequire(import.meta.url)("webgpu/package.json") as { version: string };
  return { sdmae: version, node: process.version, webgpu: webgpu.version };
}
