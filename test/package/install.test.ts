import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { scratch } from "../support/folders.js";
import { copyProject, repository, runIn } from "../support/package.js";

const at = scratch();
const user = at("user");
const { version, dependencies, optionalDependencies } = JSON.parse(
  readFileSync(join(repository, "package.json"), "utf8"),
) as Record<"dependencies" | "optionalDependencies", Record<string, string>> & { version: string };
let packed: string[] = [];

/** A user's program; `from` is the name that TypeScript's resolution finds the package by. */
const program = (from: string) => `
import { fileURLToPath } from "node:url";
import { Detector, type FrameScore, InputError, sceneDataset } from "${from}";

const model = fileURLToPath(new URL("models/scene.safetensors", import.meta.resolve("sdmae/package.json")));
const detector = await Detector.open(model, { batch: 2 });
const clip = { width: 144, height: 96, fps: 10, view: "close", frames: 4, train: 0, test: 1 } as const;
const scores: FrameScore[] = [];
const [video] = sceneDataset(clip).test;
if (!video) throw new InputError("no video");
for await (const score of detector.stream(await video.open())) scores.push(score);
detector.close();
console.log(JSON.stringify(scores.map(({ frame, time, score, map }) => [frame, time, score, map.rows, map.columns])));
// @ts-expect-error: the types are the package's, not any
export const wrong: string = scores[0]?.score;
`;

beforeAll(async () => {
  const project = at("project");
  mkdirSync(project);
  copyProject(project);
  // Runs "prepare", and so builds dist/ and the types.
  await runIn(project, "npm", "pack", "--pack-destination", at());
  packed = (await runIn(at(), "tar", "-tzf", `sdmae-${version}.tgz`)).trim().split("\n");

  mkdirSync(user);
  const manifest = {
    private: true,
    type: "module",
    dependencies: { sdmae: `file:../sdmae-${version}.tgz` },
    devDependencies: { "@types/node": "*" },
  };
  writeFileSync(join(user, "package.json"), JSON.stringify(manifest));
  // What npm would fetch is linked, so that this needs no network.
  for (const name of [...Object.keys({ ...dependencies, ...optionalDependencies }), "@types/node"]) {
    const link = join(user, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(repository, "node_modules", name), link, "dir");
  }
  const cache = at("npm-cache");
  await runIn(user, "npm", "install", "--offline", "--no-audit", "--no-fund", "--no-save", "--cache", cache);
});

describe("the package", () => {
  it("holds the program, its tools, guides, examples and models", () => {
    const expected = ["dist/node.js", "dist/core.js", "dist/cli.js", "dist/types/core.d.ts", "tools/sdmae.js"];
    expected.push("tools/convert-checkpoint.js", "bench/fps.js", "docs/library.md", "docs/images/report.png");
    expected.push("examples/node/score.js", "models/scene.safetensors", "README.md", "LICENSE");
    expect(packed).toEqual(expect.arrayContaining(expected.map((path) => `package/${path}`)));
  });

  it("holds no tests and no tools that only developers run", () => {
    const developers =
      /^package\/(test|src|node_modules|tools\/(build|check-house|report-page|readme-images|wgsl|api))/;
    expect(packed.filter((path) => developers.test(path))).toEqual([]);
    expect(packed.filter((path) => /\/node_modules\/|\.test\./.test(path))).toEqual([]);
  });

  it.each([
    ["nodenext", "sdmae"],
    ["bundler", "sdmae/node"],
  ])("type-checks in an empty TypeScript project by %s resolution", async (resolution, from) => {
    const file = `${resolution}.ts`;
    writeFileSync(join(user, file), program(from));
    const tsc = [join(repository, "node_modules", "typescript", "bin", "tsc"), "--strict", "--noEmit"];
    const module = ["--module", resolution === "bundler" ? "esnext" : resolution, "--moduleResolution", resolution];
    await runIn(user, process.execPath, ...tsc, ...module, "--target", "es2022", "--types", "node", file);
  });

  it("scores frames from there", async () => {
    const tsc = [join(repository, "node_modules", "typescript", "bin", "tsc"), "--strict", "--outDir", "built"];
    writeFileSync(join(user, "score.ts"), program("sdmae"));
    await runIn(user, process.execPath, ...tsc, "--module", "nodenext", "--types", "node", "score.ts");
    const rows = JSON.parse(await runIn(user, process.execPath, "built/score.js")) as number[][];
    expect(rows.map(([frame, time, , ...grid]) => [frame, time, ...grid])).toEqual(
      [0, 1, 2, 3].map((frame) => [frame, frame / 10, 8, 12]),
    );
    for (const [, , score] of rows) expect(score).toBeGreaterThan(0);
  });

  it("brings the command sdmae, which prints the package's version", async () => {
    expect(await runIn(user, "npx", "--offline", "sdmae", "--version")).toBe(`sdmae ${version}\n`);
  });
});
