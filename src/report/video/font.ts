// Letters of 3 × 5 pixels, so that a video can be labelled without fonts.
const rows: Readonly<Record<string, string>> = {
  "0": "### #.# #.# #.# ###",
  "1": ".#. ##. .#. .#. ###",
  "2": "### ..# ### #.. ###",
  "3": "### ..# ### ..# ###",
  "4": "#.# #.# ### ..# ..#",
  "5": "### #.. ### ..# ###",
  "6": "### #.. ### #.# ###",
  "7": "### ..# ..# ..# ..#",
  "8": "### #.# ### #.# ###",
  "9": "### #.# ### ..# ###",
  A: ".#. #.# ### #.# #.#",
  C: "### #.. #.. #.. ###",
  D: "##. #.# #.# #.# ##.",
  E: "### #.. ##. #.. ###",
  F: "### #.. ##. #.. #..",
  H: "#.# #.# ### #.# #.#",
  L: "#.. #.. #.. #.. ###",
  M: "#.# ### ### #.# #.#",
  N: "##. #.# #.# #.# #.#",
  O: "### #.# #.# #.# ###",
  R: "##. #.# ##. #.# #.#",
  S: ".## #.. .#. ..# ##.",
  T: "### .#. .#. .#. .#.",
  V: "#.# #.# #.# #.# .#.",
  ".": "... ... ... ... .#.",
  ":": "... .#. ... .#. ...",
  "-": "... ... ### ... ...",
  "+": "... .#. ### .#. ...",
};

/** Columns from one letter to the next. */
export const letterAdvance = 4;
export const letterHeight = 5;

/** The pixels of a text, as [x, y] in font pixels. Letters that the font lacks are blank. */
export function textPixels(text: string): [number, number][] {
  return [...text.toUpperCase()].flatMap((letter, i) =>
    (rows[letter] ?? "")
      .split(" ")
      .flatMap((row, y) =>
        [...row].flatMap((dot, x): [number, number][] => (dot === "#" ? [[i * letterAdvance + x, y]] : [])),
      ),
  );
}
