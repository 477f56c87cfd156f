import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { processesTaken } from "../../../src/bench/watch/processes.js";

test.runIf(process.platform === "linux")("processes are told apart: this one, its engine, and its others", async () => {
  const program = "const big = Buffer.alloc(3e7, 1); console.log(big.length); setTimeout(() => {}, 60_000)";
  const engine = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await once(engine.stdout, "data");
    const taken = (await processesTaken(process.pid, [engine.pid!]))!;
    expect(taken.supervisor.cpu).toBeCloseTo((process.cpuUsage().user + process.cpuUsage().system) / 1e6, -1);
    expect(taken.engine.rss).toBeGreaterThan(3e7);
    expect(taken.engine.cpu).toBeGreaterThan(0);
    const others = (await processesTaken(process.pid, []))!;
    expect(others.engine.rss).toBe(0);
    expect(others.ffmpeg.rss).toBeGreaterThanOrEqual(taken.ffmpeg.rss + 3e7);
    expect(await processesTaken(2 ** 31 - 1, [])).toBeUndefined();
  } finally {
    engine.kill();
  }
});
