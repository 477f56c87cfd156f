import { afterEach, expect, it, vi } from "vitest";
import { Progress } from "../../../src/cli/terminal/progress.js";

/**
 * The rows of a terminal after `written` was written to it. It knows only what progress bars use,
 * and does not wrap text.
 */
function screen(written: string): string[] {
  const rows: string[] = [""];
  let [row, column] = [0, 0];
  let saved = [0, 0];
  for (const [, part, command, mode, text] of written.matchAll(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are controlled by them
    /(\x1b(?:([78])|\[(?:\?\d+[hl]|(\d*[GK]))))|([\s\S])/g,
  )) {
    if (text === "\n") [row, column] = [row + 1, 0];
    else if (text === "\r") column = 0;
    else if (text !== undefined) {
      const line = (rows[row] ?? "").padEnd(column);
      rows[row] = line.slice(0, column) + text + line.slice(column + 1);
      column++;
    } else if (command === "7") saved = [row, column];
    else if (command === "8") [row, column] = saved as [number, number];
    else if (mode === "2K") rows[row] = "";
    else if (mode === "0K" || mode === "K") rows[row] = (rows[row] ?? "").slice(0, column);
    else if (mode?.endsWith("G")) column = Number(mode.slice(0, -1) || 1) - 1;
    else if (mode !== undefined) throw new Error(`the terminal does not know ${JSON.stringify(part)}`);
    while (rows.length <= row) rows.push("");
  }
  return rows.map((line) => line.trimEnd());
}

/** A terminal that both streams write to. */
function terminal(): { readonly rows: string[] } {
  let written = "";
  const write = (data: string | Uint8Array) => {
    written += String(data);
    return true;
  };
  vi.spyOn(process.stdout, "write").mockImplementation(write);
  vi.spyOn(process.stderr, "write").mockImplementation(write);
  Object.defineProperty(process.stderr, "isTTY", { value: true, configurable: true });
  return {
    get rows() {
      return screen(written);
    },
  };
}

const wasTty = process.stderr.isTTY;
afterEach(() => {
  vi.restoreAllMocks();
  Object.defineProperty(process.stderr, "isTTY", { value: wasTty, configurable: true });
});

it("keeps the bar below printed lines, and removes it at the end", () => {
  const seen = terminal();
  const progress = new Progress("frames", 4, false);
  progress.advance(1);
  progress.print("first");
  progress.advance(1, "a note");
  progress.print("second", process.stderr);
  expect(seen.rows.slice(0, 2)).toEqual(["first", "second"]);
  expect(seen.rows[2]).toMatch(/^█+░+ 50% \| 2\/4 frames \| .* \| a note$/);
  progress.advance(2);
  progress.stop();
  progress.print("third");
  expect(seen.rows).toEqual(["first", "second", "third", ""]);
});

it("does not overwrite lines of others, written where the bar began", () => {
  const seen = terminal();
  process.stderr.write("before\n");
  const progress = new Progress("frames", 2, false);
  // From code that does not know of the bar.
  process.stderr.write("\nfrom elsewhere\n");
  progress.print("a row");
  progress.stop();
  const { rows } = seen;
  expect(rows[0]).toBe("before");
  expect(rows.slice(2)).toEqual(["from elsewhere", "a row", ""]);
});
