/**
 * A name out of a foreign file, made fit for a one-line message: quoted, cut to 80 characters, and with everything but
 * printable ASCII escaped, so that a file can neither break the line nor send codes to a terminal.
 */
export function shown(text: string): string {
  const cut = text.length > 80 ? `${text.slice(0, 77)}...` : text;
  const plain = cut.replace(/[^\x20-\x7e]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
  return `"${plain}"`;
}

/** A shape as it is usually written: [256, 9, 16, 16]. */
export function shownShape(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}
