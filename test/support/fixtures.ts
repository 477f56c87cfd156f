// The files in test/fixtures/.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The path of a file in test/fixtures/. */
export function fixturePath(name: string): string {
  return fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
}

/** The bytes of a file in test/fixtures/. */
export function fixture(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(fixturePath(name)));
}

/** A file in test/fixtures/, as what opens checkpoints takes it. */
export function fixtureFile(name: string): { name: string; bytes: Uint8Array<ArrayBuffer> } {
  return { name, bytes: fixture(name) };
}
