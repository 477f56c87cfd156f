// Checks that files say what they are for: a file of src/ with more than one export begins with a
// comment. Part of tools/check-house.js.

/** How many names a file exports. @param code its text without comments and strings */
function exportsOf(code) {
  const pattern = /^export\b\s*(?:type\s*)?(?:\{([^}]*)\})?/gm;
  return [...code.matchAll(pattern)].reduce((count, [, list]) => {
    return count + (list === undefined ? 1 : list.split(",").filter((name) => name.trim()).length);
  }, 0);
}

/**
 * What is wrong with the first line of a file; undefined if it is sound.
 * @param text the file
 * @param code the same without comments and strings
 */
export function openingProblem(text, code) {
  if (/^\/[/*]/.test(text) || exportsOf(code) < 2) return undefined;
  return "a file with several exports begins with a comment that says what it is for";
}
