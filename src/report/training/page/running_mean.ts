/**
 * For each point the mean of the steps up to it, over a window of steps at least where there are as many, weighted by how many steps a
 * point stands for. Points without a value do not count.
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
