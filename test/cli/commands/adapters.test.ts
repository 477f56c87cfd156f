import { describe, expect, it } from "vitest";
import { sdmae } from "../../support/cli.js";
import { testAdapter } from "../../support/gpu.js";

describe("adapters", () => {
  it("lists what --adapter takes, with the default first and a star at it", async () => {
    const { code, stdout, stderr } = await sdmae("adapters");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^\* \S.* {2}(gpu|lavapipe|software|swiftshader) {2}\S.* {2}\(.*\)$/);
    for (const [i, line] of lines.entries()) {
      expect(line).toMatch(i % 2 === 1 ? /^ {4}matrix units: \S/ : i > 0 ? /^ {2}\S/ : /^\* \S/);
    }
    if (testAdapter === "swiftshader") expect(stdout).toMatch(/^[* ] swiftshader {2}swiftshader {2}SwiftShader/m);
  });
});
