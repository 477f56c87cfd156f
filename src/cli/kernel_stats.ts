/** Reads what Mesa's drivers print of the machine code that they made of a kernel: sizes, occupancy, and its inner loop. */

/** The environment that makes the drivers print it. They read it when they load. */
export const driverSwitches: Readonly<Record<string, string>> = {
  MESA_SHADER_CACHE_DISABLE: "true",
  NAK_DEBUG: "print",
  RADV_DEBUG: "shaderstats,shaders,nocache",
  IR3_SHADER_DEBUG: "cs",
  AGX_MESA_DEBUG: "shaders,shaderdb",
};

/** How much of a kernel is resident at once. */
export interface Occupancy {
  value: number;
  /** What is counted. */
  unit: "warps/SM" | "waves/SIMD" | "threads" | "waves";
}

/** The part of a kernel that does most of its arithmetic. */
export interface LoopStats {
  /** What `ops` counts: instructions for matrix units, or multiply-adds of a lane (a packed instruction has two). */
  op: "matrix" | "multiply-add";
  ops: number;
  /** Instructions of the whole loop, without moves between registers and no-ops. */
  instructions: number;
  /** The moves and no-ops. */
  moves: number;
  /** Multiply-adds of all loops, and outside of loops too. */
  totalOps: number;
  /** Why it is not one plain loop: `unrolled` (from the first op to the last), or `nested` (inner loops without ops are counted once). */
  note?: "unrolled" | "nested";
}

/** What is known of a kernel's machine code. */
export interface KernelStats {
  instructions: number;
  registers: number;
  occupancy?: Occupancy;
  /** Values that are kept in memory since there are too few registers. */
  spills: number;
  /** Bytes of workgroup memory. */
  workgroupBytes?: number;
  /** Invocations of a workgroup. */
  invocations?: number;
  /** The driver's own estimate. */
  cycles?: number;
  loop?: LoopStats;
}

/** A stretch of machine code that is run from its first instruction to its last. */
export interface Block {
  /** Mnemonics. */
  instructions: string[];
  /** Blocks that may follow, by index. */
  successors: number[];
}

/** How to tell a driver's instructions apart. */
interface Dialect {
  isMatrix(mnemonic: string): boolean;
  /** Multiply-adds that a lane does in it. */
  multiplyAdds(mnemonic: string): number;
  /** Moves between registers and no-ops: what a compiler adds for itself. */
  isMove(mnemonic: string): boolean;
}

/** Blocks of each loop, inner ones included, by the block that it begins with. */
function loopsOf(blocks: readonly Block[]): Map<number, Set<number>> {
  const predecessors = blocks.map((): number[] => []);
  for (const [i, { successors }] of blocks.entries()) for (const to of successors) predecessors[to]?.push(i);
  const loops = new Map<number, Set<number>>();
  for (const [i, { successors }] of blocks.entries()) {
    for (const header of successors) {
      // Drivers lay blocks out in an order in which only loops go back.
      if (header > i) continue;
      const body = loops.get(header) ?? new Set([header]);
      loops.set(header, body);
      const open = [i];
      for (let block = open.pop(); block !== undefined; block = open.pop()) {
        if (body.has(block)) continue;
        body.add(block);
        open.push(...(predecessors[block] ?? []));
      }
    }
  }
  return loops;
}

/** The innermost loop that holds the most ops; without one the code from the first op to the last. */
export function mainLoop(blocks: readonly Block[], dialect: Dialect): LoopStats | undefined {
  const all = blocks.flatMap(({ instructions }) => instructions);
  const op = all.some(dialect.isMatrix) ? "matrix" : "multiply-add";
  const opsOf = (mnemonic: string) =>
    op === "matrix" ? Number(dialect.isMatrix(mnemonic)) : dialect.multiplyAdds(mnemonic);
  const count = (mnemonics: readonly string[]) => mnemonics.reduce((sum, mnemonic) => sum + opsOf(mnemonic), 0);
  const totalOps = count(all);
  if (totalOps === 0) return undefined;
  const of = (mnemonics: readonly string[], note?: LoopStats["note"]): LoopStats => {
    const moves = mnemonics.filter(dialect.isMove).length;
    const instructions = mnemonics.length - moves;
    return { op, ops: count(mnemonics), instructions, moves, totalOps, ...(note && { note }) };
  };
  const loops = [...loopsOf(blocks)].map(([header, body]) => {
    const code = [...body].flatMap((i) => blocks[i]?.instructions ?? []);
    return { header, body, code, ops: count(code) };
  });
  const inside = ({ header, body }: (typeof loops)[number]) =>
    loops.filter((other) => other.header !== header && body.has(other.header));
  const innermost = loops.filter((loop) => loop.ops > 0 && inside(loop).every(({ ops }) => ops === 0));
  if (innermost.length === 0) {
    const first = all.findIndex((mnemonic) => opsOf(mnemonic) > 0);
    const last = all.findLastIndex((mnemonic) => opsOf(mnemonic) > 0);
    return of(all.slice(first, last + 1), "unrolled");
  }
  const main = innermost.reduce((best, loop) => (loop.ops > best.ops ? loop : best));
  return of(main.code, inside(main).length > 0 ? "nested" : undefined);
}

/** A number behind a name in the driver's text. */
function numberAfter(text: string, name: string): number | undefined {
  const found = new RegExp(`^\\s*${name}:\\s*(-?\\d+)`, "m").exec(text);
  return found ? Number(found[1]) : undefined;
}

/** NVIDIA's machine code, as NAK prints it. */
const nakDialect: Dialect = {
  isMatrix: (mnemonic) => /^[hi]mma\b/.test(mnemonic),
  multiplyAdds: (mnemonic) => (/^ffma\b/.test(mnemonic) ? 1 : /^hfma2\b/.test(mnemonic) ? 2 : 0),
  // prmt picks bytes of two registers: it moves float16 values to their place in a pair.
  isMove: (mnemonic) => /^(mov|prmt|nop)\b/.test(mnemonic),
};

/** The blocks of a listing of NAK. */
export function nakBlocks(listing: string): Block[] {
  const blocks = new Map<number, Block>();
  let block: Block | undefined;
  for (const line of listing.split("\n")) {
    const opens = /^block(?:\.\w+)? (\d+) /.exec(line);
    const closes = /^\} -> \[([\d, ]*)\]/.exec(line);
    if (opens) {
      block = { instructions: [], successors: [] };
      blocks.set(Number(opens[1]), block);
    } else if (closes) {
      if (block) block.successors = (closes[1]?.match(/\d+/g) ?? []).map(Number);
      block = undefined;
    } else if (block && line.trim() !== "") {
      const code = line.replace(/\/\/.*/, "").replace(/^\s*@!?\w+/, "");
      const mnemonic = code
        .slice(code.lastIndexOf(" = ") + 1)
        .replace(/^= /, "")
        .trim()
        .split(/\s/)[0];
      if (mnemonic) block.instructions.push(mnemonic);
    }
  }
  const count = Math.max(-1, ...blocks.keys()) + 1;
  return Array.from({ length: count }, (_, i) => blocks.get(i) ?? { instructions: [], successors: [] });
}

/** Every kernel in what NVK printed. */
function parseNak(text: string): KernelStats[] {
  const found: KernelStats[] = [];
  for (let at = 0; ; ) {
    const stage = text.indexOf("\nStage: compute", at);
    if (stage < 0) return found;
    const end = text.indexOf("\nEncoded shader", stage);
    const statistics = text.slice(stage, end < 0 ? undefined : end);
    // The last listing is the machine code; those before it are the compiler's steps.
    const listing = text.slice(text.lastIndexOf("\nNAK IR", stage), stage);
    const headers = text.slice(at, stage);
    const size = /^workgroup_size: (\d+), (\d+), (\d+)/m.exec(headers);
    const warps = numberAfter(statistics, "Max warps/SM");
    const loop = mainLoop(nakBlocks(listing), nakDialect);
    found.push({
      instructions: numberAfter(statistics, "Instruction count") ?? 0,
      registers: numberAfter(statistics, "Num GPRs") ?? 0,
      ...(warps !== undefined && { occupancy: { value: warps, unit: "warps/SM" } }),
      spills: numberAfter(statistics, "Spills to mem") ?? 0,
      workgroupBytes: numberAfter(headers, "shared_size") ?? 0,
      ...(size && { invocations: Number(size[1]) * Number(size[2]) * Number(size[3]) }),
      cycles: numberAfter(statistics, "Static cycle count"),
      ...(loop && { loop }),
    });
    at = stage + 1;
  }
}

/** Every kernel in what a driver printed, whichever driver it was. */
export function parseDriverOutput(text: string): KernelStats[] {
  return parseNak(text);
}
