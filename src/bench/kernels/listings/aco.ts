// Reads what ACO, Mesa's compiler for AMD's GPUs, prints: its statistics and its listing.
import type { KernelStats } from "../stats.js";
import { blocksOf, type Dialect, type Instruction, mainLoop } from "./blocks.js";
import { numberAfter, shaderHead } from "./text.js";

/** The instructions of ACO, Mesa's compiler for AMD. */
export const aco: Dialect = {
  isMatrix: (mnemonic) => /^v_s?wmma/.test(mnemonic),
  // RDNA 3 writes `::` between two instructions that are issued as one.
  multiplyAdds: (mnemonic) =>
    mnemonic.split("::").reduce((total, part) => {
      if (/^v_(pk_fma|pk_fmac|pk_mad|dot2)/.test(part)) return total + 2;
      return total + Number(/^v_(dual_)?(fma|mad|mac)[a-z]*(_mix(lo|hi)?)?_(legacy_)?f(16|32)/.test(part));
    }, 0),
  isMove: (mnemonic) =>
    mnemonic.split("::").every((part) => /^(v_(dual_)?mov_|v_swap_|s_mov|s_(nop|delay_alu|clause|wait))/.test(part)),
};

/** The instructions of a disassembly. */
export function acoListing(disassembly: string): Instruction[] {
  const listing: Instruction[] = [];
  let labels: string[] = [];
  for (const line of disassembly.split("\n")) {
    const label = /^(BB\d+):/.exec(line)?.[1];
    if (label) labels.push(label);
    const code = /^\s+([a-z]\w*)([^;]*);/.exec(line);
    if (!code) continue;
    const [, name = "", operands = ""] = code;
    const second = /:: (\w+)/.exec(operands)?.[1];
    const target = /^s_c?branch/.test(name) ? /BB\d+/.exec(operands)?.[0] : undefined;
    const isLast = name === "s_branch" || name === "s_endpgm";
    const mnemonic = second === undefined ? name : `${name}::${second}`;
    listing.push({ labels, mnemonic, ...(target !== undefined && { target }), ...(isLast && { isLast }) });
    labels = [];
  }
  return listing;
}

/** The figures of the last kernel in the output of this compiler; undefined if there is none. */
export function parseAco(text: string): KernelStats | undefined {
  const end = text.lastIndexOf("*** SHADER STATS ***");
  if (end < 0) return undefined;
  const statistics = text.slice(end);
  const start = text.lastIndexOf("\ndisasm:", end);
  const disassembly = start < 0 ? "" : text.slice(start, end);
  const waves = numberAfter(statistics, "Subgroups per SIMD");
  return {
    compiler: "aco",
    instructions: numberAfter(statistics, "Instructions") ?? 0,
    registers: numberAfter(statistics, "VGPRs") ?? 0,
    ...(waves !== undefined && { occupancy: { value: waves, unit: "waves/SIMD" } }),
    spills: numberAfter(statistics, "Spilled VGPRs") ?? 0,
    privateBytes: numberAfter(statistics, "Scratch size") ?? 0,
    ...shaderHead(text.slice(0, end)),
    workgroupBytes: numberAfter(statistics, "LDS size") ?? 0,
    cycles: numberAfter(statistics, "Latency"),
    loop: mainLoop(blocksOf(acoListing(disassembly)), aco),
  };
}
