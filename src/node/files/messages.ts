// Text from outside, made fit for messages of one line.

/** Characters. */
const LONGEST = 300;

/**
 * Text from outside (a file name, a library's message) in one line, without control characters, cut
 * if it is long.
 */
export function oneLine(text: string): string {
  const clean = printable(text);
  return clean.length > LONGEST ? `${clean.slice(0, LONGEST)}…` : clean;
}

/** Text without control characters or line breaks, however long it is. */
export function printable(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it removes.
      .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
      .trim()
  );
}

/** Why something failed, in a few words. @param error whatever was thrown */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "ENOENT":
      return "no such file or folder";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "EISDIR":
      return "it is a folder";
    case "EEXIST":
      return "a file of that name exists";
    case "ENOTDIR":
      return "not a folder";
    default:
      return oneLine(error instanceof Error ? error.message : String(error));
  }
}
