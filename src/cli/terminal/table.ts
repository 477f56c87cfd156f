/**
 * Lines of a table with a rule under its head: first column aligned left, the others right.
 * @param words the last column holds words, aligned left
 */
export function table(head: readonly string[], rows: readonly (readonly string[])[], words = false): string[] {
  const isLeft = (column: number) => column === 0 || (words && column === head.length - 1);
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (isLeft(i) ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join("  ")
      .trimEnd();
  return [line(head), widths.map((width) => "─".repeat(width)).join("  "), ...rows.map(line)];
}

/** A share in percent, without the sign; "-" if undefined. */
export function percent(share: number | undefined, digits = 1): string {
  return share === undefined ? "-" : (100 * share).toFixed(digits);
}

/** A column of a table whose rows are printed one by one; a width below 0 aligns it left. */
export type Column = readonly [head: string, width: number];

/** A line of such a table. */
export function tableRow(columns: readonly Column[], cells: readonly string[]): string {
  const padded = columns.map(([, width], i) => {
    const cell = cells[i] ?? "";
    return width < 0 ? cell.padEnd(-width) : cell.padStart(width);
  });
  return padded.join("  ").trimEnd();
}

/** The head of such a table: two lines. */
export function tableHead(columns: readonly Column[]): string[] {
  const heads = columns.map(([head]) => head);
  const lines = columns.map(([head, width]) => "─".repeat(Math.abs(width) || head.length));
  return [tableRow(columns, heads), lines.join("  ")];
}
