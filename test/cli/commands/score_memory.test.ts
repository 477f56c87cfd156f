// That the memory of `sdmae score` does not grow with the length of a video.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { withBundle } from "../../support/child.js";
import { fixturePath } from "../../support/fixtures.js";
import { testAdapter } from "../../support/gpu.js";

const FRAMES = 2400;
const size = { width: 320, height: 240 };
const frameBytes = size.width * size.height * 3;

/** A look at the process: how many frames it has scored, and how many bytes it has in memory. */
interface Look {
  frames: number;
  bytes: number;
}

it.skipIf(process.platform !== "linux")("memory does not grow with the length of a video", async () => {
  const ffmpeg = await findFfmpeg();
  const program = `import { runCli } from "./src/cli/index.ts"; process.exitCode = await runCli(process.argv.slice(2));`;
  const looks: Look[] = [];
  await withBundle(program, async (file) => {
    const model = [
      "-c",
      fixturePath("tiny-checkpoint-best.pth"),
      "--student",
      fixturePath("tiny-checkpoint-best-student.pth"),
    ];
    const score = ["score", "-", ...model, "--size", "32x64", "--adapter", testAdapter, "--quiet"];
    const picture = `testsrc=size=${size.width}x${size.height}:rate=25`;
    const input = ["-v", "error", "-f", "lavfi", "-i", picture, "-frames:v", String(FRAMES)];
    const video = spawn(ffmpeg, [...input, "-c:v", "mpeg4", "-f", "mpegts", "-"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const child = spawn(process.execPath, [file, ...score], { stdio: ["pipe", "pipe", "inherit"] });
    video.stdout.pipe(child.stdin);
    // The first line is the head.
    let frames = -1;
    child.stdout.on("data", (chunk: Buffer) => {
      frames += chunk.filter((byte) => byte === 10).length;
      const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1];
      if (kilobytes) looks.push({ frames, bytes: Number(kilobytes) * 1024 });
    });
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect({ code, frames }).toEqual({ code: 0, frames: FRAMES });
  });
  // Kernels are compiled and buffers are filled in the first quarter.
  const most = (from: number, to: number) => {
    const bytes = looks
      .filter((look) => look.frames > from * FRAMES && look.frames <= to * FRAMES)
      .map((look) => look.bytes);
    expect(bytes.length).toBeGreaterThan(1);
    return Math.max(...bytes);
  };
  const [second, last] = [most(0.25, 0.5), most(0.75, 1)];
  // Half of the video lies between. If only one frame of ten were kept, it would take this much.
  expect(last - second).toBeLessThan((FRAMES / 2 / 10) * frameBytes);
});
