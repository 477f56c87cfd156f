import { describe, expect, it } from "vitest";
import { validationKinds } from "../../src/data/anomalies/validation_anomaly.js";
import type { DatasetVideo } from "../../src/data/dataset.js";
import { disturb, disturbances } from "../../src/data/disturbance.js";
import type { Frame } from "../../src/data/frame.js";
import { InputError } from "../../src/errors.js";
import type { TrainingSet } from "../../src/train/training_set.js";
import { ValidationSet, type ValidationSource } from "../../src/train/validation_set.js";
import { collect } from "../support/dataset.js";
import { Random } from "../support/numbers.js";
import { loadSet, noise } from "../support/training_set.js";
import { walk } from "../support/walkers.js";

const size = { width: 72, height: 48 };
const random = new Random(1);
/** Clips to learn from: 2004 frames in all, which give a whole validation set, or only six. */
const [many, few] = [334, 1].map((count) =>
  Array.from({ length: 6 }, (_, i) => noise(random, `n${i}`, { width: 8, height: 8 }, [...Array(count).keys()]).video),
);
/** Of eight clips, those in the places 2 and 6 are kept apart. */
const keeping = (one: DatasetVideo, two: DatasetVideo, others = few): Promise<TrainingSet> =>
  loadSet([...others.slice(0, 2), one, ...others.slice(2, 5), two, others[5]], { keptShare: 0.25 });

// They are low, so that every kind of drawn object fits onto a sheet. No two frames are the same.
const one = walk("one", 0.9, { ...size, tall: 10, count: 40 });
const two = walk("two", -0.9, { ...size, tall: 11, count: 44, start: 56 });
const set = keeping(one, two, many);
const validation = set.then((own) => ValidationSet.make(own, { seed: 1 }));
const framesOf = ({ source }: ValidationSource) => collect(source.frames());
const shown = validation.then((made) => framesOf(made.sources()[0]));

/** Windows with their frames: the frames of a window have numbers without a gap. */
function segments(frames: readonly Frame[]): Frame[][] {
  const all: Frame[][] = [];
  for (const [i, frame] of frames.entries()) {
    if (i === 0 || frame.number !== frames[i - 1].number + 1) all.push([]);
    all.at(-1)!.push(frame);
  }
  return all;
}

describe("validation set", () => {
  it("has four anomalies of each kind, and all clips without any", async () => {
    const made = await validation;
    expect(Object.fromEntries(made.counts)).toEqual(Object.fromEntries(validationKinds.map((kind) => [kind, 4])));
    const sources = made.sources();
    expect(sources.length).toBe(1);
    const [{ source, windows }] = sources;
    expect([source.width, source.height]).toEqual([72, 48]);
    expect(windows.map(({ kind }) => kind)).toEqual([
      ...Array(2 + 2 * disturbances.length).fill(undefined),
      ...validationKinds.flatMap((kind) => Array(4).fill(kind)),
    ]);
    const frames = await shown;
    expect([source.frameCount, made.frameCount]).toEqual([frames.length, frames.length]);
    expect(frames.map(({ index }) => index)).toEqual(frames.map((_, i) => i));
    // The normal windows are the whole clips.
    const normal = await Promise.all([one, two].map(async (video) => collect((await video.open()).frames())));
    expect(windows.slice(0, 2).map(({ first, last }) => [first, last])).toEqual([
      [0, 39],
      [40, 83],
    ]);
    for (const [i, { data }] of normal.flat().entries()) expect(Buffer.compare(frames[i].data, data)).toBe(0);
  });

  it("is smaller if there is less to learn from", async () => {
    const small = await ValidationSet.make(await keeping(one, two), { seed: 1 });
    expect(Object.fromEntries(small.counts)).toEqual(Object.fromEntries(validationKinds.map((kind) => [kind, 1])));
    const [{ windows }] = small.sources();
    // All of both clips; but only the 15 frames in the middle of one are disturbed.
    expect(windows.slice(0, 2).map(({ first, last }) => last - first + 1)).toEqual([40, 44]);
    const disturbed = windows.filter(({ disturbance }) => disturbance);
    expect(disturbed.map(({ first, last }) => last - first + 1)).toEqual(Array(disturbances.length).fill(15));
    // Half as many frames as for a whole set: two anomalies of each kind.
    const half = many.map((video, i) => (i < 3 ? video : few[i]));
    const { counts } = await ValidationSet.make(await keeping(one, two, half), { seed: 1 });
    expect([...counts.values()]).toEqual(validationKinds.map(() => 2));
  });

  it("shows the middle of each clip under each disturbance, in which nothing is abnormal", async () => {
    const [source] = (await validation).sources();
    const frames = await shown;
    const disturbed = source.windows.filter(({ disturbance }) => disturbance);
    expect(disturbed.map(({ disturbance }) => disturbance)).toEqual(disturbances.flatMap((name) => [name, name]));
    for (const [i, { disturbance, first, last, kind, abnormal }] of disturbed.entries()) {
      expect([kind, abnormal]).toEqual([undefined, undefined]);
      // At most 90 frames in all: 45 of each clip, which is all of both.
      const clip = await collect((await [one, two][i % 2].open()).frames());
      expect(last - first + 1).toBe(clip.length);
      for (const frame of clip) {
        const wanted = disturb(disturbance!, frame, frame.index);
        expect(Buffer.compare(frames[first + frame.index].data, wanted.data)).toBe(0);
      }
    }
  });

  it("shows the clip outside of anomalies, and something else inside", async () => {
    const [source] = (await validation).sources();
    const parts = segments(await shown);
    expect(parts.length).toBe(source.windows.length);
    // All frames of these clips differ.
    const places = new Map<string, number>();
    for (const [clip, video] of [one, two].entries()) {
      for await (const { data, index } of (await video.open()).frames()) {
        places.set(Buffer.from(data).toString("latin1"), 1000 * clip + index);
      }
    }
    const lengths = new Set<number>();
    for (const [i, { kind, disturbance, first, last, abnormal }] of source.windows.entries()) {
      if (disturbance) continue;
      const part = parts[i];
      const begin = part[0].index;
      expect([begin <= first, first <= last, last <= part.at(-1)!.index]).toEqual([true, true, true]);
      const own = part.map(({ data }) => places.get(Buffer.from(data).toString("latin1")));
      const isAbnormal = (at: number) => abnormal && begin + at >= abnormal.first && begin + at <= abnormal.last;
      const known = own.findIndex((place, at) => place !== undefined && !isAbnormal(at));
      // If none is known, the anomaly lasts as long as its clip.
      if (known < 0) expect([40, 44], kind).toContain(part.length);
      const from = known < 0 ? (part.length === 40 ? 0 : 1000) : own[known]! - known;
      const end = from < 1000 ? 39 : 1043;
      let changed = 0;
      for (const [at, place] of own.entries()) {
        if (!isAbnormal(at)) expect(place, `${kind}, frame ${at}`).toBe(from + at);
        else if (place !== from + at) changed++;
      }
      // Three frames more on each side, for samples, if the clip has them.
      const start = from < 1000 ? 0 : 1000;
      expect(first - begin).toBe(Math.min(3, from + first - begin - start));
      expect(part.at(-1)!.index - last).toBe(Math.min(3, end - (from + last - begin)));
      if (!abnormal) continue;
      const length = abnormal.last - abnormal.first + 1;
      lengths.add(length);
      expect([length >= 6, length <= 41], kind).toEqual([true, true]);
      // Sixteen frames before and after it count, if the clip has them.
      expect(abnormal.first - first).toBe(Math.min(16, from + abnormal.first - begin - start));
      expect(last - abnormal.last).toBe(Math.min(16, end - (from + abnormal.last - begin)));
      // A window in which time runs otherwise shows its middle frame as it is; a pole may stand
      // behind the frame's border for some frames.
      expect(changed, kind).toBeGreaterThanOrEqual(0.5 * length);
    }
    // Some are short, some long.
    expect(lengths.size).toBeGreaterThan(3);
  });

  it("keeps windows apart: no sample reaches from one to the next", async () => {
    const parts = segments(await shown);
    for (const [i, part] of parts.entries()) {
      // A sample reaches three frames ahead, and one of the next window three frames back.
      if (i > 0) expect(part[0].number - parts[i - 1].at(-1)!.number).toBeGreaterThan(6);
    }
  });

  it("is the same for the same seed, and another one for another", async () => {
    const of = async (seed: number) => {
      // Each time with another archive.
      const [source] = (await ValidationSet.make(await keeping(one, two), { seed })).sources();
      return { windows: source.windows, pixels: Buffer.concat((await framesOf(source)).map(({ data }) => data)) };
    };
    const [first, again, other] = [await of(1), await of(1), await of(2)];
    expect(again.windows).toEqual(first.windows);
    expect(again.pixels.equals(first.pixels)).toBe(true);
    expect(other.windows).not.toEqual(first.windows);
  });

  it("makes a source per size of frames, each with its own windows", async () => {
    const large = walk("large", 0.9, { width: 90, height: 60, tall: 12, count: 40 });
    const made = await ValidationSet.make(await keeping(large, one), { seed: 1 });
    const sources = made.sources();
    expect(sources.map(({ source: { width, height } }) => [width, height])).toEqual([
      [90, 60],
      [72, 48],
    ]);
    let events = 0;
    for (const { source, windows } of sources) {
      const frames = await collect(source.frames());
      expect(frames.length).toBe(source.frameCount);
      for (const { data } of frames) expect(data.length).toBe(source.width * source.height * 3);
      expect(segments(frames).length).toBe(windows.length);
      expect(windows.every(({ last }) => last < frames.length)).toBe(true);
      // One anomaly of each kind: clips take turns.
      const own = windows.filter(({ kind }) => kind).length;
      expect(own).toBe(7);
      events += own;
    }
    expect(events).toBe([...made.counts.values()].reduce((sum, count) => sum + count, 0));
  });

  it("goes by frame numbers: their step becomes 1, and a missing frame leaves a gap", async () => {
    /** The numbers 10, 12, 14, …, without the 20th. */
    const sparse: DatasetVideo = {
      ...one,
      open: async () => {
        const source = await one.open();
        async function* frames() {
          for await (const frame of source.frames()) {
            if (frame.index !== 20) yield { ...frame, number: 10 + 2 * frame.index };
          }
        }
        return { ...source, step: 2, frames };
      },
    };
    const made = await ValidationSet.make(await keeping(sparse, two), { seed: 1 });
    const [source] = made.sources();
    const numbers = (await framesOf(source)).slice(0, 39).map(({ number }) => number);
    expect(numbers).toEqual(Array.from({ length: 40 }, (_, i) => i).filter((i) => i !== 20));
  });

  it("leaves out the kinds that short clips have no room for", async () => {
    const short = walk("short", 2.5, { ...size, tall: 10, count: 12, start: 8 });
    const { counts } = await ValidationSet.make(await keeping(short, few[0], many), { seed: 1 });
    // Twice as fast, a sample needs six frames before and after: 13.
    expect([counts.has("speed-up"), counts.get("stop"), counts.get("fast")]).toEqual([false, 4, 4]);
  });

  it("refuses clips in which nothing moves, and says if no clip is long enough", async () => {
    const still = walk("still", 0, { ...size, count: 10 });
    const refused = ValidationSet.make(await keeping(still, still), { seed: 1 });
    await expect(refused).rejects.toThrow(InputError);
    await expect(refused).rejects.toThrow(/^no moving foreground was found in the 2 training videos: /);
    const none = ValidationSet.make(await loadSet([one], { keptShare: 0.2 }), { seed: 1 });
    await expect(none).rejects.toThrow(InputError);
    await expect(none).rejects.toThrow("no training clip is long enough to keep 60 frames of it apart for validation");
  });

  it("stops if its signal is aborted", async () => {
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await expect(ValidationSet.make(await set, { seed: 1, signal })).rejects.toBe(reason);
    const [{ source }] = (await validation).sources();
    await expect(collect(source.frames(signal))).rejects.toBe(reason);
  });
});
