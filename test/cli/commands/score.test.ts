import { copyFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { parseSafetensors, serializeSafetensors } from "../../../src/checkpoint/safetensors.js";
import { Profiler } from "../../../src/gpu/profiler.js";
import { Program } from "../../../src/graph/program.js";
import { AtomicFile } from "../../../src/node/files/atomic.js";
import { runInChild } from "../../support/child.js";
import { expectRefusal, filesIn, frameFolder, type Ran, readCsv, sdmae, tool, videoFile } from "../../support/cli.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";

const at = scratch();
const small = ["--size", "32x64", "--adapter", testAdapter];
/** Patch 16; it was trained with Avenue's settings: squared errors, the sum of both. */
const best = fixturePath("tiny-checkpoint-best.pth");
const bestStudent = fixturePath("tiny-checkpoint-best-student.pth");
const teacherAndStudent = ["--checkpoint", best, "--student", bestStudent, ...small];
/** Patch 8; the file has no settings, so the patch makes them ShanghaiTech's. */
const patch8 = fixturePath("tiny-patch8.pth");

const numbers = [5, 6, 7, 12];
let frames: string;
let twoFrames: string;
beforeAll(async () => {
  frames = await frameFolder(at("frames"), numbers);
  twoFrames = await videoFile(at("two.avi"), 2, "-c:v", "ffv1");
});

/** The content of `--out x.json`. */
interface Report {
  input: string;
  checkpoint: string;
  seed: number;
  settings: Record<string, unknown>;
  adapter: { kind: string; description: string };
  frames: { frame: number; time?: number; studentError: number; targetError: number; score: number }[];
}

/** Scores an input, which must work, into a JSON file that it parses and removes. */
async function scored(input: string, ...options: string[]): Promise<Report> {
  const out = at("report.json");
  const ran = await sdmae("score", input, ...options, "--quiet", "--out", out);
  expect(ran).toEqual({ code: 0, stdout: "", stderr: "" });
  const report = JSON.parse(readFileSync(out, "utf8")) as Report;
  rmSync(out);
  return report;
}

/** The square of the mean of |d| is less than the mean of d². */
function expectMeansOf(absolute: number, squared: number | undefined): void {
  expect(absolute).not.toBe(squared);
  expect(absolute).toBeGreaterThan(0);
  expect(absolute ** 2).toBeLessThan(squared as number);
}

describe("score", () => {
  let first: Ran;
  let csv: string;
  beforeAll(async () => {
    first = await sdmae("score", frames, ...teacherAndStudent, "--seed", "3", "--out", at("scores.csv"));
    csv = readFileSync(at("scores.csv"), "utf8");
  });

  it("writes one row per frame: its number, no time for a folder, both errors, their sum", () => {
    const rows = readCsv(csv);
    expect(rows.map((row) => row.frame)).toEqual(numbers);
    for (const { time, student, target, score } of rows) {
      expect(time).toBe("");
      expect(student).toBeGreaterThan(0);
      expect(target).toBeGreaterThan(0);
      expect(score / (student + target)).toBeCloseTo(1, 7);
    }
    expect(new Set(rows.map((row) => row.score)).size).toBe(numbers.length);
  });

  it("prints a summary on stderr, and writes only the file", () => {
    expect(first).toMatchObject({ code: 0, stdout: "" });
    const lines = first.stderr.trimEnd().split("\n");
    expect(lines.at(-2)).toMatch(
      /^4 frames at 32x64 in [\d.]+ s \([\d.]+ frames\/s after the first\), \d+ MB of GPU memory, on ./,
    );
    const top = readCsv(csv).reduce((a, b) => (b.score > a.score ? b : a));
    expect(lines.at(-1)).toBe(
      `highest score ${top.score.toPrecision(6)} at frame ${top.frame}; written to ${at("scores.csv")}`,
    );
    expect(filesIn(at()).filter((name) => name.startsWith("scores"))).toEqual(["scores.csv"]);
  });

  it("gives the same bytes for the same seed, and prints them without --out", async () => {
    const again = await sdmae("score", frames, ...teacherAndStudent, "--seed", "3", "--quiet");
    expect(again).toEqual({ code: 0, stdout: csv, stderr: "" });
  });

  it("gives other scores for another seed, and prints where the time goes with --profile", async () => {
    const options = ["--seed", "4", "--batch", "2", "--profile"];
    const other = await sdmae("score", frames, ...teacherAndStudent, ...options);
    expect(other.code).toBe(0);
    const rows = readCsv(other.stdout);
    expect(rows.map((row) => row.frame)).toEqual(numbers);
    for (const [i, row] of readCsv(csv).entries()) expect(rows[i]?.score).not.toBe(row.score);
    const lines = other.stderr.split("\n");
    const head = lines.findIndex((line) => /^op +dispatches +ms +share +MFLOP +MB moved +GFLOP\/s +GB\/s$/.test(line));
    expect(head).toBeGreaterThanOrEqual(0);
    expect(other.stderr).toMatch(/^attention +\d+ +\d+\.\d{3} +[\d.]+ % /m);
    expect(other.stderr).toMatch(/^total +\d+ +\d+\.\d{3} +100\.0 % /m);
    // Dispatches and bytes add up.
    const cells = lines.slice(head + 1).map((line) => line.trim().split(/ +/));
    const last = cells.findIndex(([name]) => name === "total");
    for (const [column, places] of [
      [1, 0],
      [6, 1],
    ] as const) {
      const sum = cells.slice(0, last).reduce((all, row) => all + Number(row[column]), 0);
      expect(sum).toBeGreaterThan(0);
      expect(sum).toBeCloseTo(Number(cells[last]?.[column]), places);
    }
  });

  it("writes JSON with the settings and the same numbers", async () => {
    const report = await scored(frames, ...teacherAndStudent, "--seed", "3");
    expect(report).toMatchObject({ input: frames, checkpoint: `${best} + ${bestStudent}`, seed: 3 });
    expect(report.settings).toEqual({
      size: { height: 32, width: 64 },
      maskRatio: 0.5,
      masking: "random",
      norm: "L2",
      score: "sum",
      maskedOnly: false,
      dtype: "f32",
      frameScore: { scoring: "mean", tokens: "all", topK: 10, minMotion: 0 },
    });
    expect(report.adapter.description.length).toBeGreaterThan(0);
    if (testAdapter === "swiftshader") expect(report.adapter.kind).toBe("swiftshader");
    const same = readCsv(csv).map(({ frame, student, target, score }) => {
      return { frame, studentError: student, targetError: target, score };
    });
    expect(report.frames).toEqual(same);
  });

  it("scores a converted checkpoint like the original's two, and by the target's error with --score teacher", async () => {
    const model = at("model.safetensors");
    expect(await tool("convert-checkpoint", best, bestStudent, model)).toMatchObject({ code: 0, stderr: "" });
    const options = ["--checkpoint", model, ...small, "--seed", "3", "--score", "teacher"];
    const report = await scored(frames, ...options);
    expect(report.settings).toMatchObject({ score: "teacher", norm: "L2", maskRatio: 0.5 });
    const expected = readCsv(csv).map(({ frame, student, target }) => {
      return { frame, studentError: student, targetError: target, score: target };
    });
    expect(report.frames).toEqual(expected);
  });

  describe("takes from its options", () => {
    const cases: [what: string, options: string[], settings: Record<string, unknown>][] = [
      ["absolute differences", ["--norm", "L1"], { norm: "L1" }],
      ["removed tokens only", ["--masked-only"], { maskedOnly: true }],
      ["tokens that move", ["--masking", "gradient"], { masking: "gradient" }],
      ["fewer tokens", ["--mask-ratio", "0.75"], { maskRatio: 0.75 }],
    ];
    it.each(cases)("%s", async (_, options, settings) => {
      const report = await scored(frames, ...teacherAndStudent, "--seed", "3", ...options);
      expect(report.settings).toMatchObject(settings);
      const rows = readCsv(csv);
      expect(report.frames.map((f) => f.frame)).toEqual(numbers);
      for (const [i, { studentError, targetError, score }] of report.frames.entries()) {
        expect(targetError).not.toBe(rows[i]?.target);
        expect(studentError).not.toBe(rows[i]?.student);
        expect(score / (studentError + targetError)).toBeCloseTo(1, 7);
      }
      if (settings.norm) {
        for (const [i, { targetError }] of report.frames.entries()) expectMeansOf(targetError, rows[i]?.target);
      }
    });
  });

  it("reads a video of two frames, with times, and takes the settings of a preset", async () => {
    const own = await sdmae("score", twoFrames, ...teacherAndStudent, "--quiet");
    expect(own).toMatchObject({ code: 0, stderr: "" });
    const rows = readCsv(own.stdout);
    expect(rows.map((row) => [row.frame, row.time])).toEqual([
      [0, "0"],
      [1, "0.1"],
    ]);
    for (const { student, target, score } of rows) expect(score / (student + target)).toBeCloseTo(1, 7);

    const shanghai = await scored(twoFrames, ...teacherAndStudent, "--preset", "shanghai");
    expect(shanghai.settings).toMatchObject({ size: { height: 32, width: 64 }, norm: "L1", score: "teacher" });
    expect(shanghai.frames.map((f) => f.time)).toEqual([0, 0.1]);
    for (const [i, { studentError, targetError, score }] of shanghai.frames.entries()) {
      expect(score).toBe(targetError);
      expectMeansOf(studentError, rows[i]?.student);
      expectMeansOf(targetError, rows[i]?.target);
    }
  });

  it("warns about a video that is damaged in the middle, and scores the frames that can be decoded", async () => {
    const path = await videoFile(at("damaged.avi"), 6, "-c:v", "mpeg4", "-qscale", "2");
    const bytes = readFileSync(path);
    for (let i = bytes.length >> 2; i < bytes.length * 0.7; i += 97) bytes[i] = bytes[i] ^ 0x5a;
    writeFileSync(path, bytes);
    const { code, stdout, stderr } = await sdmae("score", path, "--checkpoint", patch8, ...small);
    expect(code).toBe(0);
    const rows = readCsv(stdout);
    expect(rows.length).toBeGreaterThan(0);
    // A file without settings and with a patch of 8 gets ShanghaiTech's: the target's error alone.
    for (const { frame, time, score, target } of rows) {
      expect(Number(time)).toBeCloseTo(frame / 10, 9);
      expect(score).toBe(target);
    }
    expect(stderr).toMatch(/^warning: .*damaged\.avi: ffmpeg reported \d+ errors? while decoding.*$/m);
  });
});

it("takes the nearest mask ratio that leaves a grid if none is given, and says so", async () => {
  const options = ["--size", "48x48", "--adapter", testAdapter, "--out", at("grid.json")];
  const { code, stderr } = await sdmae("score", frames, ...teacherAndStudent, ...options);
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringContaining("mask ratio 0.5 leaves no grid at 48x48: using the nearest that does, 0.3\n"),
  });
  expect(JSON.parse(readFileSync(at("grid.json"), "utf8"))).toMatchObject({ settings: { maskRatio: 0.3 } });
});

describe("score refuses, in one line and without leaving a file,", () => {
  const out = at("out");
  beforeEach(() => mkdirSync(out));
  afterEach(() => {
    const left = filesIn(out);
    rmSync(out, { recursive: true });
    expect(left).toEqual([]);
  });
  const csv = join(out, "scores.csv");
  /** Scores into a folder, which must stay empty. */
  const score = (input: string, ...options: string[]) => sdmae("score", input, ...options, "--out", csv);
  const withCheckpoint = (path: string) => score(frames, "--checkpoint", path, ...small);
  const withInput = (input: string) => score(input, ...teacherAndStudent);
  const withOptions = (...options: string[]) => score(frames, ...teacherAndStudent, ...options);

  describe("a checkpoint", () => {
    it("that is cut off", async () => {
      const path = at("cut.pth");
      copyFileSync(patch8, path);
      truncateSync(path, 200_000);
      expectRefusal(await withCheckpoint(path), "cut.pth", /cut off|truncated|zip/i);
    });

    it("that would run a command", async () => {
      const path = fixturePath("checkpoint/harm-os-system.pth");
      expectRefusal(await withCheckpoint(path), "harm-os-system.pth", /system/);
    });

    it("of another network", async () => {
      const path = at("other.safetensors");
      const tensor = { dtype: "F32", shape: [2, 3], data: new Float32Array(6) } as const;
      writeFileSync(path, serializeSafetensors(new Map([["conv1.weight", tensor]])));
      expectRefusal(await withCheckpoint(path), "other.safetensors: not an SD-MAE checkpoint", "conv1.weight");
    });

    it("without one of its tensors", async () => {
      const path = at("incomplete.safetensors");
      expect((await tool("convert-checkpoint", patch8, path)).code).toBe(0);
      const { tensors, metadata } = parseSafetensors(new Uint8Array(readFileSync(path)), path);
      expect(tensors.delete("decoder_blocks.1.attn.proj.bias")).toBe(true);
      writeFileSync(path, serializeSafetensors(tensors, metadata));
      expectRefusal(await withCheckpoint(path), "incomplete.safetensors", "decoder_blocks.1.attn.proj.bias");
    });

    it("that does not exist, is a folder or another file, or a student of another size", async () => {
      expectRefusal(await withCheckpoint(at("none.pth")), "none.pth: cannot be read (no such file or folder)");
      expectRefusal(await withCheckpoint(frames), "frames: cannot be read (it is a folder)");
      expectRefusal(await withCheckpoint(join(frames, "frame_005.png")), "frame_005.png");
      expectRefusal(await score(frames, "-c", best, "--student", patch8, ...small), "tiny-patch8.pth", "patch");
    });

    it("whose name has a line break", async () => {
      expectRefusal(await withCheckpoint(at("two\nlines.pth")), "two lines.pth: cannot be read");
    });
  });

  describe("an input", () => {
    it("with an image of 1×1 pixels", async () => {
      const folder = at("one-pixel");
      mkdirSync(folder);
      copyFileSync(fixturePath("images/one-pixel.png"), join(folder, "1.png"));
      expectRefusal(await withInput(folder), "1.png is 1×1 pixels; a side needs at least 8");
    });

    it("with frames of two sizes", async () => {
      const folder = await frameFolder(at("mixed"), [0, 2, 3]);
      await frameFolder(at("mixed-other"), [1], { height: 48, width: 72 });
      copyFileSync(join(at("mixed-other"), "frame_001.png"), join(folder, "frame_001.png"));
      expectRefusal(await withInput(folder), /frame_001\.png is 72×48 pixels, but frame_000\.png is 72×40/);
    });

    it("with a broken image, after some frames were scored", async () => {
      const folder = await frameFolder(at("broken"), [0, 1, 2, 3, 4, 5, 6, 7]);
      truncateSync(join(folder, "frame_006.png"), 500);
      const written = vi.spyOn(AtomicFile.prototype, "write");
      const refused = await withInput(folder);
      const pieces = written.mock.calls.map(([piece]) => String(piece));
      written.mockRestore();
      expectRefusal(refused, "frame_006.png cannot be decoded as PNG");
      expect(pieces[1]).toMatch(/^0,,[\d.]+,[\d.]+,[\d.]+\n$/);
    });

    it("that is a truncated video, text with a video's name, or a video without a decodable frame", async () => {
      const cut = await videoFile(at("cut.mp4"), 6, "-c:v", "mpeg4");
      truncateSync(cut, readFileSync(cut).length >> 1);
      expectRefusal(await withInput(cut), "cut.mp4 is not a video that ffmpeg can read: ");

      writeFileSync(at("text.avi"), "This is text.\n".repeat(50));
      expectRefusal(await withInput(at("text.avi")), "text.avi is not a video that ffmpeg can read");

      const bad = await videoFile(at("bad.avi"), 3, "-c:v", "ffv1");
      const bytes = readFileSync(bad);
      const data = bytes.indexOf("movi") + 4;
      bytes.fill(0xff, data + 8, bytes.indexOf("idx1"));
      writeFileSync(bad, bytes);
      expectRefusal(await withInput(bad), "bad.avi");
    });

    it("that is empty, does not exist, or is a single image", async () => {
      mkdirSync(at("empty"));
      expectRefusal(await withInput(at("empty")), "empty holds no image");
      expectRefusal(await withInput(at("nowhere")), "nowhere cannot be read: no such file or folder");
      const image = join(frames, "frame_005.png");
      expectRefusal(await withInput(image), "frame_005.png is a single image; name a folder of frames or a video");
    });
  });

  describe("options:", () => {
    it("a size that the patch does not divide", async () => {
      expectRefusal(
        await withOptions("--size", "32x72"),
        /size 32x72 does not divide into patches of 16 pixels; 32x\d+/,
      );
    });

    it("a mask ratio that leaves no grid", async () => {
      expectRefusal(await withOptions("--mask-ratio", "0.9"), "mask ratio 0.9 leaves no grid");
      expectRefusal(await withOptions("--mask-ratio", "0", "--masked-only"), "mask ratio 0 removes none");
    });

    it("values that are out of range or no numbers", async () => {
      const cases: [string, string, RegExp][] = [
        ["--size", "32", /--size.*'32' is invalid.*HEIGHTxWIDTH/],
        ["--mask-ratio", "1", /--mask-ratio.*'1' is invalid.*from 0 to below 1/],
        ["--mask-ratio", "", /--mask-ratio/],
        ["--seed", "-1", /--seed/],
        ["--seed", "4294967296", /--seed.*4294967295/],
        ["--batch", "0", /--batch.*from 1/],
        ["--heads", "x", /--heads/],
        ["--heads", "3", /3 attention heads do not divide the width 32/],
        ["--norm", "L3", /--norm.*Allowed choices are L1, L2/],
        ["--score", "mean", /--score.*sum, teacher, student/],
        ["--masking", "none", /--masking.*random, gradient/],
        ["--preset", "ped2", /--preset.*avenue, shanghai/],
      ];
      for (const [option, value, says] of cases) expectRefusal(await withOptions(option, value), says);
    });

    it("unknown or missing ones, and too many or too few arguments", async () => {
      expectRefusal(await withOptions("--sizes", "32x64"), "unknown option '--sizes'", "--size");
      expectRefusal(await score(frames, ...small), "required option '-c, --checkpoint <file>' not specified");
      expectRefusal(await withOptions("another"), "too many arguments");
      expectRefusal(await sdmae("score", ...teacherAndStudent), "missing required argument 'input'");
      expectRefusal(await sdmae("scores"), "unknown command 'scores'");
    });

    it("--out with an unknown extension, in a folder that does not exist, or that is a folder", async () => {
      const into = (path: string) => sdmae("score", frames, ...teacherAndStudent, "--out", path);
      expectRefusal(await into(join(out, "x.xml")), "x.xml: the name must end in .csv or .json");
      const nowhere = join(out, "nowhere", "x.csv");
      expectRefusal(await into(nowhere), `${nowhere}: cannot be written (no such file or folder)`);
      mkdirSync(csv);
      expectRefusal(await into(csv), `${csv}: cannot be written (it is a folder)`);
      rmSync(csv, { recursive: true });
    });

    it("--profile, before anything is scored, if the adapter has no timestamps", async () => {
      const available = vi.spyOn(Profiler, "available").mockReturnValue(false);
      const stepped = vi.spyOn(Program.prototype, "run");
      const refused = await withOptions("--profile");
      expect(stepped).not.toHaveBeenCalled();
      available.mockRestore();
      stepped.mockRestore();
      expectRefusal(refused, /--profile: the adapter .+ has no timestamp queries/);
    });

    it("raw frames that end within a frame, after the scores of all frames before", async () => {
      const bytes = 32 * 64 * 3;
      const path = at("cut.raw");
      writeFileSync(
        path,
        Uint8Array.from({ length: 19.5 * bytes }, (_, i) => (i * 7 + Math.floor(i / bytes) * 31) % 251),
      );
      const ran = await sdmae("score", path, ...teacherAndStudent, "--raw-size", "32x64", "--batch", "4");
      expect(ran.code).toBe(2);
      expect(ran.stderr).toMatch(/cut\.raw ends within frame 19: a raw frame of 64×32 bgr pixels has 6144 bytes/);
      expect(readCsv(ran.stdout).map(({ frame }) => frame)).toEqual([...Array(19).keys()]);
    });

    it("those that would have no effect", async () => {
      expectRefusal(await withOptions("--raw-fps", "25"), "--raw-fps has no effect without --raw-size");
      expectRefusal(await withOptions("--raw-format", "rgb"), "--raw-format has no effect without --raw-size");
      expectRefusal(await withOptions("--fps", "25"), "--fps has no effect without --report, --video or --events");
      expectRefusal(await withOptions("--masked-only", "--tokens", "all"), "contradict each other");
      const anomaly = ["--frame-score", "anomaly-map"];
      expectRefusal(await withOptions(...anomaly, "--score", "student"), "--score has no effect");
      const video = [twoFrames, ...teacherAndStudent];
      for (const option of ["--order", "--step"]) {
        const value = option === "--order" ? "name" : "1";
        expectRefusal(await sdmae("score", ...video, option, value), `${option} has no effect on ${twoFrames}`);
      }
    });

    it("a step that is longer than the distance of frames", async () => {
      expectRefusal(await withOptions("--step", "3"), "frames 5 and 6 are closer than the step, 3");
    });

    it("an adapter that does not exist", async () => {
      expectRefusal(await withOptions("--adapter", "nonsense"), /no adapter named "nonsense"; this machine has ./);
    });
  });

  it("and keeps an older file as it was", async () => {
    writeFileSync(csv, "older");
    expectRefusal(await withOptions("--adapter", "nonsense"), "nonsense");
    expect(readFileSync(csv, "utf8")).toBe("older");
    rmSync(csv);
  });
});

describe("score in another process", () => {
  const out = at("child-out");
  beforeEach(() => mkdirSync(out));
  afterEach(() => rmSync(out, { recursive: true }));
  /** The start of a program with the arguments of `sdmae score …`. */
  const program = (...args: string[]) => `
    import { readdirSync, readFileSync } from "node:fs";
    import { runCli } from "./src/cli/index.ts";
    const out = ${JSON.stringify(out)};
    const args = ${JSON.stringify(["score", ...args])};
    `;

  it("says what to install if there is no adapter, with exit code 2", async () => {
    const manifest = at("no-driver.json");
    const icd = { library_path: at("no-driver.so"), api_version: "1.0.0" };
    writeFileSync(manifest, JSON.stringify({ file_format_version: "1.0.0", ICD: icd }));
    // npm has SwiftShader for x64 only. Dawn is loaded before the architecture changes.
    const text = `${program(frames, "-c", best, "--size", "32x64", "--out", join(out, "x.csv"))}
      await import("webgpu");
      Object.defineProperty(process, "arch", { value: "riscv64" });
      process.exitCode = await runCli(args);`;
    const environment = { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest, SDMAE_ADAPTER: "" };
    const { code, stdout, stderr } = await runInChild(text, environment);
    // The Vulkan loader prints its own lines first.
    expect(stderr).toMatch(
      /^error: no WebGPU adapter found: install your GPU's Vulkan driver, or lavapipe .*\n$(?![\s\S])/m,
    );
    expect(stderr.match(/^error: /gm)).toHaveLength(1);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(filesIn(out)).toEqual([]);
  });

  it("stops after Ctrl-C with exit code 130, and leaves no file", async () => {
    const long = at("long");
    mkdirSync(long);
    const images = filesIn(frames).map((name) => join(frames, name));
    for (let i = 0; i < 2000; i++) copyFileSync(images[i % images.length], join(long, `${i}.png`));
    const text = `${program(long, ...teacherAndStudent, "--quiet", "--out", join(out, "x.csv"))}
      let rows = 0;
      const watch = setInterval(() => {
        const half = readdirSync(out).find((name) => name.endsWith(".tmp"));
        if (half) rows = readFileSync(out + "/" + half, "utf8").split("\\n").length - 2;
        if (rows < 2) return;
        clearInterval(watch);
        process.kill(process.pid, "SIGINT");
      }, 5);
      process.exitCode = await runCli(args);
      clearInterval(watch);
      console.log(rows);`;
    const { code, signal, stdout, stderr } = await runInChild(text);
    expect({ code, signal, stderr }).toEqual({ code: 130, signal: null, stderr: "" });
    // The signal came after some rows, and long before the end.
    expect(Number(stdout)).toBeGreaterThanOrEqual(2);
    expect(Number(stdout)).toBeLessThan(1000);
    expect(filesIn(out)).toEqual([]);
  });

  it("stops if it cannot print: quietly if nobody reads, with an error if the disk is full", async () => {
    const text = `${program(frames, ...teacherAndStudent, "--quiet")}
      import { spawn } from "node:child_process";
      import { existsSync, openSync } from "node:fs";
      // Copies of this program, with standard outputs that take nothing.
      function inner(stdout) {
        const env = { ...process.env, SDMAE_TEST_INNER: "1" };
        const child = spawn(process.execPath, [process.argv[1]], { env, stdio: ["ignore", stdout, "pipe"] });
        child.stdout?.destroy();
        child.stderr.on("data", (data) => console.log(String(data).trim()));
        return new Promise((resolve) => child.on("close", (code, signal) => resolve(console.log(code, signal))));
      }
      if (process.env.SDMAE_TEST_INNER) {
        process.exitCode = await runCli(args);
      } else {
        await inner("pipe");
        if (existsSync("/dev/full")) await inner(openSync("/dev/full", "w"));
      }`;
    const { code, stdout } = await runInChild(text);
    const [closed, ...full] = stdout.trimEnd().split("\n");
    expect({ code, closed }).toEqual({ code: 0, closed: "130 null" });
    if (process.platform !== "linux") return;
    expect(full[0]).toMatch(/^error: the standard output cannot be written \(.*no space/i);
    expect(full.slice(1)).toEqual(["2 null"]);
  });
});
