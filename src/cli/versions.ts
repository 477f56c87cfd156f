import { readFileSync } from "node:fs";
import { packageFile } from "./package_files.js";

/** The version of this package and of Node, for records of what was measured. */
export function versions(): { sdmae: string; node: string } {
  const { version } = JSON.parse(readFileSync(packageFile("package.json"), "utf8")) as { version: string };
  return { sdmae: version, node: process.version };
}
