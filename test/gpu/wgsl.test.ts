import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { declaredBindings, specialize } from "../../src/gpu/wgsl.js";
import { resolveShader, shaders } from "../../tools/wgsl.js";

const source = `// A file.
const TOKENS: u32 = 800u;
const SHIFT: i32 = -1;
const EPSILON: f32 = 1e-6;
const ABSOLUTE: bool = false;
alias Act = f32;
//#if OUTER
outer
  //#if INNER
both
  //#endif
//#if !INNER
outer only
//#endif
//#endif
//#if !OUTER
neither
//#endif
fn f() { const TOKENS2: u32 = 1u; }
end`;

describe("specialize", () => {
  it("gives constants values in their own type", () => {
    const constants = { TOKENS: 24, SHIFT: -3, EPSILON: 2, ABSOLUTE: true };
    const lines = specialize(source, { constants }).split("\n");
    expect(lines.slice(1, 5)).toEqual([
      "const TOKENS: u32 = 24u;",
      "const SHIFT: i32 = -3i;",
      "const EPSILON: f32 = 2.0;",
      "const ABSOLUTE: bool = true;",
    ]);
    expect(specialize(source, { constants: { EPSILON: 1e-6 } })).toContain("const EPSILON: f32 = 0.000001;");
    expect(specialize(source, { constants: { EPSILON: 1e-7 } })).toContain("const EPSILON: f32 = 1e-7;");
  });

  it("gives aliases types, and enables float16 if one is f16", () => {
    expect(specialize(source, { types: { Act: "f32" } })).toBe(specialize(source, {}));
    const lines = specialize(source, { types: { Act: "f16" } }).split("\n");
    expect([lines[0], lines[6]]).toEqual(["enable f16;", "alias Act = f16;"]);
  });

  it("leaves the rest as it is", () => {
    const text = specialize(source, {});
    expect(text).toContain("const TOKENS: u32 = 800u;");
    expect(text).toContain("fn f() { const TOKENS2: u32 = 1u; }");
    expect(text).not.toContain("//#");
  });

  it("selects lines by flags, nested, a flag not given being false", () => {
    const kept = (flags: Record<string, boolean>) =>
      specialize(source, { flags })
        .split("\n")
        .filter((line) => /^(outer|both|outer only|neither)$/.test(line));
    expect(kept({})).toEqual(["neither"]);
    expect(kept({ INNER: true })).toEqual(["neither"]);
    expect(kept({ OUTER: true })).toEqual(["outer", "outer only"]);
    expect(kept({ OUTER: true, INNER: true })).toEqual(["outer", "both"]);
    expect(kept({ OUTER: false, INNER: false })).toEqual(["neither"]);
  });

  it("throws if the specialisation does not fit the file", () => {
    expect(() => specialize(source, { constants: { TOKEN: 1 } })).toThrow(
      "no module-level constant TOKEN to specialise",
    );
    // Of a function, not of the module.
    expect(() => specialize(source, { constants: { TOKENS2: 1 } })).toThrow("no module-level constant TOKENS2");
    expect(() => specialize(source, { constants: { ABSOLUTE: 1 } })).toThrow("a WGSL constant of type bool");
    expect(() => specialize(source, { types: { Action: "f16" } })).toThrow(
      "no module-level alias Action to specialise",
    );
    expect(() => specialize("//#if A\nx", {})).toThrow("an //#if without an //#endif");
    expect(() => specialize("x\n//#endif", {})).toThrow("an //#endif without an //#if");
  });
});

describe("declaredBindings", () => {
  it("finds the bindings that a text declares", () => {
    const text = `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read_write> b: array<vec4<f32>>;
@group(0)
@binding(12) var<uniform> c: Settings;
@group(0) @binding(4) var<storage> d: array<u32>;
var<workgroup> shared_: array<f32, 64>;`;
    expect(declaredBindings(text)).toEqual([
      { name: "a", binding: 0, type: "read-only-storage" },
      { name: "b", binding: 3, type: "storage" },
      { name: "c", binding: 12, type: "uniform" },
      { name: "d", binding: 4, type: "read-only-storage" },
    ]);
  });
});

describe("resolveShader", () => {
  /** Resolves the kernel of a folder of shaders with these files. */
  function resolved(files: Record<string, string>): { text: string; files: string[] } {
    const folder = mkdtempSync(join(tmpdir(), "sdmae-shaders-"));
    try {
      mkdirSync(join(folder, "common"));
      for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
      return resolveShader("kernel.wgsl", folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  const include = (name: string) => `//#include "common/${name}.wgsl"`;

  it("puts each included file in place once, and says which files it took", () => {
    const { text, files } = resolved({
      "kernel.wgsl": `alias Act = f32;\n${include("a")}\n${include("b")}\n//#if FLAG\n${include("c")}\n//#endif\nend\n`,
      "common/a.wgsl": "fn a(x: Act) {}\n",
      "common/b.wgsl": `${include("a")}\nfn b() {}\n`,
      "common/c.wgsl": "fn c() {}\n",
    });
    expect(text).toBe("alias Act = f32;\nfn a(x: Act) {}\nfn b() {}\n//#if FLAG\nfn c() {}\n//#endif\nend\n");
    expect(files).toEqual(["kernel.wgsl", "common/a.wgsl", "common/b.wgsl", "common/c.wgsl"]);
    expect(specialize(text, { types: { Act: "f16" } })).toContain("alias Act = f16;\nfn a(x: Act) {}");
  });

  it("fails in one line that names file and line", () => {
    const fails = (files: Record<string, string>, message: string) => expect(() => resolved(files)).toThrow(message);
    fails({ "kernel.wgsl": `\n${include("x")}` }, "shaders/kernel.wgsl:2: there is no shaders/common/x.wgsl");
    fails(
      { "kernel.wgsl": include("a"), "common/a.wgsl": include("b"), "common/b.wgsl": `\n\n${include("a")}` },
      "shaders/common/b.wgsl:3: files include each other in a circle: kernel.wgsl → common/a.wgsl → common/b.wgsl → common/a.wgsl",
    );
    fails(
      { "kernel.wgsl": `//#if A\n${include("a")}\n//#endif\n${include("a")}`, "common/a.wgsl": "" },
      "shaders/kernel.wgsl:4: common/a.wgsl is included within //#if before (shaders/kernel.wgsl:2)",
    );
    for (const line of ['//#include "../a.wgsl"', '  //#include "common/a.wgsl"', "//#include common/a.wgsl"]) {
      fails({ "kernel.wgsl": line }, "shaders/kernel.wgsl:1: an include is a line of its own");
    }
  });
});

describe("the files in shaders/", () => {
  const names = readdirSync(shaders).filter((name) => name.endsWith(".wgsl"));
  it("are many", () => expect(names.length).toBeGreaterThan(10));

  for (const name of names) {
    it(`${name}: every binding is recognised, none twice`, () => {
      const { text } = resolveShader(name);
      expect(declaredBindings(text).length).toBe(text.match(/@binding\(/g)?.length);
      const flags = [...text.matchAll(/\/\/#if !?(\w+)/g)].map((match) => match[1]);
      for (const on of [true, false]) {
        const chosen = Object.fromEntries(flags.map((flag) => [flag, on]));
        const numbers = declaredBindings(specialize(text, { flags: chosen })).map((d) => d.binding);
        expect(new Set(numbers).size).toBe(numbers.length);
      }
    });
  }
});
