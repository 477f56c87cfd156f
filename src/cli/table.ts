/** Lines of a table: the first column to the left, the others to the right, a line under the head. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
      .join("  ")
      .trimEnd();
  return [line(head), widths.map((width) => "─".repeat(width)).join("  "), ...rows.map(line)];
}

/** A share in percent, without the sign; "-" for what is not known. */
export function percent(share: number | undefined, digits = 1): string {
  return share === undefined ? "-" : (100 * share).toFixed(digits);
}
