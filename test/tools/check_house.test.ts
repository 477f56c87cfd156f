import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { scratchPerTest } from "../support/folders.js";

const tool = fileURLToPath(new URL("../../tools/check-house.js", import.meta.url));
const repository = fileURLToPath(new URL("../../", import.meta.url));
const at = scratchPerTest();

/** Runs the check on a tree of files. */
function check(files: Record<string, string>): { status: number | null; problems: string[]; summary: string } {
  for (const [name, text] of Object.entries({ "src/errors.ts": "export class E extends Error {}\n", ...files })) {
    mkdirSync(dirname(at(name)), { recursive: true });
    writeFileSync(at(name), text);
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [tool, at()], { encoding: "utf8" });
  return { status, problems: stderr.split("\n").filter(Boolean), summary: stdout.trim() };
}

describe("check-house", () => {
  it("finds nothing wrong in this repository", () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [tool, repository], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^check-house: \d+ files, \d+ imports, 13 floors; .*: in order\n$/);
    expect(status).toBe(0);
  });

  it("accepts imports downwards and between siblings", () => {
    const { status, problems, summary } = check({
      "src/gpu/gpu.ts": 'import { E } from "../errors.js";\nexport const gpu = E;\n',
      "shaders/x.wgsl": "",
      "src/ops/x.ts":
        'import wgsl from "../../shaders/x.wgsl";\nimport { gpu } from "../gpu/gpu.js";\nexport const x = [wgsl, gpu];\n',
      "src/model/m.ts": 'import { gpu } from "../ops/x.js";\nexport { gpu };\n',
      "src/checkpoint/c.ts": 'import type { gpu } from "../model/m.js";\nexport type G = typeof gpu;\n',
      "src/node/n.ts": 'import { readFile } from "node:fs/promises";\nimport "webgpu";\nexport { readFile };\n',
      "src/cli/c.ts": 'import { readFile } from "../node/n.js";\nreadFile("x");\nprocess.exit();\n',
    });
    expect(problems).toEqual([]);
    expect(summary).toMatch(/^check-house: 7 files, 8 imports/);
    expect(status).toBe(0);
  });

  it("reports imports upwards by file and line, also of types, re-exports and dynamic ones", () => {
    const { status, problems } = check({
      "src/model/m.ts": "// M.\nexport const m = 1;\nexport type M = number;\n",
      "src/gpu/a.ts": '// one\nimport type {\n  M,\n} from "../model/m.js";\nexport type N = M;\n',
      "src/gpu/b.ts": '\nexport * from "../model/m.js";\n',
      "src/gpu/c.ts": '\n\nexport const c = await import("../model/m.js");\n',
      "src/core.ts": 'import { x } from "./node/x.js";\nexport { x };\n',
      "src/node/x.ts": "export const x = 1;\n",
    });
    expect(problems).toEqual([
      "src/core.ts:1: core.ts imports upwards from node (./node/x.js)",
      "src/gpu/a.ts:4: gpu imports upwards from model (../model/m.js)",
      "src/gpu/b.ts:2: gpu imports upwards from model (../model/m.js)",
      "src/gpu/c.ts:3: gpu imports upwards from model (../model/m.js)",
    ]);
    expect(status).toBe(1);
  });

  it("reports imports in circles, of files and of folders on one floor", () => {
    const { status, problems } = check({
      "src/gpu/a.ts": 'import { b } from "./b.js";\nexport const a = b;\n',
      "src/gpu/b.ts": 'import type { a } from "./a.js";\nexport const b = 1 as unknown as typeof a;\n',
      "src/model/one.ts": 'import { two } from "../data/two.js";\nexport const one = two;\n',
      "src/data/two.ts": "export const two = 1;\n",
      "src/data/three.ts": 'import { four } from "../model/four.js";\nexport const three = four;\n',
      "src/model/four.ts": "export const four = 1;\n",
    });
    expect(status).toBe(1);
    expect(problems).toHaveLength(2);
    expect(problems[0]).toBe("src/gpu/a.ts:1: files import each other in a circle: gpu/a.ts → gpu/b.ts → gpu/a.ts");
    expect(problems[1]).toMatch(
      /:1: folders of one floor import each other in a circle: (data → model → data|model → data → model)$/,
    );
  });

  it("reports uses of Node in the core, but not mentions in comments and strings", () => {
    const { problems, status } = check({
      "src/data/a.ts": 'import { readFileSync } from "node:fs";\nexport { readFileSync };\n',
      "src/detector/b.ts": 'export const sharp = () => import("sharp");\n',
      "src/train/c.ts": "export const env = () => process.env;\nconst b = `$" + "{Buffer.from([])}`;\n",
      "src/eval/d.ts":
        '// process and Buffer in a comment\nexport const text = "process.env, require()";\nexport const o = { process: 1 };\nexport const p = o.process;\nexport const q = `Buffer of bytes`;\nexport const r = /process/.test(text);\n',
    });
    expect(problems).toEqual([
      "src/data/a.ts:1: the core imports node:fs, which a browser does not have",
      "src/detector/b.ts:1: the core imports sharp, which a browser does not have",
      "src/train/c.ts:1: the core uses process, which a browser does not have",
      "src/train/c.ts:2: the core uses Buffer, which a browser does not have",
    ]);
    expect(status).toBe(1);
  });

  it("reports missing files, folders on no floor, and kernels outside ops", () => {
    const { problems } = check({
      "shaders/x.wgsl": "",
      "src/graph/a.ts":
        'import x from "../../shaders/x.wgsl";\nimport { y } from "./y.js";\nexport const a = [x, y];\n',
      "src/ops/b.ts":
        'import x from "../../shaders/none.wgsl";\nimport z from "../../test/z.js";\nexport const b = [x, z];\n',
      "src/attic/c.ts": "export {};\n",
    });
    expect(problems).toEqual([
      "src/attic/c.ts:1: attic is on no floor: add it to tools/check-house.js and docs/architecture.md",
      "src/graph/a.ts:1: graph imports ../../shaders/x.wgsl: only ops has kernels",
      "src/graph/a.ts:2: ./y.js does not exist",
      "src/ops/b.ts:1: shaders/none.wgsl does not exist",
      "src/ops/b.ts:2: ../../test/z.js is outside src/",
    ]);
  });

  it("reports comments and prose over 100 columns, except tables, addresses and code", () => {
    const words = "word ".repeat(25);
    const { problems } = check({
      "src/gpu/a.ts": `// ${words}\n/**\n * ${words}\n */\nexport const text = "${words}"; // ${words}\n`,
      "src/gpu/b.ts": `// https://example.org/${"x".repeat(100)}\nexport const b = \`// ${words}\`;\n`,
      "shaders/c.wgsl": `// ${words}\n`,
      "tools/d.sh": `#!/bin/bash\n# ${words}\necho ${words}\n`,
      "docs/e.md": `${words}\n\n| ${words} |\n\n    ${words}\n\n\`\`\`\n${words}\n\`\`\`\n- one\n    ${words}\n`,
    });
    expect(problems).toEqual([
      "docs/e.md:1: prose of 125 columns: wrap it at 100",
      "docs/e.md:11: prose of 129 columns: wrap it at 100",
      "shaders/c.wgsl:1: prose of 128 columns: wrap it at 100",
      "src/gpu/a.ts:1: prose of 128 columns: wrap it at 100",
      "src/gpu/a.ts:3: prose of 128 columns: wrap it at 100",
      "src/gpu/a.ts:5: prose of 277 columns: wrap it at 100",
      "tools/d.sh:2: prose of 127 columns: wrap it at 100",
    ]);
  });

  it("reports long lines of Python, fixtures and issue forms, except code and examples of input", () => {
    const words = "word ".repeat(25);
    const { problems } = check({
      "bench/a.py": `#!${words}\n"""One\n${words}\n"""\ndef f():\n    r'''${words}'''\n    return 1  # ${words}\n`,
      "bench/b.py": `text = """\n# ${words}\n"""\nother = "# ${words}"\n`,
      "test/fixtures/README.md": `${words}\n`,
      "test/fixtures/deep/make.py": `# ${words}\n`,
      ".github/ISSUE_TEMPLATE/c.yml": `description: ${words}\nplaceholder: ${words}\nbody: >\n  ${words}\n`,
      ".github/workflows/d.yml": `# ${words}\nrun: ${words}\n`,
    });
    expect(problems).toEqual([
      ".github/ISSUE_TEMPLATE/c.yml:1: prose of 138 columns: wrap it at 100",
      ".github/ISSUE_TEMPLATE/c.yml:4: prose of 127 columns: wrap it at 100",
      ".github/workflows/d.yml:1: prose of 127 columns: wrap it at 100",
      "bench/a.py:3: prose of 125 columns: wrap it at 100",
      "bench/a.py:6: prose of 136 columns: wrap it at 100",
      "bench/a.py:7: prose of 141 columns: wrap it at 100",
      "test/fixtures/README.md:1: prose of 125 columns: wrap it at 100",
      "test/fixtures/deep/make.py:1: prose of 127 columns: wrap it at 100",
    ]);
  });

  it("reports references to files and sections that do not exist", () => {
    const { problems } = check({
      "src/gpu/a.ts":
        "// errors.ts and src/errors.ts, docs/method.md §2; src/gone.ts, gone.ts, docs/method.md §3; x.ts and curves.js\nexport {};\n",
      "docs/method.md": "## 2. Two\n\n[a](../src/gpu/a.ts), [web](https://example.org), [here](#two), [no](gone.md)\n",
      "README.md": '<img src="docs/gone.png">, `docs/method.md` and tools/gone.js\n',
    });
    expect(problems.map((line) => line.replace(/, which does not exist$/, ""))).toEqual([
      "README.md:1: refers to docs/gone.png",
      "README.md:1: refers to tools/gone.js",
      "docs/method.md:3: refers to gone.md",
      "src/gpu/a.ts:1: prose of 110 columns: wrap it at 100",
      "src/gpu/a.ts:1: refers to src/gone.ts",
      "src/gpu/a.ts:1: refers to gone.ts",
      "src/gpu/a.ts:1: refers to §3 of docs/method.md",
    ]);
  });

  it("reports includes of shaders that are missing or go in circles, and files that no kernel includes", () => {
    const include = (name: string) => `//#include "common/${name}.wgsl"\n`;
    const sound = {
      "shaders/a.wgsl": `alias Act = f32;\n${include("one")}`,
      "shaders/common/one.wgsl": include("two"),
      "shaders/common/two.wgsl": "",
    };
    expect(check(sound).problems).toEqual([]);
    expect(check({ "shaders/common/three.wgsl": "" }).problems).toEqual([
      "shaders/common/three.wgsl:1: no kernel includes it",
    ]);
    const broken = { "shaders/b.wgsl": `\n${include("none")}`, "shaders/common/two.wgsl": include("one") };
    const { problems, status } = check(broken);
    expect(problems).toEqual([
      "shaders/common/two.wgsl:1: files include each other in a circle: a.wgsl → common/one.wgsl → common/two.wgsl → common/one.wgsl",
      "shaders/b.wgsl:2: there is no shaders/common/none.wgsl",
    ]);
    expect(status).toBe(1);
  });

  it("reports kernels that the table of Indices leaves out, and names there that no kernel has", () => {
    const page = (rows: string) =>
      `# Page\n\n## Indices\n\n| kernels | because |\n| --- | --- |\n${rows}\n## Next\n\n| \`c\` |\n`;
    const shaders = { "shaders/a.wgsl": "", "shaders/b.wgsl": "", "shaders/b_two.wgsl": "", "shaders/c.wgsl": "" };
    const sound = page("| values: `a`, `b*` | `none` |\n| `idsKeep`: `c` | because |\n");
    expect(check({ ...shaders, "docs/architecture.md": sound }).problems).toEqual([]);
    const { problems, status } = check({ "docs/architecture.md": page("| `a`, `b`, `d*` | `c` |\n") });
    expect(problems).toEqual([
      'docs/architecture.md:3: "Indices" does not say why b_two stays within its buffers',
      'docs/architecture.md:3: "Indices" does not say why c stays within its buffers',
      "docs/architecture.md:7: shaders/ has no d*",
    ]);
    expect(status).toBe(1);
    expect(check({ "docs/architecture.md": "# Page\n" }).problems).toEqual([
      'docs/architecture.md:1: no section "Indices", which says why kernels stay within their buffers',
    ]);
  });

  it("reports files with several exports that do not say what they are for", () => {
    const twice = "export const a = 1;\nexport type B = 2;\n";
    const { problems, status } = check({
      "src/gpu/none.ts": twice,
      "src/gpu/late.ts": `\n// Too late.\n${twice}`,
      "src/gpu/list.ts": "const [a, b] = [1, 2];\nexport { a, b };\n",
      "src/gpu/line.ts": `// Counts.\n${twice}`,
      "src/gpu/doc.ts": `/** Counts. */\n${twice}`,
      "src/gpu/one.ts": "export const a = `\nexport const b = 2;`;\n// export const c = 3;\n",
    });
    const said = "a file with several exports begins with a comment that says what it is for";
    expect(problems).toEqual(["late", "list", "none"].map((name) => `src/gpu/${name}.ts:1: ${said}`));
    expect(status).toBe(1);
  });

  it("reports tests that do not mirror src/, except those that test several files", () => {
    const { problems, status } = check({
      "shaders/a_tiled.wgsl": "",
      "src/ops/a.ts": 'import wgsl from "../../shaders/a_tiled.wgsl";\nexport const a = wgsl;\n',
      "src/data/scene/b.ts": "export const b = 1;\n",
      "test/ops/a.test.ts": "",
      "test/ops/a_tiled.test.ts": "",
      "test/ops/half.test.ts": "",
      "test/data/scene.test.ts": "",
      "test/data/a_tiled.test.ts": "",
      "test/data/b.test.ts": "",
      "test/data/support.ts": "",
      "test/tools/c.test.ts": "",
      "test/errors.test.ts": "",
    });
    expect(problems).toEqual(
      ["a_tiled", "b"].map(
        (name) =>
          `test/data/${name}.test.ts:1: there is no src/data/${name}.ts: tests mirror src/ (tools/house/mirror.js)`,
      ),
    );
    expect(status).toBe(1);
  });

  it("exits with 2 if there is no src/", () => {
    const { status, stderr } = spawnSync(process.execPath, [tool, at("nowhere")], { encoding: "utf8" });
    expect(status).toBe(2);
    expect(stderr).toMatch(/src is not a folder/);
  });
});
