/** Reads what Mesa's drivers print of the machine code that they made of a kernel: its size, registers, occupancy and inner loop. */

/** The environment that makes the drivers print statistics. They read it when they load. */
export const statisticsSwitches: Readonly<Record<string, string>> = {
  MESA_SHADER_CACHE_DISABLE: "true",
  NAK_DEBUG: "print",
  RADV_DEBUG: "shaderstats,nocache",
  IR3_SHADER_DEBUG: "cs",
  AGX_MESA_DEBUG: "shaderdb",
};

/** The environment that makes them print the machine code too. */
export const driverSwitches: Readonly<Record<string, string>> = {
  ...statisticsSwitches,
  RADV_DEBUG: "shaderstats,shaders,nocache",
  AGX_MESA_DEBUG: "shaders,shaderdb",
};

/** The part of a kernel that does most of its arithmetic. */
export interface LoopStats {
  /** What `ops` counts: instructions of matrix units, or multiply-adds of a lane. A packed instruction does two. */
  op: "matrix" | "multiply-add";
  ops: number;
  /** Instructions of the whole loop, without moves between registers and no-ops. */
  instructions: number;
  /** The moves and no-ops. */
  moves: number;
  /** Ops of the whole kernel. */
  totalOps: number;
  /** Bytes that a lane loads and stores in the loop, where the compiler's listing says it. */
  memoryBytes?: MemoryBytes;
  /**
   * Why the count is not that of one plain loop. `unrolled`: no loop holds ops, so it goes from the first op to the last. `nested`: it has
   * inner loops, which are counted as if they ran once.
   */
  note?: "unrolled" | "nested";
}

/** Bytes that a lane loads from and stores to memory. */
export interface MemoryBytes {
  workgroup: number;
  global: number;
}

/** What is known of a kernel's machine code. */
export interface KernelStats {
  /** The compiler: of NVIDIA, AMD, Qualcomm, Apple. */
  compiler: "nak" | "aco" | "ir3" | "agx";
  instructions: number;
  /** Registers of 32 bits that a lane has. */
  registers: number;
  /** How much is resident at once, as the driver says. NAK looks at registers alone. */
  occupancy?: { value: number; unit: "warps/SM" | "waves/SIMD" | "waves" | "threads" };
  /** Values that are kept in memory since there are too few registers. */
  spills: number;
  /** Bytes of memory that a lane has of its own: what was spilled, and arrays with computed indices. */
  privateBytes: number;
  /** Bytes of workgroup memory. */
  workgroupBytes: number;
  /** Invocations of a workgroup. */
  invocations?: number;
  /** The driver's own estimate. */
  cycles?: number;
  /** Of all instructions, each counted once. */
  memoryBytes?: MemoryBytes;
  loop?: LoopStats;
}

/** An instruction of a listing. */
export interface Instruction {
  /** What the listing calls it: a label or an address. */
  labels: readonly string[];
  mnemonic: string;
  /** How often it is issued: some drivers write a repetition as one line. */
  times?: number;
  /** Where a branch goes. */
  target?: string;
  /** Whether the next instruction never follows: an unconditional branch, or the end. */
  isLast?: boolean;
}

/** Instructions that run from the first to the last. */
export interface Block {
  instructions: Instruction[];
  /** Blocks that may follow, by index. */
  successors: number[];
}

/** How to tell a compiler's instructions apart. */
export interface Dialect {
  isMatrix(mnemonic: string): boolean;
  /** Multiply-adds that a lane does in it. */
  multiplyAdds(mnemonic: string): number;
  /** Moves between registers, no-ops and waits: the compiler's own. */
  isMove(mnemonic: string): boolean;
  /** Bytes that a lane loads or stores by it. */
  memoryBytes?(mnemonic: string): MemoryBytes;
}

/** Cuts a listing where branches start and end. */
export function blocksOf(listing: readonly Instruction[]): Block[] {
  const targets = new Set(listing.flatMap(({ target }) => target ?? []));
  const blocks: Block[] = [];
  const starts = new Map<string, number>();
  let block: Block | undefined;
  for (const instruction of listing) {
    if (!block || instruction.labels.some((label) => targets.has(label))) {
      block = { instructions: [], successors: [] };
      blocks.push(block);
    }
    for (const label of instruction.labels) starts.set(label, blocks.length - 1);
    block.instructions.push(instruction);
    if (instruction.target !== undefined || instruction.isLast) block = undefined;
  }
  for (const [i, { instructions, successors }] of blocks.entries()) {
    const { target, isLast } = instructions.at(-1) as Instruction;
    const to = target === undefined ? undefined : starts.get(target);
    if (to !== undefined) successors.push(to);
    if (!isLast && i + 1 < blocks.length && to !== i + 1) successors.push(i + 1);
  }
  return blocks;
}

/** A loop: its blocks, those of inner loops among them. */
interface Loop {
  body: ReadonlySet<number>;
  inner: readonly Loop[];
}

/** The loops among some of the blocks: parts in which each block can be reached from each other one. */
function loopsAmong(blocks: readonly Block[], among: ReadonlySet<number>): Loop[] {
  const forward = blocks.map(({ successors }) => successors);
  const backward = blocks.map((): number[] => []);
  for (const [i, successors] of forward.entries()) for (const to of successors) backward[to]?.push(i);
  const reach = (from: number, edges: readonly (readonly number[])[]) => {
    const reached = new Set<number>();
    const open = [from];
    for (let block = open.pop(); block !== undefined; block = open.pop()) {
      for (const to of edges[block] ?? []) {
        if (!among.has(to) || reached.has(to)) continue;
        reached.add(to);
        open.push(to);
      }
    }
    return reached;
  };
  const loops: Loop[] = [];
  const done = new Set<number>();
  for (const block of among) {
    if (done.has(block)) continue;
    const after = reach(block, forward);
    if (!after.has(block)) continue;
    const before = reach(block, backward);
    const body = new Set([...after].filter((i) => before.has(i)));
    for (const i of body) done.add(i);
    // Without the block where it is entered, what still goes round is an inner loop.
    const entry = [...body].find((i) => backward[i]?.some((from) => !body.has(from))) ?? block;
    loops.push({ body, inner: loopsAmong(blocks, new Set([...body].filter((i) => i !== entry))) });
  }
  return loops;
}

/** All loops, outer ones before those inside of them. */
function allLoops(loops: readonly Loop[]): Loop[] {
  return loops.flatMap((loop) => [loop, ...allLoops(loop.inner)]);
}

/** The loop that holds the most ops, those of inner loops left aside. Without one, the code from the first op to the last. */
export function mainLoop(blocks: readonly Block[], dialect: Dialect): LoopStats | undefined {
  const all = blocks.flatMap(({ instructions }) => instructions);
  const op = all.some(({ mnemonic }) => dialect.isMatrix(mnemonic)) ? "matrix" : "multiply-add";
  const opsOf = ({ mnemonic, times = 1 }: Instruction) =>
    times * (op === "matrix" ? Number(dialect.isMatrix(mnemonic)) : dialect.multiplyAdds(mnemonic));
  const sum = (code: readonly Instruction[], of: (instruction: Instruction) => number) =>
    code.reduce((total, instruction) => total + of(instruction), 0);
  const totalOps = sum(all, opsOf);
  if (totalOps === 0) return undefined;
  const stats = (code: readonly Instruction[], note?: LoopStats["note"]): LoopStats => {
    const moves = sum(code, ({ mnemonic, times = 1 }) => (dialect.isMove(mnemonic) ? times : 0));
    const instructions = sum(code, ({ times = 1 }) => times) - moves;
    const memoryBytes = memoryBytesOf(code, dialect);
    return {
      ...{ op, ops: sum(code, opsOf), instructions, moves, totalOps },
      ...(memoryBytes && { memoryBytes }),
      ...(note && { note }),
    };
  };
  const codeOf = (body: Iterable<number>) => [...body].flatMap((i) => blocks[i]?.instructions ?? []);
  const main = { body: new Set<number>() as ReadonlySet<number>, isNested: false, ops: 0 };
  for (const { body, inner } of allLoops(loopsAmong(blocks, new Set(blocks.keys())))) {
    const own = [...body].filter((i) => !inner.some((loop) => loop.body.has(i)));
    const ops = sum(codeOf(own), opsOf);
    if (ops > main.ops) Object.assign(main, { body, isNested: inner.length > 0, ops });
  }
  if (main.ops > 0) return stats(codeOf(main.body), main.isNested ? "nested" : undefined);
  const first = all.findIndex((instruction) => opsOf(instruction) > 0);
  const last = all.findLastIndex((instruction) => opsOf(instruction) > 0);
  return stats(all.slice(first, last + 1), "unrolled");
}

function memoryBytesOf(code: readonly Instruction[], dialect: Dialect): MemoryBytes | undefined {
  if (!dialect.memoryBytes) return undefined;
  const total = { workgroup: 0, global: 0 };
  for (const { mnemonic } of code) {
    const { workgroup, global } = dialect.memoryBytes(mnemonic);
    total.workgroup += workgroup;
    total.global += global;
  }
  return total;
}

/** A number behind a name and a colon. */
function numberAfter(text: string, name: string): number | undefined {
  const found = new RegExp(`^\\s*${name}:\\s*(-?\\d+)`, "m").exec(text);
  return found ? Number(found[1]) : undefined;
}

/** A number in front of a word. */
function numberBefore(text: string, word: string): number | undefined {
  const found = new RegExp(`(\\d+) ${word}\\b`).exec(text);
  return found ? Number(found[1]) : undefined;
}

/** What every driver prints of the shader before it compiles it. */
function shaderHead(text: string): Pick<KernelStats, "workgroupBytes" | "invocations"> {
  const size = /^workgroup_size: (\d+), (\d+), (\d+)/m.exec(text);
  return {
    workgroupBytes: numberAfter(text, "shared_size") ?? 0,
    ...(size && { invocations: Number(size[1]) * Number(size[2]) * Number(size[3]) }),
  };
}

/** NVIDIA, by Mesa's NAK. */
export const nak: Dialect = {
  isMatrix: (mnemonic) => /^[hi]mma\b/.test(mnemonic),
  multiplyAdds: (mnemonic) => (/^ffma\b/.test(mnemonic) ? 1 : /^hfma2\b/.test(mnemonic) ? 2 : 0),
  isMove: (mnemonic) => /^(mov|nop)\b/.test(mnemonic),
  memoryBytes: (mnemonic) => {
    // `ldsm.16.m8n8.x4` loads four matrices of 8x8 halves: 4 bytes of each for a lane.
    const matrices = /^ldsm\b.*\.x(\d)/.exec(mnemonic)?.[1];
    if (matrices !== undefined) return { workgroup: 4 * Number(matrices), global: 0 };
    const [, space, bits] = /^(?:ld|st)\.(shared|global)\..*\.[bui](\d+)$/.exec(mnemonic) ?? [];
    const bytes = Number(bits ?? 0) / 8;
    return { workgroup: space === "shared" ? bytes : 0, global: space === "global" ? bytes : 0 };
  },
};

/** The blocks of a listing of NAK, which writes them out itself. */
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

function parseNak(text: string): KernelStats | undefined {
  const stage = text.lastIndexOf("\nStage: compute");
  if (stage < 0) return undefined;
  const statistics = text.slice(stage);
  // The last listing is the machine code; those before it are the compiler's steps.
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

/** AMD, by Mesa's ACO. */
export const aco: Dialect = {
  isMatrix: (mnemonic) => /^v_s?wmma/.test(mnemonic),
  // RDNA 3 writes two instructions that are issued as one with `::` between them.
  multiplyAdds: (mnemonic) =>
    mnemonic.split("::").reduce((total, part) => {
      if (/^v_(pk_fma|pk_fmac|pk_mad|dot2)/.test(part)) return total + 2;
      return total + Number(/^v_(dual_)?(fma|mad|mac)[a-z]*(_mix(lo|hi)?)?_(legacy_)?f(16|32)/.test(part));
    }, 0),
  isMove: (mnemonic) =>
    mnemonic.split("::").every((part) => /^(v_(dual_)?mov_|v_swap_|s_mov|s_(nop|delay_alu|clause|wait))/.test(part)),
};

/** The instructions of a disassembly of ACO. */
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

function parseAco(text: string): KernelStats | undefined {
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

/** Qualcomm, by Mesa's ir3. */
export const ir3: Dialect = {
  isMatrix: () => false,
  multiplyAdds: (mnemonic) => Number(/^mad\.f(16|32)/.test(mnemonic)),
  isMove: (mnemonic) => /^(mov|nop)\b/.test(mnemonic),
};

/** The instructions of ir3's native code. */
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
    // `(rpt2)`: twice more. `(nop3)`: three no-ops behind it.
    const times = 1 + number("rpt");
    const nops = number("nop");
    listing.push({ labels, mnemonic, times, ...(target !== undefined && { target }), ...(isLast && { isLast }) });
    if (nops > 0) listing.push({ labels: [], mnemonic: "nop", times: nops });
    labels = [];
    // What follows the end fills a cache line.
    if (mnemonic === "end") break;
  }
  return listing;
}

function parseIr3(text: string): KernelStats | undefined {
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
    // It counts vectors of four.
    registers: 4 * (numberBefore(code, "full") ?? 0),
    ...(waves !== undefined && { occupancy: { value: waves, unit: "waves" } }),
    spills: stores.length,
    privateBytes: 0,
    ...shaderHead(plain.slice(0, start)),
    loop: mainLoop(blocksOf(listing), ir3),
  };
}

/** Apple, by Mesa's AGX compiler. */
export const agx: Dialect = {
  isMatrix: () => false,
  multiplyAdds: (mnemonic) => Number(/^[fh]fma/.test(mnemonic)),
  isMove: (mnemonic) => /^(mov|ldimm|nop|wait)\b/.test(mnemonic),
};

/** The instructions of an AGX disassembly: `  7e: 00c09effffff           jmp_any  -98`. */
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

function parseAgx(text: string): KernelStats | undefined {
  const line = [...text.matchAll(/^CS shader: .*$/gm)].at(-1)?.[0];
  if (line === undefined) return undefined;
  // Kernels have a preamble, which is disassembled as well: the kernel is the longer one.
  const listings = text.split(/^(?=\s+0: [0-9a-f]{4,}\s)/m).map(agxListing);
  const listing = listings.reduce((longest, one) => (one.length > longest.length ? one : longest), []);
  const [spills = 0] = (/(\d+):\d+ spills:fills/.exec(line)?.slice(1) ?? []).map(Number);
  const threads = numberBefore(line, "threads");
  return {
    compiler: "agx",
    instructions: numberBefore(line, "instrs") ?? 0,
    // It names the last half that is used.
    registers: Math.ceil(((numberBefore(line, "gprs") ?? 0) + 1) / 2),
    ...(threads !== undefined && { occupancy: { value: threads, unit: "threads" } }),
    spills,
    privateBytes: numberBefore(line, "scratch") ?? 0,
    ...shaderHead(text),
    loop: mainLoop(blocksOf(listing), agx),
  };
}

/** The last kernel of what a driver printed, whichever driver it was. */
export function parseDriverOutput(text: string): KernelStats | undefined {
  return parseNak(text) ?? parseAco(text) ?? parseIr3(text) ?? parseAgx(text);
}
