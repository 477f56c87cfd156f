import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Feedback } from "../../src/server/feedback.js";
import { changeOf } from "../support/event_changes.js";
import { scratchPerTest } from "../support/folders.js";

const data = scratchPerTest();
const clip = "clips/front/2026-11-30/a.mp4";
const copy = () => data("cameras/front/normal/a.mp4");

function setUp() {
  const warnings: string[] = [];
  const feedback = new Feedback(data(), (camera, line) => warnings.push(`${camera}: ${line}`));
  mkdirSync(data("clips/front/2026-11-30"), { recursive: true });
  return { feedback, warnings };
}

test("the clip of a false alarm is kept as normal video, until that is taken back", async () => {
  const { feedback } = setUp();
  writeFileSync(data(clip), "video");
  const { event } = changeOf("a", undefined, "clip", { clip });
  const said = await feedback.say(event, true);
  expect(said).toMatchObject({ change: "feedback", event: { id: "a", feedback: "normal", clip } });
  expect(readFileSync(copy(), "utf8")).toBe("video");
  const back = await feedback.say(said.event, false);
  expect(back.change).toBe("feedback");
  expect(back.event).toEqual(event);
  expect(existsSync(copy())).toBe(false);
});

test("an event that goes on stays marked, and its clip is kept when it comes", async () => {
  const { feedback } = setUp();
  const begun = changeOf("a");
  await feedback.say(begun.event, true);
  const end = changeOf("a", undefined, "end");
  expect(feedback.carry(end)).toEqual({ ...end, event: { ...end.event, feedback: "normal" } });
  await feedback.kept(end);
  writeFileSync(data(clip), "video");
  const ready = feedback.carry(changeOf("a", undefined, "clip", { clip }));
  expect(ready.event).toMatchObject({ feedback: "normal", clip });
  await feedback.kept(ready);
  expect(readFileSync(copy(), "utf8")).toBe("video");
});

test("what was taken back, and other events, are not marked", async () => {
  const { feedback } = setUp();
  const { event } = changeOf("a");
  await feedback.say(event, true);
  await feedback.say(event, false);
  for (const id of ["a", "b"]) {
    const change = changeOf(id, undefined, "clip", { clip });
    expect(feedback.carry(change)).toBe(change);
    await feedback.kept(change);
  }
  expect(existsSync(copy())).toBe(false);
});

test("an event whose clip was deleted is marked all the same", async () => {
  const { feedback, warnings } = setUp();
  const said = await feedback.say(changeOf("a", undefined, "clip", { clip }).event, true);
  expect(said.event.feedback).toBe("normal");
  expect(existsSync(copy())).toBe(false);
  // A folder in the file's place cannot be read.
  await feedback.say(changeOf("a").event, true);
  mkdirSync(data(clip));
  await feedback.kept(feedback.carry(changeOf("a", undefined, "clip", { clip })));
  expect(warnings).toEqual([expect.stringMatching(/^front: .*a\.mp4: cannot be read/)]);
});

test("what is said of an event does not undo what came while it was looked up", async () => {
  const { feedback } = setUp();
  const begun = feedback.carry(changeOf("a"));
  expect(feedback.latest("a")).toEqual(begun.event);
  const marked = feedback.say(begun.event, true);
  // The event ends and its clip comes before the feedback is logged.
  writeFileSync(data(clip), "video");
  const end = { end: "2026-11-30T14:16:00.000Z" };
  for (const change of [changeOf("a", undefined, "end", end), changeOf("a", undefined, "clip", { ...end, clip })]) {
    await feedback.kept(feedback.carry(change));
  }
  const logged = feedback.carry(await marked);
  expect(logged).toMatchObject({ change: "feedback", event: { ...end, clip, feedback: "normal" } });
  expect(readFileSync(copy(), "utf8")).toBe("video");
  const back = feedback.carry(await feedback.say(feedback.latest("a")!, false));
  expect(back.event).toEqual({ ...begun.event, ...end, clip });
  expect(existsSync(copy())).toBe(false);
});

test("the latest states of some events are remembered, not of all", () => {
  const { feedback } = setUp();
  for (let i = 0; i < 1001; i++) feedback.carry(changeOf(`e${i}`));
  expect([feedback.latest("e0"), feedback.latest("e1")?.id]).toEqual([undefined, "e1"]);
});
