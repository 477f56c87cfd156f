import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it } from "vitest";
import { scratch } from "../support/folders.js";
import { laboratory, laboratoryMissing } from "../support/laboratory.js";

const script = fileURLToPath(new URL("../../tools/gpu-lab.sh", import.meta.url));
const at = scratch();

const root = at("laboratory");
const programs = at("programs");

/** Makes a program that is found before the machine's. */
function program(name: string, text: string): void {
  writeFileSync(join(programs, name), `#!/bin/bash\n${text}\n`, { mode: 0o755 });
}

/**
 * Runs tools/gpu-lab.sh with the programs of {@link program}.
 * @param only whether there are no other programs, except a few basic ones
 */
function lab(args: readonly string[], environment: Readonly<Record<string, string>> = {}, only = false) {
  if (only) {
    for (const name of [
      "bash",
      "cat",
      "cut",
      "dirname",
      "env",
      "flock",
      "grep",
      "head",
      "ls",
      "mkdir",
      "paste",
      "rm",
      "touch",
    ]) {
      const path = ["/bin", "/usr/bin"].map((folder) => join(folder, name)).find((file) => existsSync(file));
      if (path && !existsSync(join(programs, name))) symlinkSync(path, join(programs, name));
    }
  }
  const PATH = only ? programs : [programs, process.env.PATH].join(delimiter);
  const env = { ...process.env, GPU_LAB: root, PATH, ...environment };
  const { status, stdout, stderr } = spawnSync("/bin/bash", [script, ...args], { env, encoding: "utf8" });
  return { code: status, stdout, stderr };
}

/**
 * Makes programs that pretend to install Debian's packages. They write their arguments to a file.
 */
function pretendDebian(): void {
  program("id", "echo 0");
  program(
    "apt-get",
    'echo "apt-get $*" >>"$CALLS"; [ "$1" != indextargets ] || echo http://private.example/debian/dists',
  );
  program("debootstrap", 'echo "debootstrap $*" >>"$CALLS"; mkdir -p "$4/etc/apt/sources.list.d"; touch "$4/tree"');
  program("chroot", 'echo "chroot $2 $3" >>"$CALLS"; [ "$2" != node ] || echo v20');
}

const calls = at("calls");
const isDebian = existsSync("/etc/os-release") && /^ID=debian$/m.test(readFileSync("/etc/os-release", "utf8"));

beforeEach(() => {
  rmSync(programs, { recursive: true, force: true });
  rmSync(root, { recursive: true, force: true });
  rmSync(calls, { force: true });
  mkdirSync(programs);
});

describe.skipIf(process.platform !== "linux")("tools/gpu-lab.sh", () => {
  it("prints its help and the list of GPUs", () => {
    for (const flag of ["--help", "-h", "help"]) {
      const { code, stdout } = lab([flag]);
      expect(code).toBe(0);
      for (const word of ["setup", "run GPU COMMAND", "gpus", "GPU_LAB"]) expect(stdout).toContain(word);
    }
    const { code, stdout } = lab(["gpus"]);
    const names = stdout
      .trim()
      .split("\n")
      .map((line) => line.split(" ")[0]);
    expect({ code, names }).toEqual({
      code: 0,
      names: ["rtx3090", "rtx2080", "rx7900xtx", "rx9070xt", "rx6800", "m1", "adreno740", "lavapipe"],
    });
  });

  it("refuses unknown commands and GPUs in one line, with exit code 2", () => {
    const refusals: [string[], string][] = [
      [["walk"], 'there is no command "walk"'],
      [["setup", "now"], "setup takes no arguments"],
      [["run"], "run needs a GPU and a command"],
      [["run", "rtx3090"], "run needs a GPU and a command"],
      [["run", "voodoo2", "true"], 'there is no GPU "voodoo2"; take one of rtx3090 rtx2080 '],
    ];
    for (const [args, says] of refusals) {
      const { code, stdout, stderr } = lab(args);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toMatch(/^gpu-lab: [^\n]+\n$/);
      expect(stderr).toContain(says);
    }
    expect(lab([]).code).toBe(2);
  });

  it("runs nothing if the laboratory is not set up", () => {
    const { code, stderr } = lab(["run", "rtx3090", "true"]);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `gpu-lab: the laboratory in ${root} is not set up: run tools/gpu-lab.sh setup\n`,
    });
    expect(lab(["ready"]).code).toBe(1);
  });

  it("keeps a laboratory that is ready", () => {
    mkdirSync(root);
    writeFileSync(join(root, ".ready"), "");
    expect(lab(["setup"], {}, true)).toEqual({ code: 0, stdout: `the laboratory in ${root} is ready\n`, stderr: "" });
    expect(lab(["ready"]).code).toBe(0);
  });
});

describe.skipIf(!isDebian)("setting the laboratory up", () => {
  const setup = (only = false) => lab(["setup"], { CALLS: calls }, only);
  const refused = (says: string, only = false) => {
    const { code, stdout, stderr } = setup(only);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^gpu-lab: [^\n]+\n$/);
    expect(stderr).toContain(says);
    expect(stdout + stderr).not.toContain("private.example");
    expect(existsSync(join(root, ".ready"))).toBe(false);
  };

  it("needs root, apt-get, mounts and debootstrap", () => {
    program("id", "echo 1000");
    refused("only root can set up the laboratory");
    program("id", "echo 0");
    refused("apt-get is missing", true);
    program("apt-get", "exit 100");
    program("unshare", "exit 1");
    refused("needs mounts, which this machine does not allow", true);
    program("unshare", "exit 0");
    refused("debootstrap is missing, and apt-get cannot install it", true);
  });

  it("installs a tree, and does not print the mirror's name", () => {
    pretendDebian();
    const { code, stdout, stderr } = setup();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`the laboratory in ${root} is ready: `);
    expect(stdout).not.toContain("private.example");
    expect(existsSync(join(root, ".ready"))).toBe(true);
    const called = readFileSync(calls, "utf8");
    expect(called).toContain(`trixie ${root} http://private.example/debian/`);
    expect(readFileSync(join(root, "etc/apt/sources.list.d/backports.list"), "utf8")).toContain("trixie-backports");
  });

  it("starts again if an earlier one was stopped", () => {
    pretendDebian();
    mkdirSync(root);
    writeFileSync(join(root, ".gpu-lab"), "");
    writeFileSync(join(root, "half"), "");
    expect(setup().code).toBe(0);
    expect(existsSync(join(root, "half"))).toBe(false);
    expect(existsSync(join(root, "tree"))).toBe(true);
  });

  it("leaves nothing ready if a step fails, and keeps other folders", () => {
    pretendDebian();
    program("chroot", "exit 1");
    refused("Mesa or Node cannot be installed");
    program("debootstrap", "exit 1");
    refused("debootstrap failed");
    rmSync(root, { recursive: true });
    mkdirSync(root);
    writeFileSync(join(root, "letters"), "");
    refused("holds other files");
    expect(existsSync(join(root, "letters"))).toBe(true);
  });
});

const missing = laboratoryMissing();

describe.skipIf(missing !== undefined)(`a command in the laboratory${missing ? ` (skipped: ${missing})` : ""}`, () => {
  const run = (...args: string[]) => lab(["run", "m1", ...args], { GPU_LAB: laboratory });

  it("runs in this folder, sees the project and named folders, and keeps its exit code", () => {
    mkdirSync(at("other"));
    writeFileSync(at("other", "file"), "here");
    expect(run("pwd")).toMatchObject({ code: 0, stdout: `${process.cwd()}\n` });
    expect(run("sh", "-c", "exit 7").code).toBe(7);
    expect(run("cat", at("other", "file"))).toMatchObject({ code: 0, stdout: "here" });
    expect(run("test", "-f", script).code).toBe(0);
  });

  it("refuses folders that do not exist", () => {
    const folders = (value: string) => lab(["run", "m1", "true"], { GPU_LAB: laboratory, GPU_LAB_FOLDERS: value });
    expect(folders("relative")).toMatchObject({ code: 2, stderr: expect.stringContaining("not an absolute path") });
    expect(folders("/nowhere/at/all")).toMatchObject({
      code: 2,
      stderr: "gpu-lab: the folder /nowhere/at/all does not exist\n",
    });
    expect(folders("").code).toBe(0);
  });
});
