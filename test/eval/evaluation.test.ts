import { describe, expect, it } from "vitest";
import type { DatasetVideo, PixelMask, TrackBox } from "../../src/data/dataset.js";
import type { TokenMaps } from "../../src/detector/token_maps.js";
import { InputError } from "../../src/errors.js";
import { Evaluation, type EvaluationSettings, paperEvaluation } from "../../src/eval/evaluation.js";
import type { VideoRecord } from "../../src/eval/record.js";

const plain: EvaluationSettings = { ...paperEvaluation, smoothing: { kind: "none" }, map: "error", rule: "teacher" };

/** A record whose frames have these errors, of 2 × 2 tokens each. */
function record(errors: readonly (readonly number[])[], size = { width: 8, height: 8 }): VideoRecord {
  const zero = () => new Float32Array(4);
  const tokens = errors.map(
    (own): TokenMaps => ({
      rows: 2,
      columns: 2,
      student: zero(),
      target: Float32Array.from(own),
      anomaly: zero(),
      motion: zero(),
      movingAnomaly: zero(),
      largestMotion: zero(),
      cleaned: zero(),
      visible: new Uint8Array(4),
    }),
  );
  return { ...size, frames: errors.map((_, i) => i), tokens };
}

/** A record of frames whose four tokens all have the same error. */
const even = (...errors: number[]) => record(errors.map((e) => [e, e, e, e]));

function video(name: string, labels?: readonly number[], rest: Partial<DatasetVideo> = {}): DatasetVideo {
  return {
    name,
    path: `/set/test/${name}`,
    open: () => Promise.reject(new Error("not opened here")),
    ...(labels && { labels: () => Promise.resolve(Uint8Array.from(labels)) }),
    ...rest,
  };
}

/** A mask of 8 × 8 that is abnormal in one quarter, or nowhere. */
function quarter(which: number | undefined): PixelMask {
  const data = new Uint8Array(64);
  for (let i = 0; i < 64; i++) {
    const own = (Math.floor(i / 32) << 1) | (i % 8 >= 4 ? 1 : 0);
    data[i] = own === which ? 1 : 0;
  }
  return { width: 8, height: 8, data };
}

describe("an evaluation", () => {
  it("counts events and false alarms at the threshold of the equal-error rate", async () => {
    const evaluation = new Evaluation({ ...plain, fps: 2 });
    await evaluation.add(video("a", [0, 0, 1, 1, 0, 0]), [even(0, 0, 0.5, 0.9, 0, 0)]);
    await evaluation.add(video("b", [0, 0, 0, 0]), [even(0, 0, 0, 0)]);
    const { equalErrorRate, events } = evaluation.finish();
    expect(equalErrorRate?.rate).toBe(0);
    // 6 and 4 frames at 2 per second are 5 s; the alarm begins with the event.
    expect(events).toMatchObject({ events: 1, found: 1, alarms: 1, falseAlarms: 0, delay: { median: 0, longest: 0 } });
    expect(events?.hours).toBeCloseTo(5 / 3600, 12);
  });

  it("counts events at a threshold by the rule of live video, on scores that are not smoothed", async () => {
    // 4 frames a second: the level is the mean of two frames, and must hold for two. It is 0, 0, ½,
    // 1, 1, ½ …: an alarm from frame 3 on, which is raised at frame 4. A peak of one frame raises
    // none.
    const scores = [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0];
    const labels = [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    const settings = { ...plain, smoothing: { kind: "gaussian", sigma: 5 }, normalize: true, fps: 4, threshold: 0.9 };
    const evaluation = new Evaluation(settings as EvaluationSettings);
    await evaluation.add(video("a", labels), [even(...scores)]);
    const found = evaluation.finish().events;
    expect(found).toMatchObject({ threshold: 0.9, events: 1, found: 1, alarms: 1, falseAlarms: 0 });
    expect(found?.delay?.median).toBeCloseTo(0.25, 12);
    // Frames that are all normal have no equal-error rate, but false alarms.
    const normal = new Evaluation(settings as EvaluationSettings);
    await normal.add(video("a", new Array<number>(13).fill(0)), [even(...scores)]);
    expect(normal.finish().events).toMatchObject({ events: 0, alarms: 1, falseAlarms: 1 });
  });

  it("gives micro- and macro-AUC, the AUC of each video, and the equal-error rate", async () => {
    const evaluation = new Evaluation(plain);
    await evaluation.add(video("a", [0, 0, 1, 1]), [even(0.1, 0.3, 0.2, 0.4)]);
    await evaluation.add(video("b", [0, 1]), [even(0.35, 0.38)]);
    const result = evaluation.finish();
    expect(result.videos.map((v) => v.auc)).toEqual([3 / 4, 1]);
    // Normal 0.1, 0.3, 0.35; abnormal 0.2, 0.4, 0.38: 7 of 9 pairs in order.
    expect(result.microAuc).toBeCloseTo(7 / 9, 12);
    // With one point at each end: normal 0, 0.1, 0.3 and abnormal 0.2, 0.4, 1: 8 of 9 pairs. The
    // other video is perfect.
    expect(result.macroAuc).toBeCloseTo((8 / 9 + 1) / 2, 12);
    expect(result.equalErrorRate?.rate).toBeCloseTo(1 / 3, 12);
    expect(result.pixelAuc).toBeUndefined();
    expect(result.rbdc).toBeUndefined();
    expect(result.notes).toEqual([]);
  });

  it("smooths and normalises each video alone", async () => {
    const evaluation = new Evaluation({ ...plain, smoothing: { kind: "gaussian", sigma: 1 }, normalize: true });
    await evaluation.add(video("a", [0, 0, 1]), [even(1, 1, 4)]);
    await evaluation.add(video("b", [0, 0, 1]), [even(10, 10, 40)]);
    const [a, b] = evaluation.finish().videos;
    expect(Math.min(...a.scores)).toBe(0);
    expect(Math.max(...a.scores)).toBe(1);
    a.scores.forEach((score, i) => {
      expect(b.scores[i]).toBeCloseTo(score, 12);
    });
    expect([...b.raw]).toEqual([10, 10, 40]);
  });

  it("averages scores over several maskings", async () => {
    const evaluation = new Evaluation(plain);
    await evaluation.add(video("a", [0, 1]), [even(1, 2), even(3, 6)]);
    expect([...evaluation.finish().videos[0].raw]).toEqual([2, 4]);
  });

  it("gives perfect maps perfect pixel and region metrics", async () => {
    const evaluation = new Evaluation({ ...plain, regionQuantile: 0.95 });
    // In frames 2 and 3 the upper right quarter is abnormal.
    const errors = [0, 1, 2, 3].map((frame) => (frame < 2 ? [0.1, 0.1, 0.1, 0.1] : [0.1, 0.9, 0.1, 0.1]));
    const mask = (frame: number) => Promise.resolve(quarter(frame < 2 ? undefined : 1));
    await evaluation.add(video("a", [0, 0, 1, 1], { mask }), [record(errors)]);
    const result = evaluation.finish();
    expect(result.pixelAuc).toBe(1);
    expect(result.rbdc).toBeCloseTo(1, 12);
    expect(result.tbdc).toBeCloseTo(1, 12);
  });

  it("gives maps that point elsewhere no regions, even if frames are told apart", async () => {
    const evaluation = new Evaluation({ ...plain, regionQuantile: 0.95 });
    const errors = [0, 1, 2, 3].map((frame) => (frame < 2 ? [0.1, 0.1, 0.1, 0.1] : [0.1, 0.1, 0.9, 0.1]));
    const mask = (frame: number) => Promise.resolve(quarter(frame < 2 ? undefined : 1));
    await evaluation.add(video("a", [0, 0, 1, 1], { mask }), [record(errors)]);
    const result = evaluation.finish();
    expect(result.microAuc).toBe(1);
    // The abnormal quarter has 0.1, like the normal frames: all ties.
    expect(result.pixelAuc).toBe(0.5);
    expect(result.rbdc).toBe(0);
    expect(result.tbdc).toBe(0);
  });

  it("prefers the data set's tracks to those built from masks", async () => {
    const evaluation = new Evaluation({ ...plain, regionQuantile: 0.95 });
    const tracks: TrackBox[] = [{ track: 7, frame: 1, x1: 0, y1: 4, x2: 3, y2: 7 }];
    const errors = [
      [0, 0, 0, 0],
      [0, 0, 0.9, 0],
    ];
    await evaluation.add(video("a", [0, 1], { tracks: () => Promise.resolve(tracks) }), [record(errors)]);
    expect(evaluation.finish()).toMatchObject({ rbdc: 1, tbdc: 1 });
  });

  describe("notes what is missing or odd:", () => {
    it("no labels at all", async () => {
      const evaluation = new Evaluation(plain);
      await evaluation.add(video("a"), [even(1, 2)]);
      const result = evaluation.finish();
      expect(result.microAuc).toBeUndefined();
      expect(result.macroAuc).toBeUndefined();
      expect(result.notes.join()).toContain("a: no labels");
      expect(result.notes.join()).toContain("no video has labels");
    });

    it("a video of one class, which counts in micro- and macro-AUC but has no AUC of its own", async () => {
      const evaluation = new Evaluation(plain);
      await evaluation.add(video("a", [1, 1]), [even(0.5, 0.2)]);
      await evaluation.add(video("b", [0, 1]), [even(0.1, 0.3)]);
      const result = evaluation.finish();
      expect(result.videos[0].auc).toBeUndefined();
      expect(result.notes).toEqual(["a: every frame is abnormal: no AUC of its own"]);
      expect(result.microAuc).toBe(1);
      expect(result.macroAuc).toBe(1);
    });

    it("all frames of one class, so that there is no micro-AUC", async () => {
      const evaluation = new Evaluation(plain);
      await evaluation.add(video("a", [0, 0]), [even(0.5, 0.2)]);
      const result = evaluation.finish();
      expect(result.microAuc).toBeUndefined();
      expect(result.equalErrorRate).toBeUndefined();
      expect(result.notes.join()).toContain("all labelled frames are of one class");
    });

    it("scores that are NaN", async () => {
      const evaluation = new Evaluation(plain);
      await evaluation.add(video("a", [0, 1, 0]), [even(0.2, 0.4, Number.NaN)]);
      const result = evaluation.finish();
      expect(result.notes[0]).toContain("a: 1 score of NaN: NaN, and");
      expect([...result.videos[0].scores].map((v) => Math.fround(v))).toEqual([0.2, 0.4, 0].map(Math.fround));
    });
  });

  describe("refuses", () => {
    it("more or fewer labels than frames", async () => {
      const evaluation = new Evaluation(plain);
      await expect(evaluation.add(video("a", [0, 1]), [even(1, 2, 3)])).rejects.toThrow(/a has 2 labels.*3 frames/);
    });

    it("a mask of another size than the frames", async () => {
      const evaluation = new Evaluation(plain);
      const mask = () => Promise.resolve({ width: 4, height: 8, data: new Uint8Array(32) });
      const adding = evaluation.add(video("a", [0], { mask }), [even(1)]);
      await expect(adding).rejects.toThrow("the mask of frame 0 of a is 4×8 pixels, its frames are 8×8");
    });

    it("an infinite score, and names its frame", async () => {
      const evaluation = new Evaluation(plain);
      const adding = evaluation.add(video("a", [0, 1]), [even(1, Number.POSITIVE_INFINITY)]);
      await expect(adding).rejects.toThrow("a: the score of frame 1 is Infinity");
    });

    it.each([
      [{ topK: 0 }, "top-k 0"],
      [{ regionQuantile: 1 }, "region quantile 1"],
      [{ minMotion: -1 }, "least motion -1"],
      [{ alpha: 0 }, "alpha 0"],
      [{ beta: 1.5 }, "beta 1.5"],
    ])("%j", (settings, message) => {
      expect(() => new Evaluation({ ...plain, ...settings })).toThrow(InputError);
      expect(() => new Evaluation({ ...plain, ...settings })).toThrow(message);
    });
  });
});
