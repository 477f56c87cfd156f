import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { convertCheckpointCommand } from "../../../src/cli/commands/convert_checkpoint.js";
import { digestOf } from "../../support/checkpoint.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();

const best = fixturePath("tiny-checkpoint-best.pth");
const bestStudent = fixturePath("tiny-checkpoint-best-student.pth");

/** Runs the command; gives the lines that it printed. */
async function convert(...argv: string[]): Promise<string[]> {
  const lines: string[] = [];
  await convertCheckpointCommand((line) => lines.push(line)).parseAsync(argv, { from: "user" });
  return lines;
}

const refusalOf = (...argv: string[]) => refusal(convert(...argv));

describe("convert-checkpoint", () => {
  it("merges teacher and student into a file that opens, and reports what it did", async () => {
    const out = at("out.safetensors");
    const lines = await convert(best, bestStudent, out);
    const merged = openCheckpoint([{ name: out, bytes: new Uint8Array(readFileSync(out)) }]);
    // From torch.load, as in checkpoint.test.ts.
    expect(digestOf(merged)).toBe("8b959b97ba3cef06");
    const summary = lines.join("\n");
    expect(summary).toContain("patch 16, channels 9 in and 4 out, 4 heads, MLP ratio 2");
    expect(summary).toContain("encoder width 32, 2 blocks; decoder width 16, 2 blocks; student 1 block");
    expect(summary).toContain("173 of the network, all with the expected names and shapes; 19 counters and constants");
    expect(summary).toContain("38 tensors from the second file");
    expect(summary).toContain('mask ratio 0.5, masking "random_masking", score "L2", "L2"');
    expect(readdirSync(at())).toEqual(["out.safetensors"]);
  });

  it("counts the paper's 3.04 million parameters", async () => {
    const lines = await convert(fixturePath("full-patch16.pth"), at("full.safetensors"));
    expect(lines.join("\n")).toContain("parameters     3.04 M");
  });

  it("writes the number of heads that is given", async () => {
    const out = at("out.safetensors");
    await convert("--heads", "2", best, out);
    expect(openCheckpoint([{ name: out, bytes: new Uint8Array(readFileSync(out)) }]).config.heads).toBe(2);
    expect(await refusalOf("--heads", "two", best, out)).toBe('--heads "two": give a whole number from 1');
  });

  it("writes float16", async () => {
    const [whole, half] = [at("whole.safetensors"), at("half.safetensors")];
    await convert(best, whole);
    const lines = await convert("--half", best, half);
    expect(lines.at(-1)).toMatch(/ MB, weights as float16$/);
    expect(readFileSync(half).length).toBeLessThan(0.6 * readFileSync(whole).length);
    expect(readFileSync(half).toString("latin1")).toContain('"norm.weight":{"dtype":"F16"');
  });

  it("keeps an older file if the input is bad", async () => {
    const out = at("out.safetensors");
    writeFileSync(out, "older");
    const cut = at("cut.pth");
    writeFileSync(cut, readFileSync(best).subarray(0, 100_000));
    expect(await refusalOf(cut, out)).toBe(
      `${cut}: not a readable zip archive: it has no directory at its end; was it cut off?`,
    );
    expect(await refusalOf(fixturePath("checkpoint/harm-os-system.pth"), out)).toContain('"posix.system" (os.system)');
    expect(readFileSync(out, "utf8")).toBe("older");
    expect(readdirSync(at()).sort()).toEqual(["cut.pth", "out.safetensors"]);
  });

  it("refuses files that cannot be read or written", async () => {
    const out = at("out.safetensors");
    const missing = at("none.pth");
    expect(await refusalOf(missing, out)).toBe(`${missing}: cannot be read (no such file or folder)`);
    expect(await refusalOf(at(), out)).toBe(`${at()}: cannot be read (it is a folder)`);
    const nowhere = at("none", "out.safetensors");
    expect(await refusalOf(best, nowhere)).toBe(`${nowhere}: cannot be written (no such file or folder)`);
    expect(readdirSync(at())).toEqual([]);
  });

  it("refuses names that could overwrite a checkpoint", async () => {
    const out = at("out.safetensors");
    expect(await refusalOf(best, bestStudent)).toBe(
      `${bestStudent}: the file to write comes last and must be named *.safetensors`,
    );
    expect(await refusalOf(out, out)).toBe(`${out}: the file is both read and written; choose another file to write`);
    expect(await refusalOf(best)).toBe(
      "convert-checkpoint takes IN.pth [STUDENT.pth] OUT.safetensors, got 1 file name",
    );
    expect(await refusalOf(best, best, best, out)).toMatch(/, got 4 file names$/);
  });
});
