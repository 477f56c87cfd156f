// Which tests and validations of a run stand out, and what their epochs are called.

/** The best test or validation of each stage: the last one that was better than all before it. */
export function bestOf<T extends { best: boolean; stage: number | null }>(list: readonly T[]): T[] {
  return [...new Map(list.filter(({ best }) => best).map((one) => [one.stage, one])).values()];
}

/** The tests of the epochs that were chosen: by labels, or by the validations. */
export function chosenTests<T extends { best: boolean; epoch: number | null; stage: number | null }>(
  select: "validation" | "labels",
  tests: readonly T[],
  validations: readonly { best: boolean; epoch: number | null; stage: number | null }[],
): T[] {
  if (select === "labels") return bestOf(tests);
  const epochs = new Set(bestOf(validations).map(({ epoch }) => epoch));
  return tests.filter(({ epoch }) => epochs.has(epoch));
}

/** "epoch 3", or "epoch 0 (the initial weights)". */
export const epochName = (epoch: number | null) => `epoch ${epoch}${epoch === 0 ? " (the initial weights)" : ""}`;
