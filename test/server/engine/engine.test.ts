import { writeFileSync } from "node:fs";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { saveCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { freshCheckpoint } from "../../../src/checkpoint/fresh.js";
import { fromIterable } from "../../../src/data/frame.js";
import { Detector } from "../../../src/node/detector.js";
import { Engine, type EngineOptions } from "../../../src/server/engine/engine.js";
import type { EngineFacts, EngineScore } from "../../../src/server/engine/messages.js";
import { withBundle } from "../../support/child.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";
import { losingEngine } from "../../support/losing_engine.js";
import { tinyConfig } from "../../support/model.js";

const at = scratch();
const size = { width: 64, height: 32 };
const engines: Engine[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close();
});

/** What an engine has said so far. */
class Heard {
  readonly scores: EngineScore[] = [];
  readonly lost: { why: string; final: boolean }[] = [];
  ready: EngineFacts | undefined;
  private announce: () => void = () => {};

  onReady = (facts: EngineFacts) => this.note(() => (this.ready = facts));
  onScore = (score: EngineScore) => this.note(() => this.scores.push(score));
  onLost = (why: string, final: boolean) => this.note(() => this.lost.push({ why, final }));
  onNotice = () => {};

  async until(happened: () => boolean): Promise<void> {
    while (!happened()) await new Promise<void>((resolve) => (this.announce = resolve));
  }

  private note(take: () => void): void {
    take();
    this.announce();
  }
}

function checkpoint(): string {
  const path = at("tiny.safetensors");
  writeFileSync(path, saveCheckpoint(freshCheckpoint(tinyConfig)));
  return path;
}

/** A frame in which all moves, of a camera. */
const frame = (t: number, camera: number) =>
  Uint8Array.from({ length: 3 * size.width * size.height }, (_, i) => 128 + 100 * Math.sin(i * 0.013 + t + camera));

function start(program: string, heard: Heard, options: EngineOptions = {}, path = checkpoint()): Engine {
  const detector = { size, seed: 5, dtype: "f32", tune: false, batch: 2, adapter: testAdapter } as const;
  const setup = { checkpoint: [path], places: 2, ...size, detector };
  const engine = new Engine(setup, heard, { program, ...options });
  engines.push(engine);
  return engine;
}

/**
 * Sends frames from `from` on until something has happened.
 * @param sent gets the numbers of the second camera's frames that were not dropped
 */
async function feed(
  engine: Engine,
  heard: Heard,
  from: number,
  happened: () => boolean,
  sent = new Set<number>(),
): Promise<number> {
  let t = from;
  while (!happened()) {
    for (const camera of [0, 1]) {
      if (engine.send({ camera, number: t, data: frame(t, camera) }) && camera === 1) sent.add(t);
    }
    t++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (t > from + 10_000) throw new Error(`nothing came: ${JSON.stringify(heard.lost)}`);
  }
  return t;
}

test("the engine's process scores frames as the detector does, and comes back after it was killed", async () => {
  await withBundle('import "./src/server/engine/main.js";', async (program) => {
    const heard = new Heard();
    const engine = start(program, heard);
    const sent = new Set<number>();
    /** A score of the second camera whose neighbours were all there. */
    const whole = () =>
      heard.scores.findLast(
        ({ camera, number }) => camera === 1 && [-3, -2, -1, 0, 1, 2, 3].every((by) => sent.has(number + by)),
      );
    let t = await feed(engine, heard, 0, () => heard.scores.length >= 8 && whole() !== undefined, sent);
    expect(heard.ready?.model).toMatch(/^[\da-f]{64}$/);
    const score = whole()!;
    const around = Array.from({ length: 7 }, (_, i) => frame(score.number - 3 + i, 1));
    const detector = await Detector.open(checkpoint(), {
      ...{ size, seed: 5, dtype: "f32", tune: false, adapter: testAdapter },
    });
    const numbered = around.map((data, i) => ({ data, number: score.number - 3 + i }));
    for await (const alone of detector.stream(fromIterable(numbered, size)))
      if (alone.frame === score.number) expect(score.score / alone.score).toBeCloseTo(1, 4);
    detector.close();
    expect(score.tokens.anomaly).toHaveLength(score.tokens.rows * score.tokens.columns);

    process.kill(engine.pid!, "SIGKILL");
    await heard.until(() => heard.lost.length > 0);
    expect(heard.lost).toEqual([{ why: "it was ended by SIGKILL", final: false }]);
    // Nobody is there: the frame is dropped.
    expect(engine.send({ camera: 0, number: t++, data: frame(0, 0) })).toBe(false);
    const before = heard.scores.length;
    await feed(engine, heard, t + 100, () => heard.scores.length > before + 4);
    expect(heard.scores.slice(before).every(({ number }) => number >= t + 100)).toBe(true);
  });
});

test("a device that is lost while it computes ends the engine at once, and another one scores on", async () => {
  await withBundle(losingEngine(at("lose")), async (program) => {
    const heard = new Heard();
    const engine = start(program, heard);
    let t = await feed(engine, heard, 0, () => heard.scores.length >= 4);
    writeFileSync(at("lose"), "");
    t = await feed(engine, heard, t, () => heard.lost.length > 0);
    // A process that hangs is ended as well, but for its silence.
    expect(heard.lost).toEqual([{ why: expect.stringMatching(/^the GPU device was lost: /), final: false }]);
    const before = heard.scores.length;
    await feed(engine, heard, t + 100, () => heard.scores.length > before + 4);
    expect(heard.scores.slice(before).every(({ number }) => number >= t + 100)).toBe(true);
    expect(heard.lost).toHaveLength(1);
  });
});

test("a wrong checkpoint is final, a process that gives no score is ended, a full one drops frames", async () => {
  await withBundle('import "./src/server/engine/main.js";', async (program) => {
    const heard = new Heard();
    writeFileSync(at("wrong.safetensors"), "no checkpoint");
    start(program, heard, {}, at("wrong.safetensors"));
    await heard.until(() => heard.lost.length > 0);
    expect(heard.lost[0]).toMatchObject({ final: true });
    expect(heard.lost[0].why).toContain("wrong.safetensors");
  });
  await withBundle('process.on("message", () => {});', async (program) => {
    const heard = new Heard();
    const engine = start(program, heard, { firstScore: 0.3 });
    const sent = Array.from({ length: 20 }, (_, t) => engine.send({ camera: 0, number: t, data: frame(t, 0) }));
    expect(sent.filter(Boolean)).toHaveLength(8);
    await heard.until(() => heard.lost.length > 0);
    expect(heard.lost).toEqual([{ why: "it gave no score for 0.3 s", final: false }]);
  });
});

test("an engine gives up after so many processes in a row that gave no score", async () => {
  // The second process scores.
  const program = `
    import { appendFileSync, existsSync, readFileSync } from "node:fs";
    const path = ${JSON.stringify(at("starts"))};
    const starts = existsSync(path) ? readFileSync(path).length : 0;
    appendFileSync(path, ".");
    if (starts === 1) process.send({ type: "score", camera: 0, number: 0 }, () => process.exit(3));
    else process.exit(3);
  `;
  writeFileSync(at("dies.mjs"), program);
  const heard = new Heard();
  const engine = start(at("dies.mjs"), heard, { attempts: 2 });
  await heard.until(() => heard.lost.some(({ final }) => final));
  expect(heard.scores).toHaveLength(1);
  expect(heard.lost.map(({ final }) => final)).toEqual([false, false, false, true]);
  expect(engine.pid).toBeUndefined();
});

test("an engine whose process cannot be started is tried again, and can be closed meanwhile", async () => {
  const node = process.execPath;
  onTestFinished(() => {
    process.execPath = node;
  });
  const why = (reason: string) => ({ why: `its process cannot be started: ${reason}`, final: false });
  // The first is an event of the process that is not there, the second is thrown.
  const faults = [
    { path: at("nowhere"), lost: why("no such file or folder") },
    { path: `${node}/node`, lost: why("not a folder") },
  ];
  await withBundle('import "./src/server/engine/main.js";', async (program) => {
    for (const { path, lost } of faults) {
      const heard = new Heard();
      process.execPath = path;
      const engine = start(program, heard);
      await heard.until(() => heard.lost.length > 0);
      expect([engine.pid, heard.lost]).toEqual([undefined, [lost]]);
      process.execPath = node;
      await heard.until(() => heard.ready !== undefined);
      process.execPath = path;
      process.kill(engine.pid!, "SIGKILL");
      await heard.until(() => heard.lost.at(-1)?.why === lost.why && heard.lost.length > 2);
      await engine.close();

      // One that is closed before anybody knows.
      await start(program, heard).close();
      process.execPath = node;
    }
  });
});
