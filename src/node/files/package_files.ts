import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * The path of a file of this package. The package's root is the nearest folder above with a
 * package.json, since this code runs from src/ and, bundled, from dist/.
 */
export function packageFile(...parts: string[]): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const above = dirname(folder);
    if (above === folder) throw new Error("no package.json above the program");
    folder = above;
  }
  return join(folder, ...parts);
}
