/** Lines of a table: the first column to the left, the others to the right, a line under the head. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join("  ")
      .trimEnd();
  return [line(head), widths.map((width) => "─".repeat(width)).join("  "), ...rows.map(line)];
}

/** A share in percent, without the sign; "-" for what is not known. */
export function percent(share: number | undefined, digits = 1): string {
  return share === undefined ? "-" : (100 * share).toFixed(digits);
}

/** A column of a table whose rows are printed as they are known: its width, below 0 for one to the left. */
export type Column = readonly [head: string, width: number];

/** A line of such a table. */
export function tableRow(columns: readonly Column[], cells: readonly string[]): string {
  const padded = columns.map(([, width], i) => {
    const cell = cells[i] ?? "";
    return width < 0 ? cell.padEnd(-width) : cell.padStart(width);
  });
  return padded.join("  ").trimEnd();
}

/** The two lines above them. */
export function tableHead(columns: readonly Column[]): string[] {
  const heads = columns.map(([head]) => head);
  const lines = columns.map(([head, width]) => "─".repeat(Math.abs(width) || head.length));
  return [tableRow(columns, heads), lines.join("  ")];
}
