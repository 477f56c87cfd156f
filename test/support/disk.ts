// Disks that are full.
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";

/** Why no file system can be mounted here; undefined if one can. */
export function mountProblem(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "sdmae-test-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", folder], { stdio: "pipe" });
    execFileSync("umount", [folder]);
    return undefined;
  } catch {
    return "no file system can be mounted here";
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Writes a file until the disk is full. */
export function writeUntilFull(path: string): void {
  const file = openSync(path, "a");
  const piece = Buffer.alloc(2 ** 12, 1);
  try {
    for (;;) writeSync(file, piece);
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
  } finally {
    closeSync(file);
  }
}
