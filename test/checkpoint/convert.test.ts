import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import type { TensorData } from "../../src/checkpoint/tensor.js";
import { convertCheckpointCommand } from "../../src/cli/commands/convert_checkpoint.js";
import { InputError } from "../../src/errors.js";
import { writeFileAtomic } from "../../src/node/files/atomic.js";
import { digest, fixturePath } from "./support.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sdmae-convert-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const best = fixturePath("tiny-checkpoint-best.pth");
const bestStudent = fixturePath("tiny-checkpoint-best-student.pth");

/** Runs the command; gives the lines that it printed. */
async function convert(...argv: string[]): Promise<string[]> {
  const lines: string[] = [];
  await convertCheckpointCommand((line) => lines.push(line)).parseAsync(argv, { from: "user" });
  return lines;
}

async function refusal(...argv: string[]): Promise<string> {
  const error: unknown = await convert(...argv).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(InputError);
  expect((error as InputError).message).not.toContain("\n");
  return (error as InputError).message;
}

describe("convert-checkpoint", () => {
  it("merges teacher and student into a file that opens, and reports what it did", async () => {
    const out = join(folder, "out.safetensors");
    const lines = await convert(best, bestStudent, out);
    const { weights, extras } = openCheckpoint([{ name: out, bytes: new Uint8Array(readFileSync(out)) }]);
    // From torch.load, as in checkpoint.test.ts.
    expect(digest(new Map<string, { data: TensorData }>([...weights, ...extras]))).toBe("8b959b97ba3cef06");
    const summary = lines.join("\n");
    expect(summary).toContain("patch 16, channels 9 in and 4 out, 4 heads, MLP ratio 2");
    expect(summary).toContain("encoder width 32, 2 blocks; decoder width 16, 2 blocks; student 1 block");
    expect(summary).toContain("173 of the network, all with the expected names and shapes; 19 counters and constants");
    expect(summary).toContain("38 tensors from the second file");
    expect(summary).toContain('mask ratio 0.5, masking "random_masking", score "L2", "L2"');
    expect(readdirSync(folder)).toEqual(["out.safetensors"]);
  });

  it("counts the paper's 3.04 million parameters", async () => {
    const lines = await convert(fixturePath("full-patch16.pth"), join(folder, "full.safetensors"));
    expect(lines.join("\n")).toContain("parameters     3.04 M");
  });

  it("writes the number of heads that is given", async () => {
    const out = join(folder, "out.safetensors");
    await convert("--heads", "2", best, out);
    expect(openCheckpoint([{ name: out, bytes: new Uint8Array(readFileSync(out)) }]).config.heads).toBe(2);
    expect(await refusal("--heads", "two", best, out)).toBe('--heads "two": give a whole number from 1');
  });

  it("writes float16", async () => {
    const [whole, half] = [join(folder, "whole.safetensors"), join(folder, "half.safetensors")];
    await convert(best, whole);
    const lines = await convert("--half", best, half);
    expect(lines.at(-1)).toMatch(/ MB, weights as float16$/);
    expect(readFileSync(half).length).toBeLessThan(0.6 * readFileSync(whole).length);
    expect(readFileSync(half).toString("latin1")).toContain('"norm.weight":{"dtype":"F16"');
  });

  it("keeps an older file if the input is bad", async () => {
    const out = join(folder, "out.safetensors");
    writeFileSync(out, "older");
    const cut = join(folder, "cut.pth");
    writeFileSync(cut, readFileSync(best).subarray(0, 100_000));
    expect(await refusal(cut, out)).toBe(
      `${cut}: not a readable zip archive: it has no directory at its end; was it cut off?`,
    );
    expect(await refusal(fixturePath("checkpoint/harm-os-system.pth"), out)).toContain('"posix.system" (os.system)');
    expect(readFileSync(out, "utf8")).toBe("older");
    expect(readdirSync(folder).sort()).toEqual(["cut.pth", "out.safetensors"]);
  });

  it("refuses files that cannot be read or written", async () => {
    const out = join(folder, "out.safetensors");
    const missing = join(folder, "none.pth");
    expect(await refusal(missing, out)).toBe(`${missing}: cannot be read (no such file or folder)`);
    expect(await refusal(folder, out)).toBe(`${folder}: cannot be read (it is a folder)`);
    const nowhere = join(folder, "none", "out.safetensors");
    expect(await refusal(best, nowhere)).toBe(`${nowhere}: cannot be written (no such file or folder)`);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("refuses names that could overwrite a checkpoint", async () => {
    const out = join(folder, "out.safetensors");
    expect(await refusal(best, bestStudent)).toBe(
      `${bestStudent}: the file to write comes last and must be named *.safetensors`,
    );
    expect(await refusal(out, out)).toBe(`${out}: the file is both read and written; choose another file to write`);
    expect(await refusal(best)).toBe("convert-checkpoint takes IN.pth [STUDENT.pth] OUT.safetensors, got 1 file name");
    expect(await refusal(best, best, best, out)).toMatch(/, got 4 file names$/);
  });
});

describe("writeFileAtomic", () => {
  it("replaces a whole file", async () => {
    const path = join(folder, "a.txt");
    writeFileSync(path, "a longer older text");
    await writeFileAtomic(path, "new");
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(readdirSync(folder)).toEqual(["a.txt"]);
  });

  it("leaves nothing behind if the rename fails", async () => {
    const path = join(folder, "taken");
    mkdirSync(join(path, "inside"), { recursive: true });
    await expect(writeFileAtomic(path, Uint8Array.of(1))).rejects.toThrow(
      `${path}: cannot be written (it is a folder)`,
    );
    expect(readdirSync(folder)).toEqual(["taken"]);
    expect(readdirSync(path)).toEqual(["inside"]);
  });
});
