import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The version of this package and of Node, for records of what was measured. */
export function versions(): { sdmae: string; node: string } {
  return { sdmae: packageVersion(dirname(fileURLToPath(import.meta.url))), node: process.version };
}

/** From the package.json nearest above: this code runs from src/ and, bundled, from dist/. */
function packageVersion(folder: string): string {
  try {
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
    return version;
  } catch {
    const above = dirname(folder);
    if (above === folder) throw new Error("no package.json above the program");
    return packageVersion(above);
  }
}
