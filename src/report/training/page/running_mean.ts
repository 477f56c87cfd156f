/**
 * The mean of the last values up to each point. Points are added backwards until their weights
 * reach the window. Points without a value do not count, and have no mean.
 * @param weights the number of steps that each point stands for
 * @param window steps
 */
export function runningMeans(
  values: readonly (number | null)[],
  weights: readonly number[],
  window: number,
): (number | null)[] {
  return values.map((value, last) => {
    if (value === null) return null;
    let [sum, weight] = [0, 0];
    for (let i = last; i >= 0 && weight < window; i--) {
      const [its, own] = [values[i], weights[i]];
      if (its == null) continue;
      sum += its * own;
      weight += own;
    }
    return sum / weight;
  });
}
