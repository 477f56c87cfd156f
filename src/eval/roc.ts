import { InputError } from "../errors.js";

/** A ROC curve: one point for each distinct score as threshold (frames at or above it are alarms), from (0, 0) to (1, 1). */
export interface RocCurve {
  /** False alarms over normal frames. */
  fpr: Float64Array;
  /** Detected over abnormal frames. */
  tpr: Float64Array;
  /** Falling; the first is Infinity. */
  thresholds: Float64Array;
}

/**
 * The area under the ROC curve, exact with ties (a tie counts half): counts are whole numbers until the one division.
 * @param labels 1 for abnormal, 0 for normal
 * @returns undefined where all labels are the same
 * @throws InputError for another label, a NaN score, or lengths that differ
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
 * @param maxPoints thins it for a plot: of each stretch of 2/(maxPoints − 1) along both axes together the first point
 * stays, and the last of all, so that what is left out lies closer to the drawn line than that. At least 3.
 * @returns undefined where all labels are the same
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
 * The equal-error rate: where as large a share of normal frames is alarmed as of abnormal frames is missed, on the straight line
 * between the two points of the ROC curve around it; the threshold lies as far between theirs.
 * @returns undefined where all labels are the same
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

/** The scores of each class, rising. Typed arrays sort as plain numbers, an order of magnitude faster than indices by a comparison. */
function byClass(labels: ArrayLike<number>, scores: ArrayLike<number>) {
  if (labels.length !== scores.length) {
    throw new InputError(`there are ${labels.length} labels for ${scores.length} scores: one a frame is needed`);
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
