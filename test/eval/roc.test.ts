import { describe, expect, it } from "vitest";
import { InputError } from "../../src/errors.js";
import { equalErrorRate, type RocCurve, rocAuc, rocCurve } from "../../src/eval/roc.js";
import { Random } from "../support/numbers.js";

/** How often an abnormal frame scores higher than a normal one, over all pairs; ties are ½. */
function pairwiseAuc(labels: readonly number[], scores: readonly number[]): number {
  let [wins, pairs] = [0, 0];
  for (const [i, a] of labels.entries()) {
    for (const [j, b] of labels.entries()) {
      if (a !== 1 || b !== 0) continue;
      const difference = scores[i] - scores[j];
      wins += difference > 0 ? 1 : difference === 0 ? 0.5 : 0;
      pairs++;
    }
  }
  return wins / pairs;
}

const trapezoid = ({ fpr, tpr }: RocCurve) =>
  fpr.reduce((sum, x, i) => sum + (i === 0 ? 0 : ((x - fpr[i - 1]) * (tpr[i] + tpr[i - 1])) / 2), 0);

/** Random frames; abnormal ones tend to score higher. Few levels make many ties. */
function frames(seed: number, count: number, levels = Infinity) {
  const random = new Random(seed);
  const labels = Array.from({ length: count }, () => random.integer(2));
  const scores = labels.map((label) => {
    const score = random.next() + 0.4 * label;
    return levels === Infinity ? score : Math.floor(score * levels) / levels;
  });
  return { labels, scores };
}

describe("ROC-AUC", () => {
  it("is the chance that two frames are in the right order, with ties and without", () => {
    for (const [seed, levels] of [
      [1, Infinity],
      [2, 3],
      [3, 10],
      [4, 1],
    ] as const) {
      const { labels, scores } = frames(seed, 300, levels);
      expect(rocAuc(labels, scores)).toBeCloseTo(pairwiseAuc(labels, scores), 14);
    }
    expect(rocAuc([0, 1], [-0, 0])).toBe(0.5);
    expect(rocAuc([0, 1, 1], [-Infinity, 5, Infinity])).toBe(1);
  });

  it("agrees with a closed form for almost 100,000 frames", () => {
    // Frame i scores i, and every third is abnormal: the k-th abnormal one, from 0, is above 2k
    // normal ones.
    const count = 99_990;
    const random = new Random(5);
    const order = random.permutation(count);
    const labels = Uint8Array.from(order, (i) => (i % 3 === 0 ? 1 : 0));
    const third = count / 3;
    const wins = third * (third - 1);
    expect(rocAuc(labels, order)).toBeCloseTo(wins / (third * 2 * third), 14);
    // Of every thirty frames with one score, ten are abnormal: no order at all.
    const tied = order.map((i) => Math.floor(i / 30));
    expect(rocAuc(labels, tied)).toBeCloseTo(0.5, 14);
  });

  it("is undefined for one class, and refuses what cannot be ranked", () => {
    for (const labels of [[0, 0], [1, 1], []]) {
      const scores = labels.map((_, i) => i);
      expect(rocAuc(labels, scores)).toBeUndefined();
      expect(rocCurve(labels, scores)).toBeUndefined();
      expect(equalErrorRate(labels, scores)).toBeUndefined();
    }
    expect(() => rocAuc([0, 1], [1])).toThrow("there are 2 labels for 1 score:");
    expect(() => rocAuc([0, 2], [1, 2])).toThrow("label 1 is 2, neither 0 (normal) nor 1 (abnormal)");
    expect(() => rocAuc([0, 1], [1, Number.NaN])).toThrow(InputError);
  });
});

describe("the ROC curve", () => {
  it("has a point for each distinct score", () => {
    // Falling: 0.9 abnormal; 0.7 one of each; 0.4 normal; 0.1 abnormal.
    const curve = rocCurve([0, 1, 1, 0, 1], [0.7, 0.9, 0.7, 0.4, 0.1]) as RocCurve;
    expect(Array.from(curve.thresholds)).toEqual([Infinity, 0.9, 0.7, 0.4, 0.1]);
    expect(Array.from(curve.fpr)).toEqual([0, 0, 0.5, 1, 1]);
    expect(Array.from(curve.tpr)).toEqual([0, 1 / 3, 2 / 3, 2 / 3, 1]);
    const { labels, scores } = frames(6, 400, 20);
    expect(trapezoid(rocCurve(labels, scores) as RocCurve)).toBeCloseTo(pairwiseAuc(labels, scores), 12);
  });

  it("can be thinned for a plot without visible change", () => {
    for (const levels of [Infinity, 7]) {
      const { labels, scores } = frames(7, 20_000, levels);
      const whole = rocCurve(labels, scores) as RocCurve;
      const thin = rocCurve(labels, scores, 200) as RocCurve;
      expect(thin.fpr.length).toBeLessThanOrEqual(200);
      expect([thin.fpr[0], thin.tpr[0], thin.fpr.at(-1), thin.tpr.at(-1)]).toEqual([0, 0, 1, 1]);
      expect(Math.abs(trapezoid(thin) - trapezoid(whole))).toBeLessThan(1e-3);
      // The points that stay are points of the whole curve.
      const points = new Set(Array.from(whole.fpr, (x, i) => `${x} ${whole.tpr[i]} ${whole.thresholds[i]}`));
      for (const [i, x] of thin.fpr.entries()) expect(points).toContain(`${x} ${thin.tpr[i]} ${thin.thresholds[i]}`);
    }
  });
});

describe("the equal-error rate", () => {
  it("lies on a point of the curve, or on the line between two", () => {
    // At 0.6, one of four normal frames is an alarm, and one of four abnormal ones is missed.
    const labels = [0, 0, 0, 0, 1, 1, 1, 1];
    expect(equalErrorRate(labels, [0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.8, 0.9])).toEqual({ rate: 0.25, threshold: 0.6 });
    expect(equalErrorRate(labels, [1, 1, 1, 1, 2, 2, 2, 2])).toEqual({ rate: 0, threshold: 2 });
    expect(equalErrorRate(labels, [2, 2, 2, 2, 1, 1, 1, 1])).toEqual({ rate: 1, threshold: 2 });
    expect(
      equalErrorRate(
        labels,
        labels.map(() => 3),
      ),
    ).toEqual({ rate: 0.5, threshold: 3 });
    // From (0, 1/2) at 4 to (1/2, 1) at 2, the line meets the falling diagonal in (1/4, 3/4).
    expect(equalErrorRate([1, 1, 0, 0], [4, 2, 2, 1])).toEqual({ rate: 0.25, threshold: 3 });
  });
});
