// Reads what Mesa's compiler for Apple's GPUs prints: its statistics and its listing.
import type { KernelStats } from "../stats.js";
import { blocksOf, type Dialect, type Instruction, mainLoop } from "./blocks.js";
import { numberBefore, shaderHead } from "./text.js";

/** The instructions of Mesa's AGX compiler, for Apple. */
export const agx: Dialect = {
  isMatrix: () => false,
  multiplyAdds: (mnemonic) => Number(/^[fh]fma/.test(mnemonic)),
  isMove: (mnemonic) => /^(mov|ldimm|nop|wait)\b/.test(mnemonic),
};

/** The instructions of a disassembly: `  7e: 00c09effffff           jmp_any  -98`. */
export function agxListing(disassembly: string): Instruction[] {
  return [...disassembly.matchAll(/^\s*([0-9a-f]+): [0-9a-f]{4,}\s+(\w+)(.*)$/gm)].map(
    ([, offset = "", mnemonic = "", operands = ""]) => {
      const distance = /^jmp/.test(mnemonic) ? /-?\d+/.exec(operands)?.[0] : undefined;
      return {
        labels: [offset],
        mnemonic,
        ...(distance !== undefined && { target: (Number.parseInt(offset, 16) + Number(distance)).toString(16) }),
        ...(mnemonic === "stop" && { isLast: true }),
      };
    },
  );
}

/** The figures of the last kernel in the output of this compiler; undefined if there is none. */
export function parseAgx(text: string): KernelStats | undefined {
  const line = [...text.matchAll(/^CS shader: .*$/gm)].at(-1)?.[0];
  if (line === undefined) return undefined;
  // A kernel's preamble is listed as well; the kernel is the longer listing.
  const listings = text.split(/^(?=\s+0: [0-9a-f]{4,}\s)/m).map(agxListing);
  const listing = listings.reduce((longest, one) => (one.length > longest.length ? one : longest), []);
  const [spills = 0] = (/(\d+):\d+ spills:fills/.exec(line)?.slice(1) ?? []).map(Number);
  const threads = numberBefore(line, "threads");
  return {
    compiler: "agx",
    instructions: numberBefore(line, "instrs") ?? 0,
    // The number of the last 16-bit half that is used.
    registers: Math.ceil(((numberBefore(line, "gprs") ?? 0) + 1) / 2),
    ...(threads !== undefined && { occupancy: { value: threads, unit: "threads" } }),
    spills,
    privateBytes: numberBefore(line, "scratch") ?? 0,
    ...shaderHead(text),
    loop: mainLoop(blocksOf(listing), agx),
  };
}
