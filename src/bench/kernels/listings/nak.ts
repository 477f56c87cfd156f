// Reads what NAK, Mesa's compiler for NVIDIA's GPUs, prints: its statistics and its listing.
import type { KernelStats } from "../stats.js";
import { type Block, type Dialect, mainLoop, memoryBytesOf } from "./blocks.js";
import { numberAfter, shaderHead } from "./text.js";

/** The instructions of NAK, Mesa's compiler for NVIDIA. */
export const nak: Dialect = {
  isMatrix: (mnemonic) => /^[hi]mma\b/.test(mnemonic),
  multiplyAdds: (mnemonic) => (/^ffma\b/.test(mnemonic) ? 1 : /^hfma2\b/.test(mnemonic) ? 2 : 0),
  isMove: (mnemonic) => /^(mov|nop)\b/.test(mnemonic),
  memoryBytes: (mnemonic) => {
    // `ldsm.16.m8n8.x4` loads four matrices of 8x8 halves: 4 bytes of each per lane.
    const matrices = /^ldsm\b.*\.x(\d)/.exec(mnemonic)?.[1];
    if (matrices !== undefined) return { workgroup: 4 * Number(matrices), global: 0 };
    const [, space, bits] = /^(?:ld|st)\.(shared|global)\..*\.[bui](\d+)$/.exec(mnemonic) ?? [];
    const bytes = Number(bits ?? 0) / 8;
    return { workgroup: space === "shared" ? bytes : 0, global: space === "global" ? bytes : 0 };
  },
};

/** The blocks of a listing, which NAK writes out itself. */
export function nakBlocks(listing: string): Block[] {
  const blocks: Block[] = [];
  let block: Block | undefined;
  for (const line of listing.split("\n")) {
    const closes = /^\} -> \[([\d, ]*)\]/.exec(line);
    if (/^block(\.\w+)? \d+ /.test(line)) {
      block = { instructions: [], successors: [] };
      blocks.push(block);
    } else if (closes) {
      if (block) block.successors = (closes[1]?.match(/\d+/g) ?? []).map(Number);
      block = undefined;
    } else if (block) {
      // `@!p0 r1 p0 = iadd3 r2 …  // delay=1`: a predicate, results, the instruction.
      const code = line.replace(/\/\/.*/, "").replace(/^\s*@\S+/, "");
      const mnemonic = code
        .replace(/^.* = /, "")
        .trim()
        .split(/\s/)[0];
      if (mnemonic) block.instructions.push({ labels: [], mnemonic });
    }
  }
  return blocks;
}

/** The figures of the last kernel in the output of this compiler; undefined if there is none. */
export function parseNak(text: string): KernelStats | undefined {
  const stage = text.lastIndexOf("\nStage: compute");
  if (stage < 0) return undefined;
  const statistics = text.slice(stage);
  // The last listing is the machine code; earlier ones are the compiler's steps.
  const listing = text.slice(text.lastIndexOf("\nNAK IR", stage), stage);
  const warps = numberAfter(statistics, "Max warps/SM");
  const blocks = nakBlocks(listing);
  return {
    compiler: "nak",
    instructions: numberAfter(statistics, "Instruction count") ?? 0,
    registers: numberAfter(statistics, "Num GPRs") ?? 0,
    ...(warps !== undefined && { occupancy: { value: warps, unit: "warps/SM" } }),
    spills: numberAfter(statistics, "Spills to mem") ?? 0,
    privateBytes: numberAfter(statistics, "SLM size") ?? 0,
    ...shaderHead(text.slice(0, stage)),
    cycles: numberAfter(statistics, "Static cycle count"),
    memoryBytes: memoryBytesOf(
      blocks.flatMap(({ instructions }) => instructions),
      nak,
    ),
    loop: mainLoop(blocks, nak),
  };
}
