// Cuts a listing of machine code into blocks, and finds its main loop.
import type { LoopStats, MemoryBytes } from "../stats.js";

/** An instruction of a listing. */
export interface Instruction {
  /** Its label or address in the listing. */
  labels: readonly string[];
  mnemonic: string;
  /** How often it is issued, if the driver writes a repetition as one line. */
  times?: number;
  /** Label of a branch's target. */
  target?: string;
  /** Whether the next instruction never follows: after an unconditional branch, or the end. */
  isLast?: boolean;
}

/** Instructions that run one after the other. */
export interface Block {
  instructions: Instruction[];
  /** Blocks that may follow, by index. */
  successors: number[];
}

/** The kinds of a compiler's instructions. */
export interface Dialect {
  isMatrix(mnemonic: string): boolean;
  /** Number of multiply-adds of a lane. */
  multiplyAdds(mnemonic: string): number;
  /** Whether it moves between registers, does nothing, or waits. */
  isMove(mnemonic: string): boolean;
  /** Bytes that a lane loads or stores. */
  memoryBytes?(mnemonic: string): MemoryBytes;
}

/** Cuts a listing into blocks, where branches start and end. */
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

/** A loop: its blocks, including those of inner loops. */
interface Loop {
  body: ReadonlySet<number>;
  inner: readonly Loop[];
}

/** The loops among some blocks: sets in which every block can be reached from every other. */
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
    // Without the block where the loop is entered, the loops that remain are inner loops.
    const entry = [...body].find((i) => backward[i]?.some((from) => !body.has(from))) ?? block;
    loops.push({ body, inner: loopsAmong(blocks, new Set([...body].filter((i) => i !== entry))) });
  }
  return loops;
}

/** All loops, outer ones before inner ones. */
function allLoops(loops: readonly Loop[]): Loop[] {
  return loops.flatMap((loop) => [loop, ...allLoops(loop.inner)]);
}

/**
 * The loop with the most ops outside its inner loops; without a loop, the code from the first op to
 * the last.
 * @returns undefined if there are no ops
 */
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

/** Bytes that a lane loads and stores, each instruction counted once. */
export function memoryBytesOf(code: readonly Instruction[], dialect: Dialect): MemoryBytes | undefined {
  if (!dialect.memoryBytes) return undefined;
  const total = { workgroup: 0, global: 0 };
  for (const { mnemonic } of code) {
    const { workgroup, global } = dialect.memoryBytes(mnemonic);
    total.workgroup += workgroup;
    total.global += global;
  }
  return total;
}
