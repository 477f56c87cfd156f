// Texts for messages about files.

/**
 * A name from an untrusted file, safe to print in a one-line message: quoted, cut to 80 characters,
 * all but printable ASCII escaped. So a file cannot break the line or send codes to a terminal.
 */
export function shown(text: string): string {
  const cut = text.length > 80 ? `${text.slice(0, 77)}...` : text;
  const plain = cut.replace(/[^\x20-\x7e]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
  return `"${plain}"`;
}

/** A shape as text: [256, 9, 16, 16]. */
export function shownShape(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}
