import { expect, test } from "vitest";
import { endure } from "../../src/bench/watch/endurance.js";
import { withBundle } from "../support/child.js";

/** Frames of all cameras; `node bench/endurance.js` plays a day. */
const frames = 20_000;
const cameras = 2;
const fps = 5;

test(`memory, handles and files do not grow over ${frames} frames of two cameras, with clips and an open page`, async () => {
  const program = 'import { runWatchProcess } from "./src/bench/watch/process.js"; runWatchProcess();';
  const result = await withBundle(program, (file) =>
    endure(
      {
        hours: frames / cameras / fps / 3600,
        cameras,
        fps,
        file: 200,
        pages: 1,
        quota: 50_000,
        samples: 24,
        program: file,
      },
      new AbortController().signal,
    ),
  );
  const { growth, samples, notices, changes } = result;
  const last = samples.at(-1)!;
  expect(result.frames).toBeGreaterThanOrEqual(frames);
  // What is on its way, and the last frames of connections, have no score.
  expect(last.scored + last.dropped).toBeGreaterThan(frames - 1000);
  expect(result.dropped).toBe(0);
  // Every 450 frames of the first camera an event begins, ends, and has a clip.
  expect(changes).toBeGreaterThan((3 * 0.8 * frames) / cameras / 450);
  expect(result.pictureBytes).toBeGreaterThan(0);
  expect(notices.some((line) => line.includes("old events were deleted"))).toBe(true);
  expect(notices.some((line) => line.includes("learnt from 10 min of video"))).toBe(true);
  expect(notices.filter((line) => !line.startsWith("info"))).toEqual([]);
  const grown = Object.entries(growth).filter(([, { isFlat }]) => !isFlat);
  expect(grown, JSON.stringify(growth)).toEqual([]);
}, 900_000);
