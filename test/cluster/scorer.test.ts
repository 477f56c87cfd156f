import { writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
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
