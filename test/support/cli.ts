import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { expect, vi } from "vitest";
import { runBenchmark } from "../../src/bench/index.js";
import { runCli, runTool } from "../../src/cli/index.js";
import { findFfmpeg } from "../../src/node/media/ffmpeg.js";

/** What a command printed, and its exit code. */
export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command in this process and keeps what it prints from the terminal. */
export async function captured(command: () => Promise<number>): Promise<Ran> {
  let [stdout, stderr] = ["", ""];
  const collect = (take: (text: string) => void): typeof process.stdout.write => {
    return (text: string | Uint8Array, ...rest: unknown[]) => {
      take(typeof text === "string" ? text : new TextDecoder().decode(text));
      const done = rest.at(-1);
      if (typeof done === "function") done();
      return true;
    };
  };
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation(
      collect((text) => {
        stdout += text;
      }),
    ),
    vi.spyOn(process.stderr, "write").mockImplementation(
      collect((text) => {
        stderr += text;
      }),
    ),
    vi.spyOn(console, "log").mockImplementation((line: unknown) => {
      stdout += `${line}\n`;
    }),
  ];
  try {
    return { code: await command(), stdout, stderr };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** `sdmae …` */
export const sdmae = (...args: string[]) => captured(() => runCli(args));

/** `node tools/NAME.js …` */
export const tool = (name: string, ...args: string[]) => captured(() => runTool(name, args));

/** `node bench/fps.js …` without peers */
export const fps = (...args: string[]) =>
  captured(() =>
    runBenchmark("fps", args, [], async (name) => {
      throw new Error(`there is no peer ${name}`);
    }),
  );

/** B, G, R of a picture in which everything moves. */
export function picture(t: number, { height, width }: { height: number; width: number }): Buffer {
  return Buffer.from(
    Uint8Array.from({ length: height * width * 3 }, (_, i) => 128 + 100 * Math.sin(i * 0.013 + t * (1 + (i % 3)))),
  );
}

/**
 * Writes pictures as frame_NNN.png into a new folder, under the given numbers; returns the folder.
 */
export async function frameFolder(folder: string, numbers: readonly number[], size = { height: 40, width: 72 }) {
  mkdirSync(folder);
  for (const [t, number] of numbers.entries()) {
    const raw = { ...size, channels: 3 } as const;
    const file = join(folder, `frame_${String(number).padStart(3, "0")}.png`);
    await sharp(picture(t, size), { raw }).png().toFile(file);
  }
  return folder;
}

/** Encodes pictures at 10 frames a second; returns the path. */
export async function videoFile(path: string, count: number, ...codec: string[]): Promise<string> {
  const size = { height: 48, width: 80 };
  const input = Buffer.concat(Array.from({ length: count }, (_, t) => picture(t, size)));
  const raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", `${size.width}x${size.height}`, "-r", "10", "-i", "pipe:0"];
  execFileSync(await findFfmpeg(), ["-v", "error", "-y", ...raw, ...codec, path], { input });
  return path;
}

/** A row of the CSV. */
export interface Row {
  frame: number;
  time: string;
  student: number;
  target: number;
  score: number;
}

/** Reads the CSV strictly: this header, five cells a row, finite errors. */
export function readCsv(text: string): Row[] {
  const lines = text.split("\n");
  expect(lines.shift()).toBe("frame,time,student_error,target_error,score");
  expect(lines.pop()).toBe("");
  return lines.map((line) => {
    const cells = line.split(",");
    expect(cells).toHaveLength(5);
    for (const cell of [cells[0], ...cells.slice(2)]) expect(cell).toMatch(/^\d+(\.\d+)?(e-\d+)?$/);
    const [frame, student, target, score] = [cells[0], ...cells.slice(2)].map(Number) as [
      number,
      number,
      number,
      number,
    ];
    return { frame, time: cells[1], student, target, score };
  });
}

/** Without the line that comes first where kernels take their time to compile. */
export function withoutPatience(stderr: string): string {
  return stderr.replace(/^compiling kernels; .*\n/, "");
}

/**
 * Checks that a command refused its input: exit code 2, one line on stderr that says all of this,
 * and nothing on stdout.
 */
export function expectRefusal({ code, stdout, stderr }: Ran, ...says: (string | RegExp)[]): void {
  expect(withoutPatience(stderr)).toMatch(/^error: [^\r\n]+\n$/);
  for (const said of says) expect(stderr).toMatch(said);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
}

/** What lies in a folder. */
export const filesIn = (folder: string) => readdirSync(folder).sort();
