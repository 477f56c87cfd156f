import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseSafetensors, serializeSafetensors } from "../../../src/checkpoint/safetensors.js";
import { expectRefusal, tool, withoutPatience } from "../../support/cli.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";

const at = scratch();
const adapter = ["--adapter", testAdapter];

describe("check-fixture", () => {
  const patch8 = fixturePath("tiny-patch8.pth");
  const inference = fixturePath("tiny-patch8-infer.safetensors");
  const check = (...args: string[]) => tool("check-fixture", ...args, ...adapter);
  const compared = [...parseSafetensors(new Uint8Array(readFileSync(inference)), inference).tensors.keys()].filter(
    (name) => /^(act|out)\./.test(name),
  );
  /** The printed rows: verdict, name, number of values, error. */
  const rows = (stdout: string) =>
    [...stdout.matchAll(/^(ok|FAILED) +(\S.*?) +(\d+) values {2}(\S.*)$/gm)].map(([, verdict, name, count, error]) => {
      return { verdict, name: name, count: Number(count), error: error };
    });

  it("recognises a training case, and refuses a checkpoint and --dtype f16 for it", async () => {
    const training = fixturePath("tiny-train-stage2.safetensors");
    expectRefusal(await check(patch8, training), "is a training case, which holds its weights: it takes no checkpoint");
    expectRefusal(await check(training, "--dtype", "f16"), "is not an inference case: only those take --dtype f16");
  });

  it("passes if the engine computes what the original did, with a row for each tensor", async () => {
    const { code, stdout, stderr } = await check(patch8, inference);
    expect({ code, stderr: withoutPatience(stderr) }).toEqual({ code: 0, stderr: "" });
    const found = rows(stdout);
    expect(compared.length).toBeGreaterThan(20);
    expect(found.map((row) => row.name)).toEqual(expect.arrayContaining([...compared, "in.ids_restore"]));
    expect(new Set(found.map((row) => row.name)).size).toBe(found.length);
    for (const { verdict, error } of found) {
      expect(verdict).toBe("ok");
      expect(Number(error)).toBeLessThanOrEqual(1e-4);
    }
    // The count is the file's own: [2, 33, 256].
    expect(found.find((row) => row.name === "act.decoder_pred")?.count).toBe(2 * 33 * 256);
    const last = stdout.trimEnd().split("\n").at(-1);
    expect(last).toBe(`tiny-patch8-infer.safetensors: ${found.length} of ${found.length} within tolerance (0.0001)`);
  });

  it("fails with exit code 1 if a tensor exceeds the tolerance", async () => {
    // One value of one tensor is wrong. With a tolerance of 0, rounding errors fail as well.
    const { tensors, metadata } = parseSafetensors(new Uint8Array(readFileSync(inference)), inference);
    const wrong = tensors.get("act.blocks.1")?.data as Float32Array;
    wrong[7] = wrong[7] + 1;
    writeFileSync(at("wrong.safetensors"), serializeSafetensors(tensors, metadata));
    const { code, stdout, stderr } = await check(patch8, at("wrong.safetensors"), "--tolerance", "0");
    const found = rows(stdout);
    const failed = found.filter((row) => row.verdict === "FAILED");
    expect({ code, stderr: withoutPatience(stderr) }).toEqual({
      code: 1,
      stderr: `error: wrong.safetensors: ${failed.length} of ${found.length} comparisons exceed the tolerance\n`,
    });
    expect(found.filter((row) => Number(row.error) > 1e-4).map((row) => row.name)).toEqual(["act.blocks.1"]);
    for (const { verdict, error } of found) expect(verdict).toBe(Number(error) > 0 ? "FAILED" : "ok");
    expect(failed.length).toBeGreaterThan(20);
    // Ranks are whole numbers.
    expect(found.find((row) => row.name === "in.ids_restore")?.verdict).toBe("ok");
  });

  it("checks the preprocessing without a checkpoint", async () => {
    const { code, stdout, stderr } = await check(fixturePath("preprocess.safetensors"));
    expect({ code, stderr: withoutPatience(stderr) }).toEqual({ code: 0, stderr: "" });
    const found = rows(stdout);
    expect(found).toHaveLength(8);
    expect(found.map((row) => row.name)).toContain("gray.motion_gradient");
    expect(found.find((row) => row.name === "gray.motion_gradient")?.error).toBe("0 grey levels at most");
    for (const { verdict, error } of found) {
      expect(verdict).toBe("ok");
      expect(error).toMatch(/^[01] grey levels at most$/);
    }
  });

  it("refuses files that do not belong together, do not exist, or are not fixtures", async () => {
    const patch16 = fixturePath("tiny-checkpoint-best.pth");
    expectRefusal(
      await check(patch16, inference),
      "tiny-patch8-infer.safetensors is of a model with patch 8",
      "patch 16",
    );
    expectRefusal(await check(inference), "tiny-patch8-infer.safetensors is an inference case: give its checkpoint");
    expectRefusal(await check(at("none.safetensors")), "none.safetensors: cannot be read (no such file or folder)");
    expectRefusal(await check(patch8, patch8), "tiny-patch8.pth: not a valid safetensors file");
    expectRefusal(await check(inference, patch8), "tiny-patch8.pth");
    const tensor = { dtype: "F32", shape: [2], data: new Float32Array(2) } as const;
    writeFileSync(at("other.safetensors"), serializeSafetensors(new Map([["x", tensor]])));
    expectRefusal(await check(patch8, at("other.safetensors")), "other.safetensors is not a case");
    const { tensors } = parseSafetensors(new Uint8Array(readFileSync(inference)), inference);
    writeFileSync(at("no-metadata.safetensors"), serializeSafetensors(tensors));
    expectRefusal(await check(patch8, at("no-metadata.safetensors")), "no-metadata.safetensors: its metadata has no");
    expectRefusal(await check(patch8, inference, "--heads", "three"), "--heads");
    expectRefusal(await check(patch8, inference, "--tolerance", "-1"), "--tolerance");
    expectRefusal(await check(), "missing required argument 'files'");
  });
});
