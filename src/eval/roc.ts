// ROC curves, the area under them, and the equal-error rate.
import { counted } from "../counted.js";
import { InputError } from "../errors.js";

/**
 * A ROC curve from (0, 0) to (1, 1), with one point per distinct score. With a score as threshold,
 * frames that reach it are alarms.
 */
export interface RocCurve {
  /** False alarms / normal frames. */
  fpr: Float64Array;
  /** Detected frames / abnormal frames. */
  tpr: Float64Array;
  /** Falling; the first is Infinity. */
  thresholds: Float64Array;
}

/**
 * The area under the ROC curve. Ties count half. It is exact, because counts are whole numbers
 * until the last division.
 * @param labels 1 for abnormal, 0 for normal
 * @returns 0…1; undefined if all labels are the same
 * @throws InputError if a label is not 0 or 1, a score is NaN, or lengths differ
 */
export function rocAuc(labels: ArrayLike<number>, scores: ArrayLike<number>): number | undefined {
  const { normal, abnormal } = byClass(labels, scores);
  if (normal.length === 0 || abnormal.length === 0) return undefined;
  let twiceArea = 0;
  let [falseBefore, trueBefore] = [0, 0];
  for (const [falseAlarms, detected] of operatingPoints(normal, abnormal)) {
    twiceArea += (falseAlarms - falseBefore) * (detected + trueBefore);
    [falseBefore, trueBefore] = [falseAlarms, detected];
  }
  return twiceArea / 2 / normal.length / abnormal.length;
}

/**
 * The ROC curve.
 * @param maxPoints thins the curve for a plot, at least 3. Of each stretch in which fpr + tpr grows
 * by 2 / (maxPoints − 1), only the first point stays. So no omitted point is further than that from
 * the drawn line.
 * @returns undefined if all labels are the same
 * @throws InputError as {@link rocAuc}
 */
export function rocCurve(
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
  maxPoints = Infinity,
): RocCurve | undefined {
  const { normal, abnormal } = byClass(labels, scores);
  if (normal.length === 0 || abnormal.length === 0) return undefined;
  const [fpr, tpr, thresholds]: [number[], number[], number[]] = [[], [], []];
  let stretch = -1;
  const take = (falseAlarms: number, detected: number, threshold: number) => {
    const [x, y] = [falseAlarms / normal.length, detected / abnormal.length];
    const along = Math.floor(((x + y) / 2) * (maxPoints - 1));
    if (maxPoints !== Infinity && along === stretch) return;
    stretch = along;
    fpr.push(x);
    tpr.push(y);
    thresholds.push(threshold);
  };
  take(0, 0, Infinity);
  for (const [falseAlarms, detected, threshold] of operatingPoints(normal, abnormal)) {
    take(falseAlarms, detected, threshold);
  }
  return { fpr: Float64Array.from(fpr), tpr: Float64Array.from(tpr), thresholds: Float64Array.from(thresholds) };
}

/**
 * The equal-error rate: the share of false alarms at the threshold at which the share of missed
 * abnormal frames is the same. Rate and threshold are interpolated between two points of the curve.
 * @returns undefined if all labels are the same
 * @throws InputError as {@link rocAuc}
 */
export function equalErrorRate(
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
): { rate: number; threshold: number } | undefined {
  const { normal, abnormal } = byClass(labels, scores);
  if (normal.length === 0 || abnormal.length === 0) return undefined;
  let [fprBefore, excessBefore, thresholdBefore] = [0, -1, Infinity];
  for (const [falseAlarms, detected, threshold] of operatingPoints(normal, abnormal)) {
    const fpr = falseAlarms / normal.length;
    const excess = fpr - (1 - detected / abnormal.length);
    if (excess >= 0) {
      const share = -excessBefore / (excess - excessBefore);
      return {
        rate: fprBefore + share * (fpr - fprBefore),
        threshold: thresholdBefore === Infinity ? threshold : thresholdBefore + share * (threshold - thresholdBefore),
      };
    }
    [fprBefore, excessBefore, thresholdBefore] = [fpr, excess, threshold];
  }
  throw new Error("a ROC curve ends in (1, 1)");
}

/**
 * The scores of each class, rising. Typed arrays sort numbers ten times as fast as a comparison
 * function sorts indices.
 */
function byClass(labels: ArrayLike<number>, scores: ArrayLike<number>) {
  if (labels.length !== scores.length) {
    throw new InputError(
      `there are ${counted(labels.length, "label")} for ${counted(scores.length, "score")}: one per frame is needed`,
    );
  }
  const normal = new Float64Array(labels.length);
  const abnormal = new Float64Array(labels.length);
  let [normals, abnormals] = [0, 0];
  for (let i = 0; i < labels.length; i++) {
    const score = scores[i];
    if (Number.isNaN(score)) throw new InputError(`score ${i} is NaN: it cannot be ranked`);
    if (labels[i] === 0) normal[normals++] = score;
    else if (labels[i] === 1) abnormal[abnormals++] = score;
    else throw new InputError(`label ${i} is ${labels[i]}, neither 0 (normal) nor 1 (abnormal)`);
  }
  return { normal: normal.subarray(0, normals).sort(), abnormal: abnormal.subarray(0, abnormals).sort() };
}

/** [false alarms, detected, threshold] at each distinct score, from the highest down. */
function* operatingPoints(normal: Float64Array, abnormal: Float64Array): Generator<[number, number, number]> {
  let [n, a] = [normal.length - 1, abnormal.length - 1];
  while (n >= 0 || a >= 0) {
    const threshold = Math.max(normal[n] ?? -Infinity, abnormal[a] ?? -Infinity);
    while (n >= 0 && normal[n] === threshold) n--;
    while (a >= 0 && abnormal[a] === threshold) a--;
    yield [normal.length - 1 - n, abnormal.length - 1 - a, threshold];
  }
}
