import { describe, expect, it } from "vitest";
import { pseudoAnomalyDefaults } from "../../src/data/anomalies/pseudo_anomaly.js";
import type { DatasetVideo } from "../../src/data/dataset.js";
import { fromIterable } from "../../src/data/frame.js";
import { InputError } from "../../src/errors.js";
import { MemoryArchive } from "../../src/train/frame_archive.js";
import { Sampler } from "../../src/train/sampler.js";
import { type TrainingClip, TrainingSet } from "../../src/train/training_set.js";
import { Random } from "../support/numbers.js";
import { datasetOf, loadSet, noise } from "../support/training_set.js";
import { viewOf } from "../support/views.js";
import { walk } from "../support/walkers.js";

describe("training set", () => {
  it("finds neighbours by frame number; a missing one is replaced by the frame itself", async () => {
    const random = new Random(1);
    const other = noise(random, "a", { height: 8, width: 8 }, [0, 1]).video;
    const set = await loadSet([other, noise(random, "b", { height: 8, width: 8 }, [2, 3, 5, 6, 9]).video]);
    const clip = set.clips[1]!;
    expect(clip.first).toBe(2);
    const of = (position: number) => set.framesOf(clip, position);
    // Of frame 2, the neighbours 5 and 3 exist, −1 and 1 do not.
    expect(of(0)).toEqual({ frames: [2, 2, 4], before: 2, after: 3 });
    expect(of(2)).toEqual({ frames: [2, 4, 4], before: 4, after: 5 });
    expect(of(3)).toEqual({ frames: [3, 5, 6], before: 4, after: 5 });
    expect(of(4)).toEqual({ frames: [5, 6, 6], before: 6, after: 6 });
  });

  it("refuses what it cannot learn from", async () => {
    const random = new Random(2);
    const own = noise(random, "v", { height: 8, width: 8 }, [0, 1, 2]);
    const short = noise(random, "short", { height: 8, width: 8 }, [0, 1]);
    await expect(loadSet([])).rejects.toThrow("noise has no training videos");
    await expect(loadSet([own.video], { anomalies: "files" })).rejects.toThrow("noise has no train/frames_abnormal");
    const abnormal = { frames: short.video.open, masks: own.video.open };
    await expect(loadSet([{ ...own.video, abnormal }], { anomalies: "files" })).rejects.toThrow(
      "v has 3 frames and 2 abnormal frames",
    );
  });
});

it("passes on what a video's source remarks, once it was read", async () => {
  const { video } = noise(new Random(3), "v", { height: 8, width: 8 }, [0, 1]);
  const warnings: string[] = [];
  const open = async () => {
    const source = await video.open();
    async function* frames() {
      yield* source.frames();
      warnings.push("v: ffmpeg reported 3 errors");
    }
    return { ...source, notes: ["in the order of their names"], warnings, frames };
  };
  const said: string[] = [];
  await loadSet([{ ...video, open }], { onNotice: (line) => said.push(line) });
  expect(said).toEqual(["in the order of their names", "warning: v: ffmpeg reported 3 errors"]);
});

it("refuses a video that cannot be opened before any other is decoded", async () => {
  const { video } = noise(new Random(4), "v", { height: 8, width: 8 }, [0, 1]);
  const open = async () => {
    throw new InputError("w is not a video");
  };
  let decoded = 0;
  const loading = loadSet([video, { ...video, name: "w", open }], { onLoad: () => decoded++ });
  await expect(loading).rejects.toThrow("w is not a video");
  expect(decoded).toBe(0);
});

it("warns of several cameras in a plain folder of videos, but not in a data set of a known layout", async () => {
  const size = { height: 54, width: 96 };
  const videos = ["a/one.mp4", "a/two.mp4"].map((path, i): DatasetVideo => {
    const data = new Uint8Array(3 * size.width * size.height);
    for (const [at, gray] of viewOf(i).data.entries()) data.fill(gray, 3 * at, 3 * at + 3);
    return { name: `${i}`, path, open: async () => fromIterable(() => [data], { ...size, name: path }) };
  });
  const notices = async (layout: string) => {
    const said: string[] = [];
    const onNotice = (line: string) => said.push(line);
    const archive = new MemoryArchive();
    await TrainingSet.load({ ...datasetOf(videos), layout }, { archive, anomalies: "none", onNotice });
    return said;
  };
  expect(await notices("folder")).toEqual([
    expect.stringMatching(/^warning: the training videos show 2 views \(one\.mp4; two\.mp4\), /),
  ]);
  expect(await notices("shanghai")).toEqual([]);
});

/** A video of so many frames of 8 × 8 pixels; all channels of frame i are i mod 256. */
function plain(name: string, count: number, step = 1): DatasetVideo {
  const frames = Array.from({ length: count }, (_, i) => ({ data: new Uint8Array(192).fill(i), number: step * i }));
  const open = async () => ({ ...fromIterable(() => frames, { width: 8, height: 8, name }), step });
  return { name, path: name, frameCount: count, open };
}

const namesOf = (clips: readonly TrainingClip[]) => clips.map(({ name }) => name);
const lengthsOf = (clips: readonly TrainingClip[]) => clips.map(({ numbers }) => numbers.length);

describe("clips that are kept apart", () => {
  const clips = (count: number) => Array.from({ length: count }, (_, i) => plain(`${i}`, 2));

  it("are whole, and evenly spread", async () => {
    const kept = async (count: number, keptShare: number) => {
      const set = await loadSet(clips(count), { keptShare });
      const others = Array.from({ length: count }, (_, i) => `${i}`).filter(
        (name) => !namesOf(set.kept).includes(name),
      );
      expect(namesOf(set.clips)).toEqual(others);
      expect([...lengthsOf(set.clips), ...lengthsOf(set.kept)]).toEqual(Array(count).fill(2));
      expect(set.sampleCount).toBe(2 * others.length);
      return namesOf(set.kept).map(Number);
    };
    // The middle of each fifth of ten, of each half of ten, and so on.
    expect(await kept(10, 0.5)).toEqual([1, 3, 5, 7, 9]);
    expect(await kept(10, 0.2)).toEqual([2, 7]);
    expect(await kept(4, 0.2)).toEqual([2]);
    expect(await kept(4, 0.01)).toEqual([2]);
    expect(await kept(7, 0.2)).toEqual([3]);
    // Twelve at most: here one of ten.
    expect(await kept(120, 0.2)).toEqual(Array.from({ length: 12 }, (_, i) => 5 + 10 * i));
    expect(await kept(10, 0)).toEqual([]);
  });

  it("are none of those that are always learnt, if there are enough others", async () => {
    const marked = (numbers: number[], count: number) =>
      clips(count).map((clip, i) => ({ ...clip, isAlwaysLearnt: numbers.includes(i) }));
    const kept = async (videos: DatasetVideo[]) => namesOf((await loadSet(videos, { keptShare: 0.2 })).kept);
    expect(await kept(marked([0, 1, 2, 3, 4], 15))).toEqual(["6", "10", "13"]);
    expect(await kept(marked([2], 5))).toEqual(["3"]);
    // There are too few others.
    expect(await kept(marked([2, 3], 5))).toEqual(["2"]);
    expect(await kept(marked([0, 1, 2, 3, 4], 5))).toEqual(["2"]);
  });

  it("are the ends of clips if there are fewer than four, unless those are short", async () => {
    // A fifth of 300 frames is 60; of 297 it is 59, which is too few.
    const abnormal = { frames: plain("a", 300, 2).open, masks: plain("m", 300, 2).open };
    const videos = [plain("a", 297), { ...plain("b", 300, 2), abnormal }, plain("c", 10)];
    const set = await loadSet(videos, { keptShare: 0.2, anomalies: "files" });
    expect([namesOf(set.clips), lengthsOf(set.clips)]).toEqual([
      ["a", "b", "c"],
      [297, 240, 10],
    ]);
    expect([namesOf(set.kept), lengthsOf(set.kept)]).toEqual([["b, end"], [60]]);
    const [end] = set.kept;
    expect([end.numbers[0], end.numbers.at(-1), end.step, end.first]).toEqual([480, 598, 2, 297 + 240]);
    expect(set.clips[1].numbers.at(-1)).toBe(478);
    expect([...(await set.archive.read(end.first))]).toEqual(Array(192).fill(240));
    // Its abnormal frames and masks end with it.
    const { frames, masks } = set.clips[1].abnormal!;
    expect([frames.numbers.length, masks.numbers.length, masks.numbers.at(-1)]).toEqual([240, 240, 478]);
    expect(set.sampleCount).toBe(297 + 240 + 10);
    // A sample at the cut takes its own frame instead of one behind it.
    expect(set.framesOf(set.clips[1], 239).frames[2]).toBe(297 + 239);
    expect(set.framesOf(set.clips[1], 239).after).toBe(297 + 239);
    expect(set.framesOf(set.clips[1], 236).frames[2]).toBe(297 + 239);
    // Given back, they are joined again.
    set.giveBack();
    expect([namesOf(set.clips), lengthsOf(set.clips), set.kept]).toEqual([["a", "b", "c"], [297, 300, 10], []]);
    expect(set.clips[1].abnormal!.frames.numbers.length).toBe(300);
  });

  it("tell training sets apart", async () => {
    const fingerprint = async (videos: DatasetVideo[], keptShare: number) =>
      (await loadSet(videos, { keptShare })).fingerprint;
    const all = await Promise.all([0, 0.2, 0.5].map((share) => fingerprint(clips(10), share)));
    const cut = await Promise.all([0, 0.2, 0.3].map((share) => fingerprint([plain("0", 300)], share)));
    expect(new Set([...all, ...cut]).size).toBe(6);
    // The same clips, others of which are kept apart.
    const one = await fingerprint([...clips(3), plain("3", 3)], 0.2);
    const other = await fingerprint([...clips(2), plain("3", 3), plain("2", 2)], 0.2);
    expect(one).not.toBe(other);
    expect(await fingerprint(clips(10), 0.2)).toBe(all[1]);
  });

  /** The frames in the archive that the samples of some epochs need. */
  function framesDrawn(set: TrainingSet, epochs: number): Set<number> {
    const pseudo = { ...pseudoAnomalyDefaults, speedup: 0.3, drawn: 0.2, pieces: 0.1, frozen: 0.3, decoys: 0.5 };
    const sampler = new Sampler(set, { seed: 3, size: { width: 48, height: 32 }, share: 0.6, pseudo });
    const drawn = new Set<number>();
    for (let i = 0; i < epochs * set.sampleCount; i++) {
      const sample = sampler.draw(i, Math.floor(i / set.sampleCount), i % set.sampleCount);
      for (const frame of [...sample.frames, sample.before, sample.after]) drawn.add(frame);
    }
    return drawn;
  }

  it("are never drawn, neither as a sample nor as what is pasted", { timeout: 60_000 }, async () => {
    const size = { width: 72, height: 48, tall: 14, start: 8 };
    const walkers = [1.2, 1.4, 1.6, 1.5].map((speed, i) => walk(`${i}`, speed, { ...size, count: 26 }));
    const options = { anomalies: "pseudo", drawn: { seed: 1 } } as const;
    const whole = await loadSet(walkers, { ...options, keptShare: 0.25 });
    const long = [walk("long", 0.2, { ...size, count: 200 })];
    const cut = await loadSet(long, { anomalies: "pseudo", keptShare: 0.3 });
    for (const [set, first, count, epochs] of [
      [whole, 2 * 26, 26, 5],
      [cut, 140, 60, 3],
    ] as const) {
      expect([set.kept[0].first, set.kept[0].numbers.length]).toEqual([first, count]);
      const drawn = framesDrawn(set, epochs);
      for (let frame = first; frame < first + count; frame++) expect(drawn.has(frame), `${frame}`).toBe(false);
      // All others are drawn.
      for (const { first: own, numbers } of set.clips) {
        for (const [i] of numbers.entries()) expect(drawn.has(own + i), `${own + i}`).toBe(true);
      }
      expect(set.library!.clips.map(({ name }) => name)).toEqual(namesOf(set.clips));
      // The objects of one set are drawn; frames of these, and backgrounds, come last.
      const last = [...drawn].filter((frame) => frame >= first + count + (set === whole ? 26 : 0));
      expect(last.length > 10).toBe(set === whole);
    }
  });
});
