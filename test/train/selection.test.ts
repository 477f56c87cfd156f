import { describe, expect, it } from "vitest";
import type { ValidationKind } from "../../src/data/anomalies/validation_anomaly.js";
import type { TokenMaps } from "../../src/detector/token_maps.js";
import { InputError } from "../../src/errors.js";
import type { VideoRecord } from "../../src/eval/record.js";
import {
  chooseScoring,
  parseWay,
  rateScoring,
  type ScoringWay,
  scoringsOf,
  type ValidationScores,
} from "../../src/train/selection.js";
import type { ValidationWindow } from "../../src/train/validation_set.js";

/** A frame of one token, in which every map has the same value; others can be given. */
const frame = (value: number, others: Partial<Record<keyof TokenMaps, number>> = {}): TokenMaps => {
  const map = (name: keyof TokenMaps) => Float32Array.of(others[name] ?? value);
  return {
    ...{ rows: 1, columns: 1, student: map("student"), target: map("target"), anomaly: map("anomaly") },
    ...{ motion: Float32Array.of(others.motion ?? 1), movingAnomaly: map("movingAnomaly") },
    ...{ largestMotion: Float32Array.of(255), cleaned: map("cleaned"), visible: Uint8Array.of(1) },
  };
};
const record = (tokens: TokenMaps[]): VideoRecord => ({
  ...{ width: 8, height: 8, frames: tokens.map((_, i) => i), tokens },
});
const mean: ScoringWay = {
  ...{ scoring: "mean", tokens: "all", topK: 1, minMotion: 0, rule: "teacher" },
  ...{ smoothing: { kind: "none" }, maskings: 1 },
};
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

/** A window of an anomaly with `margin` normal frames on each side of it, from `first` on. */
function event(kind: ValidationKind, first: number, length: number, margin = 0): ValidationWindow {
  const abnormal = { first: first + margin, last: first + margin + length - 1 };
  return { kind, first, last: abnormal.last + margin, abnormal };
}

describe("rating", () => {
  // Normal frames have the scores 0 to 100. Of them, 1 % are above 99, which lies at 0.99 · 100.
  const values = [...upTo(101), 98, 99, 100, 7, 95, 7, 50, 120, 99, 0, 100, 5];
  const windows: ValidationWindow[] = [
    { first: 0, last: 100 },
    event("fast", 101, 3),
    // Its margins, with the scores 7, are normal frames for `fast`.
    event("fast", 104, 1, 1),
    event("stop", 107, 1),
    { disturbance: "night", first: 108, last: 109 },
    { disturbance: "noise", first: 110, last: 110 },
    { disturbance: "night", first: 111, last: 112 },
  ];
  const expectWorked = (parts: ValidationScores[]) => {
    const { kinds, auc, found, figure, worst, threshold, normalFrames, way, ...rest } = rateScoring(parts, mean);
    expect(way).toEqual(mean);
    expect([threshold, normalFrames, worst]).toEqual([99, 101, "stop"]);
    // A score n is above n normal ones and ties with one, (n + ½) / 101; here it is above two more.
    const fast = (100.5 + 101.5 + 102.5 + 97.5) / 4 / 103;
    // Of stretches of three frames, the highest score exceeds 95.1 in 5 %, of single frames 95: the
    // second event of `fast` only reaches it.
    expect(kinds).toEqual([
      { kind: "fast", auc: expect.closeTo(fast, 12), events: 2, found: 1 },
      { kind: "stop", auc: expect.closeTo(0.5, 12), events: 1, found: 0 },
    ]);
    // Disturbed frames count for nothing else: 120 and 100 are above the threshold.
    expect(rest.disturbances).toEqual([
      { disturbance: "night", falseAlarms: 0.5 },
      { disturbance: "noise", falseAlarms: 0 },
    ]);
    expect(auc).toBeCloseTo((fast + 0.5) / 2, 12);
    expect(found).toBeCloseTo((0.5 + 0) / 2, 12);
    expect(figure).toBeCloseTo(((fast + 0.5) / 2 + 0.25) / 2, 12);
  };

  it("gives the figures of an example that was worked out by hand", () => {
    expectWorked([{ records: [record(values.map((value) => frame(value)))], windows }]);
  });

  it("takes the frames of several sizes together", () => {
    const [small, large] = [
      [...values.slice(0, 40), ...values.slice(101, 107), ...values.slice(108, 110)],
      [...values.slice(40, 101), values[107], ...values.slice(110)],
    ];
    expectWorked([
      {
        records: [record(small.map((value) => frame(value)))],
        windows: [
          ...[{ first: 0, last: 39 }, event("fast", 40, 3), event("fast", 43, 1, 1)],
          { disturbance: "night", first: 46, last: 47 },
        ],
      },
      {
        records: [record(large.map((value) => frame(value)))],
        windows: [
          ...[{ first: 0, last: 60 }, event("stop", 61, 1)],
          { disturbance: "noise", first: 62, last: 62 },
          { disturbance: "night", first: 63, last: 64 },
        ],
      },
    ]);
  });

  it("averages scores over maskings", () => {
    // Neither masking alone gives the values.
    const maskings = [-30, 30].map((apart) =>
      record(values.map((value, i) => frame(value + (i % 2 ? apart : -apart)))),
    );
    expectWorked([{ records: maskings, windows }]);
  });

  it("counts disturbed frames as normal ones if asked to", () => {
    const scores = [...upTo(101), 99.5, ...Array(20).fill(200)];
    const parts: ValidationScores[] = [
      {
        records: [record(scores.map((value) => frame(value)))],
        windows: [{ first: 0, last: 100 }, event("fast", 101, 1), { disturbance: "light", first: 102, last: 121 }],
      },
    ];
    const plain = rateScoring(parts, mean);
    expect(plain.kinds[0]).toEqual({ kind: "fast", auc: expect.closeTo(100 / 101, 12), events: 1, found: 1 });
    const counted = rateScoring(parts, mean, { countDisturbed: true });
    // Twenty more frames are above it, which are more than 5 %.
    expect(counted.kinds[0]).toEqual({ kind: "fast", auc: expect.closeTo(100 / 121, 12), events: 1, found: 0 });
    // What is reported of disturbances stays: their share above a threshold of undisturbed frames.
    const { threshold, normalFrames, disturbances } = counted;
    expect([threshold, normalFrames, disturbances]).toEqual([99, 101, plain.disturbances]);
    // A way that does not react to the disturbance is then better.
    const even = scores.map((value, i) => frame(value, { anomaly: i > 101 ? 50 : i === 101 ? 97.5 : value }));
    const choice = [{ ...parts[0], records: [record(even)] }];
    const ways = [mean, { ...mean, scoring: "anomaly-map" } as const];
    expect(chooseScoring(choice, ways).way.scoring).toBe("mean");
    expect(chooseScoring(choice, ways, { countDisturbed: true }).way.scoring).toBe("anomaly-map");
  });

  it("finds the worst kind by its AUC and its events together", () => {
    const scores = [...upTo(101), 100, 60, 95, 95];
    const parts = [
      {
        records: [record(scores.map((value) => frame(value)))],
        windows: [{ first: 0, last: 100 }, event("thrown", 101, 2), event("loop", 103, 2)],
      },
    ];
    // `thrown`: (100.5 + 60.5) / 202 = 0.797, but found. `loop`: 0.946, and not found.
    const { worst, kinds } = rateScoring(parts, mean);
    expect(kinds.map(({ auc }) => auc > 0.9)).toEqual([false, true]);
    expect(worst).toBe("loop");
  });

  it("compares an anomaly with normal stretches of its length", () => {
    // Every tenth normal frame has a spike; two of twenty are higher than the event's.
    const spikes = upTo(200).map((i) => (i % 10 === 0 ? 1 + i / 10 : 0));
    const scores = [...spikes, ...Array(9).fill(0), 18.9];
    const parts = [
      {
        records: [record(scores.map((value) => frame(value)))],
        windows: [{ first: 0, last: 199 }, event("loop", 200, 10)],
      },
    ];
    const { threshold, found } = rateScoring(parts, mean);
    // One normal frame in a hundred is as high, but one stretch of ten frames in ten.
    expect(threshold).toBeLessThan(18.9);
    expect(found).toBe(0);
  });

  it("lets smoothing pay for what it blurs", () => {
    // A clear event and a faint one. Smoothing carries the clear one's score to normal frames.
    const zeros = (count: number) => Array(count).fill(0);
    const scores = [...zeros(56), ...Array(10).fill(10), ...zeros(32), ...Array(10).fill(1), ...zeros(16)];
    const windows = [{ first: 0, last: 39 }, event("thrown", 40, 10, 16), event("thrown", 82, 10, 16)];
    const parts = [{ records: [record(scores.map((value) => frame(value)))], windows }];
    const aucOf = (smoothing: ScoringWay["smoothing"]) => rateScoring(parts, { ...mean, smoothing }).auc;
    expect(aucOf({ kind: "none" })).toBe(1);
    expect(aucOf({ kind: "gaussian", sigma: 4 })).toBeLessThan(0.96);
  });

  it("smooths each window by itself", () => {
    // Beside the normal window, whose last frame is 0, an event begins with 10.
    const scores = [...Array(20).fill(0), ...Array(10).fill(10)];
    const parts = [
      {
        records: [record(scores.map((value) => frame(value)))],
        windows: [{ first: 0, last: 19 }, event("stop", 20, 10)],
      },
    ];
    const { threshold, auc } = rateScoring(parts, { ...mean, smoothing: { kind: "gaussian", sigma: 4 } });
    expect([threshold, auc]).toEqual([0, 1]);
  });
});

describe("choosing a way to score", () => {
  const windows = [{ first: 0, last: 40 }, event("fast", 41, 9)];
  /** 41 normal frames and 9 abnormal ones. */
  const partOf = (of: (i: number) => TokenMaps, count = 1): ValidationScores => ({
    ...{ records: Array.from({ length: count }, () => record(Array.from({ length: 50 }, (_, i) => of(i)))), windows },
  });

  it("takes the scoring that tells best", () => {
    // Errors are noise; the anomaly map tells all.
    const noise = (i: number) => (i * 37) % 50;
    const anomaly = (i: number) => (i > 40 ? 1 : 0);
    const telling = partOf((i) => frame(noise(i), { anomaly: anomaly(i), movingAnomaly: noise(i) }));
    const first = chooseScoring([telling], scoringsOf(1));
    expect([first.way.scoring, first.way.rule, first.figure]).toEqual(["anomaly-map", "teacher", 1]);
    const student = partOf((i) => frame(noise(i), { student: anomaly(i), target: noise(i), cleaned: noise(i) }));
    const second = chooseScoring([student], scoringsOf(2));
    expect([second.way.scoring, second.way.rule, second.figure]).toEqual(["mean", "student", 1]);
    const moving = partOf((i) => frame(noise(i), { target: 1, motion: anomaly(i) }));
    expect(chooseScoring([moving], scoringsOf(1)).way.scoring).toBe("motion-weighted");
    const cleaned = partOf((i) => frame(noise(i), { cleaned: anomaly(i) }));
    expect(chooseScoring([cleaned], scoringsOf(2)).way.scoring).toBe("cleaned-map");
  });

  it("takes the least smoothing that tells best, and says by how many maskings", () => {
    // A spike of 10 in normal frames, while the anomaly has 5 all the time. A Gaussian of σ = 2
    // leaves 10 · 0.2 = 2 of the spike. Without, the threshold is 6: the 0.6th part of the way to
    // the spike.
    const part = partOf((i) => frame(i > 40 ? 5 : i === 20 ? 10 : 0), 2);
    const { way, figure, threshold } = chooseScoring([part], scoringsOf(1));
    expect(way).toEqual({ ...mean, smoothing: { kind: "gaussian", sigma: 2 }, maskings: 2 });
    expect(figure).toBe(1);
    expect(threshold).toBeLessThan(2);
    const plain = rateScoring([part], mean);
    expect([plain.threshold, plain.found]).toEqual([expect.closeTo(6, 9), 0]);
  });

  it("keeps the first of equal ones", () => {
    const equal = chooseScoring([partOf((i) => frame(i > 40 ? 1 : 0))], scoringsOf(1));
    expect(equal.way).toEqual(mean);
    const [first, second] = scoringsOf(1);
    expect(chooseScoring([partOf((i) => frame(i > 40 ? 1 : 0))], [second, first]).way).toMatchObject(second);
    const student = chooseScoring([partOf((i) => frame(i > 40 ? 1 : 0))], scoringsOf(2));
    expect(student.way).toMatchObject({ scoring: "mean", rule: "sum", smoothing: { kind: "none" } });
  });

  it("lets the student have a part in every way of stage 2, and in none of stage 1", () => {
    expect(scoringsOf(1).every(({ rule, scoring }) => rule === "teacher" && scoring !== "cleaned-map")).toBe(true);
    expect(scoringsOf(2).every(({ rule, scoring }) => rule !== "teacher" || scoring === "cleaned-map")).toBe(true);
  });
});

describe("reading a way to score", () => {
  it("takes every way that can be chosen", () => {
    const smoothings = [{ kind: "none" }, ...[2, 4, 8].map((sigma) => ({ kind: "gaussian", sigma }))];
    for (const scoring of [...scoringsOf(1), ...scoringsOf(2)]) {
      for (const smoothing of smoothings) {
        const way = { ...scoring, smoothing, maskings: 3 };
        expect(parseWay(JSON.parse(JSON.stringify(way)), "file")).toEqual(way);
      }
    }
  });

  it("refuses all others, and names the file", () => {
    const others: unknown[] = [
      ...[null, undefined, "mean", 7, [], {}],
      ...[
        { ...mean, scoring: "sum" },
        { ...mean, scoring: "maximum" },
        { ...mean, scoring: "top-k", topK: 7 },
      ],
      ...[
        { ...mean, tokens: "removed" },
        { ...mean, minMotion: 1 },
        { ...mean, rule: "teachers" },
      ],
      ...[
        { ...mean, smoothing: undefined },
        { ...mean, smoothing: { kind: "gaussian", sigma: 3 } },
      ],
      ...[{ ...mean, smoothing: { kind: "paper", range: 38, mu: 11 } }],
      ...[0, -1, 1.5, 101, Number.NaN, "1", undefined].map((maskings) => ({ ...mean, maskings })),
    ];
    for (const other of others) {
      const read = () => parseWay(other, "checkpoint-best.safetensors");
      expect(read, JSON.stringify(other)).toThrow(InputError);
      expect(read).toThrow("checkpoint-best.safetensors: says to score in a way that training does not choose");
    }
  });
});
