import { writeFileSync } from "node:fs";
import { afterEach, expect, test, vi } from "vitest";
import { Scorer, type ScoringJob } from "../../src/cluster/scorer.js";
import { scratch } from "../support/folders.js";

const at = scratch();
const program = at("scorer.mjs");
/** Does what the name of the video says. Frames are its process's number. */
writeFileSync(
  program,
  `process.on("message", ({ type, input }) => {
    if (type === "stop") process.exit(0);
    const frames = process.pid;
    if (input === "good") {
      process.send({ type: "progress", frames: 3, total: 9 });
      process.send({ type: "done", frames, seconds: 1 });
    } else if (input === "bad") process.send({ type: "failed", message: "it is damaged" });
    else if (input === "lost device") {
      process.send({ type: "failed", message: "the GPU is gone", ends: true });
      // It takes a while to end, and answers nothing meanwhile.
      process.removeAllListeners("message");
      setTimeout(() => process.exit(1), 500);
    } else if (input === "crash") process.kill(process.pid, "SIGKILL");
    else if (input === "exit") process.exit(3);
    else if (input === "slow") {
      let frames = 0;
      const timer = setInterval(() => {
        if (++frames < 12) return process.send({ type: "progress", frames });
        clearInterval(timer);
        process.send({ type: "done", frames: process.pid, seconds: 1 });
      }, 250);
    } else if (input === "hangs later" || input === "hangs") {
      if (input === "hangs later") process.send({ type: "progress", frames: 1 });
      // It hears nothing, and does not stop.
      setTimeout(() => { for (;;); }, 50);
    }
  });
  process.on("disconnect", () => process.exit(0));
  `,
);
const job = (input: string): ScoringJob => ({ input, checkpoint: "", how: { seed: 0 }, scores: "" });
const never = new AbortController().signal;

const scorer = new Scorer(program);
afterEach(() => scorer.close());
const score = (input: string, signal = never, told: number[] = []) =>
  scorer.score(job(input), signal, (...progress) => told.push(...(progress as number[])));
/** The process that scores a video now. */
const pid = async () => (await score("good")).frames;

test("one process scores all videos, and a failure of a video does not end it", async () => {
  const told: number[] = [];
  const { frames: first, seconds } = await score("good", never, told);
  expect({ told, seconds }).toEqual({ told: [3, 9], seconds: 1 });
  await expect(score("bad")).rejects.toThrow(/^it is damaged$/);
  expect(await pid()).toBe(first);
});

test("after a failure of the GPU the next video gets another process, also before the first has ended", async () => {
  const first = await pid();
  await expect(score("lost device")).rejects.toThrow(/^the GPU is gone$/);
  expect(await pid()).not.toBe(first);
});

test.each([
  ["crash", /^the process that scored it was ended by SIGKILL$/],
  ["exit", /^the process that scored it ended with code 3$/],
])("a process that ends (%s) fails its video, and the next gets another", async (how, says) => {
  const first = await pid();
  await expect(score(how)).rejects.toThrow(says);
  expect(await pid()).not.toBe(first);
});

test("the signal ends the process, and its reason is the error", async () => {
  const first = await pid();
  const stop = new AbortController();
  const scored = expect(score("silence", stop.signal)).rejects.toThrow("stopped");
  stop.abort(new Error("stopped"));
  await scored;
  expect(await pid()).not.toBe(first);
  await expect(score("good", stop.signal)).rejects.toThrow("stopped");
});

test.each([
  ["hangs", { first: 1, next: 60 }],
  ["hangs later", { first: 60, next: 1 }],
])("a process that %s is killed and fails its video, and the next gets another", async (how, watchdog) => {
  const watched = new Scorer(program, [], watchdog);
  const { frames: first } = await watched.score(job("good"), never, () => {});
  await expect(watched.score(job(how), never, () => {})).rejects.toThrow(
    /^the process that scored it made no progress for 1 seconds$/,
  );
  await vi.waitFor(() => expect(() => process.kill(first, 0)).toThrow("ESRCH"), 3000);
  expect((await watched.score(job("good"), never, () => {})).frames).not.toBe(first);
  await watched.close();
});

test("a process that makes progress may take as long as it needs", async () => {
  const watched = new Scorer(program, [], { first: 60, next: 2 });
  expect(await watched.score(job("slow"), never, () => {})).toMatchObject({ seconds: 1 });
  await watched.close();
});
