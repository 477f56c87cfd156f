// The figures of a kernel's machine code, as a driver prints them (driver_output.ts).

/** The part of a kernel that does most of its arithmetic. */
export interface LoopStats {
  /**
   * What `ops` counts: instructions of matrix units, or multiply-adds of a lane, two for a packed
   * instruction.
   */
  op: "matrix" | "multiply-add";
  ops: number;
  /** Instructions of the whole loop, without {@link moves}. */
  instructions: number;
  /** Moves between registers, and no-ops. */
  moves: number;
  /** Ops of the whole kernel. */
  totalOps: number;
  /** Bytes that a lane loads and stores in the loop, if the listing says it. */
  memoryBytes?: MemoryBytes;
  /**
   * Set if the code is not one plain loop. `unrolled`: no loop has ops, so the code from the first
   * op to the last is counted. `nested`: inner loops are counted as if they ran once.
   */
  note?: "unrolled" | "nested";
}

/** Bytes that a lane loads from and stores to memory. */
export interface MemoryBytes {
  workgroup: number;
  global: number;
}

/** The figures of a kernel's machine code. */
export interface KernelStats {
  /** The compiler, for NVIDIA, AMD, Qualcomm or Apple. */
  compiler: "nak" | "aco" | "ir3" | "agx";
  instructions: number;
  /** 32-bit registers of a lane. */
  registers: number;
  /** What is resident at once, as the driver says. NAK takes only registers into account. */
  occupancy?: { value: number; unit: "warps/SM" | "waves/SIMD" | "waves" | "threads" };
  /** Values that are kept in memory because registers ran out. */
  spills: number;
  /** Bytes of private memory of a lane: spilled values, and arrays with computed indices. */
  privateBytes: number;
  /** Bytes of workgroup memory. */
  workgroupBytes: number;
  /** Invocations of a workgroup. */
  invocations?: number;
  /** The driver's estimate. */
  cycles?: number;
  /** Of all instructions, each counted once. */
  memoryBytes?: MemoryBytes;
  loop?: LoopStats;
}
