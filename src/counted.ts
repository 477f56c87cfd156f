// Counts in messages, and sums of counts.

/** "1 frame", "2 frames". The plural of `what` ends in an s. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** The sum of counts, such as frames per video; undefined if one of them is not known. */
export function knownTotal(counts: readonly (number | undefined)[]): number | undefined {
  let total = 0;
  for (const count of counts) {
    if (count === undefined) return undefined;
    total += count;
  }
  return total;
}
