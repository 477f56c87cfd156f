import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeFileAtomic } from "../../../src/node/files/atomic.js";
import { scratchPerTest } from "../../support/folders.js";

const at = scratchPerTest();

describe("writeFileAtomic", () => {
  it("replaces a whole file", async () => {
    const path = at("a.txt");
    writeFileSync(path, "a longer older text");
    await writeFileAtomic(path, "new");
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(readdirSync(at())).toEqual(["a.txt"]);
  });

  it("leaves nothing behind if the rename fails", async () => {
    const path = at("taken");
    mkdirSync(join(path, "inside"), { recursive: true });
    await expect(writeFileAtomic(path, Uint8Array.of(1))).rejects.toThrow(
      `${path}: cannot be written (it is a folder)`,
    );
    expect(readdirSync(at())).toEqual(["taken"]);
    expect(readdirSync(path)).toEqual(["inside"]);
  });
});
