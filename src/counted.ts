// Counts in messages.

/** "1 frame", "2 frames". The plural of `what` ends in an s. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
