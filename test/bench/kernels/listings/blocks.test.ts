import { describe, expect, it } from "vitest";
import {
  type Block,
  blocksOf,
  type Dialect,
  type Instruction,
  mainLoop,
} from "../../../../src/bench/kernels/listings/blocks.js";

describe("the main loop", () => {
  const dialect: Dialect = {
    isMatrix: (mnemonic) => mnemonic === "matrix",
    multiplyAdds: (mnemonic) => Number(mnemonic === "fma"),
    isMove: (mnemonic) => mnemonic === "mov",
  };
  const block = (code: string, ...successors: number[]): Block => ({
    instructions: code.split(" ").map((mnemonic): Instruction => ({ labels: [], mnemonic })),
    successors,
  });

  it("is the loop with the most ops", () => {
    const blocks = [block("a fma", 1), block("fma b", 1, 2), block("fma fma mov c c", 2, 3), block("fma")];
    expect(mainLoop(blocks, dialect)).toEqual({ op: "multiply-add", ops: 2, instructions: 4, moves: 1, totalOps: 5 });
  });

  it("includes blocks behind conditions", () => {
    const blocks = [block("a", 1), block("fma", 2, 3), block("b b", 3), block("c", 1, 4), block("d")];
    expect(mainLoop(blocks, dialect)).toMatchObject({ ops: 1, instructions: 4 });
  });

  it("is chosen without the ops of inner loops, but its figures count them once", () => {
    const inner = [block("a", 1), block("b", 2), block("fma fma", 2, 3), block("fma", 1, 4), block("d")];
    expect(mainLoop(inner, dialect)).toEqual({ op: "multiply-add", ops: 2, instructions: 2, moves: 0, totalOps: 3 });
    const outer = [block("a", 1), block("b", 2), block("fma", 2, 3), block("fma fma", 1, 4), block("d")];
    expect(mainLoop(outer, dialect)).toMatchObject({ ops: 3, instructions: 4, note: "nested" });
  });

  it("can be entered in its middle", () => {
    const blocks = [block("a a a", 2), block("b", 2), block("fma", 1, 3), block("c")];
    expect(mainLoop(blocks, dialect)).toMatchObject({ ops: 1, instructions: 2 });
  });

  it("is the code from the first op to the last if no loop has ops", () => {
    const blocks = [block("a fma b", 1), block("mov", 1, 2), block("c fma d")];
    expect(mainLoop(blocks, dialect)).toEqual({
      ...{ op: "multiply-add", ops: 2, instructions: 4, moves: 1, totalOps: 2 },
      note: "unrolled",
    });
  });

  it("counts only matrix operations if there are any, and is undefined without ops", () => {
    const blocks = [block("a", 1), block("fma fma fma", 1, 2), block("matrix fma b", 2, 3), block("c")];
    expect(mainLoop(blocks, dialect)).toEqual({ op: "matrix", ops: 1, instructions: 3, moves: 0, totalOps: 1 });
    expect(mainLoop([block("a b c")], dialect)).toBeUndefined();
    expect(mainLoop([], dialect)).toBeUndefined();
  });
});

describe("a listing", () => {
  it("is cut into blocks where branches start and end", () => {
    const listing: Instruction[] = [
      { labels: [], mnemonic: "a" },
      { labels: ["x"], mnemonic: "b" },
      { labels: [], mnemonic: "if", target: "y" },
      { labels: ["unused"], mnemonic: "c" },
      { labels: [], mnemonic: "jump", target: "x", isLast: true },
      { labels: ["y"], mnemonic: "end", isLast: true },
    ];
    const blocks = blocksOf(listing).map(({ instructions, successors }) => [
      instructions.map(({ mnemonic }) => mnemonic).join(" "),
      successors,
    ]);
    expect(blocks).toEqual([
      ["a", [1]],
      ["b if", [3, 2]],
      ["c jump", [1]],
      ["end", []],
    ]);
  });
});
