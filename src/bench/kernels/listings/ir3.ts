// Reads what ir3, Mesa's compiler for Qualcomm's GPUs, prints: its statistics and its listing.
import type { KernelStats } from "../stats.js";
import { blocksOf, type Dialect, type Instruction, mainLoop } from "./blocks.js";
import { numberBefore, shaderHead } from "./text.js";

/** The instructions of ir3, Mesa's compiler for Qualcomm. */
export const ir3: Dialect = {
  isMatrix: () => false,
  multiplyAdds: (mnemonic) => Number(/^mad\.f(16|32)/.test(mnemonic)),
  isMove: (mnemonic) => /^(mov|nop)\b/.test(mnemonic),
};

/** The instructions of native code. */
export function ir3Listing(code: string): Instruction[] {
  const listing: Instruction[] = [];
  let labels: string[] = [];
  for (const line of code.split("\n")) {
    const label = /^(l\d+):/.exec(line)?.[1];
    if (label) labels.push(label);
    const found = /^((?:\([a-z]+\d*\) ?)*)([a-z][\w.]*)(.*)$/.exec(line);
    if (!found || label) continue;
    const [, marks = "", mnemonic = "", operands = ""] = found;
    const number = (mark: string) => Number(new RegExp(`\\(${mark}(\\d+)\\)`).exec(marks)?.[1] ?? 0);
    const target = /#(l\d+)/.exec(operands)?.[1];
    const isLast = mnemonic === "jump" || mnemonic === "end";
    // `(rpt2)`: two more times. `(nop3)`: three no-ops after it.
    const times = 1 + number("rpt");
    const nops = number("nop");
    listing.push({ labels, mnemonic, times, ...(target !== undefined && { target }), ...(isLast && { isLast }) });
    if (nops > 0) listing.push({ labels: [], mnemonic: "nop", times: nops });
    labels = [];
    // The rest only fills a cache line.
    if (mnemonic === "end") break;
  }
  return listing;
}

/** The figures of the last kernel in the output of this compiler; undefined if there is none. */
export function parseIr3(text: string): KernelStats | undefined {
  const plain = text.replace(/^MESA: info: ?/gm, "");
  const start = plain.lastIndexOf("\nNative code for");
  if (start < 0) return undefined;
  const code = plain.slice(start);
  const listing = ir3Listing(code);
  const waves = numberBefore(code, "max_waves");
  const stores = listing.filter(({ mnemonic }) => /^stp\b/.test(mnemonic));
  return {
    compiler: "ir3",
    instructions: numberBefore(code, "instr") ?? 0,
    // The driver counts vectors of four.
    registers: 4 * (numberBefore(code, "full") ?? 0),
    ...(waves !== undefined && { occupancy: { value: waves, unit: "waves" } }),
    spills: stores.length,
    privateBytes: 0,
    ...shaderHead(plain.slice(0, start)),
    loop: mainLoop(blocksOf(listing), ir3),
  };
}
