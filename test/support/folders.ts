// Temporary folders of tests. Call these at the top of a test file, or of a `describe`.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";

/** A path in a folder; without parts the folder itself. */
export type PathIn = (...parts: string[]) => string;

const create = () => mkdtempSync(join(tmpdir(), "sdmae-test-"));
const remove = (folder: string) => rmSync(folder, { recursive: true, force: true });

/** A folder for all tests of a file, gone after them. */
export function scratch(): PathIn {
  const root = create();
  afterAll(() => remove(root));
  return (...parts) => join(root, ...parts);
}

/** A new folder for each test, gone after it. */
export function scratchPerTest(): PathIn {
  let root = "";
  beforeEach(() => {
    root = create();
  });
  afterEach(() => remove(root));
  return (...parts) => join(root, ...parts);
}

/**
 * Sets SDMAE_CACHE, where adapters' tables are kept, for the tests of a file. To be called at its
 * top.
 */
export function useCache(folder: string): void {
  const before = process.env.SDMAE_CACHE;
  beforeAll(() => {
    process.env.SDMAE_CACHE = folder;
  });
  afterAll(() => {
    if (before === undefined) delete process.env.SDMAE_CACHE;
    else process.env.SDMAE_CACHE = before;
  });
}
