import type { NodeProfile } from "../../graph/program.js";

interface Row {
  dispatches: number;
  ms: number;
  flops: number;
  bytes: number;
}

/**
 * A table of where a step's GPU time goes: a row per op, the slowest first. FLOPs and bytes are
 * what an op needs at least (its `cost`).
 */
export function profileTable(profiles: readonly NodeProfile[]): string[] {
  const rows = new Map<string, Row>();
  const total: Row = { dispatches: 0, ms: 0, flops: 0, bytes: 0 };
  for (const profile of profiles) {
    const row = rows.get(profile.op) ?? { dispatches: 0, ms: 0, flops: 0, bytes: 0 };
    rows.set(profile.op, row);
    for (const sum of [row, total]) {
      sum.dispatches += profile.dispatches;
      sum.ms += profile.ms;
      sum.flops += profile.flops;
      sum.bytes += profile.bytes;
    }
  }
  const width = Math.max(...[...rows.keys()].map((k) => k.length), 5);
  const line = (cells: string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(width) : cell.padStart(10))).join("  ");
  const format = (name: string, { dispatches, ms, flops, bytes }: Row) =>
    line([
      ...[name, String(dispatches), ms.toFixed(3), `${total.ms > 0 ? ((100 * ms) / total.ms).toFixed(1) : "-"} %`],
      ...[(flops / 1e6).toFixed(1), (bytes / 1e6).toFixed(2)],
      ...[(flops / ms / 1e6).toPrecision(3), (bytes / ms / 1e6).toPrecision(3)],
    ]);
  return [
    line(["op", "dispatches", "ms", "share", "MFLOP", "MB moved", "GFLOP/s", "GB/s"]),
    ...[...rows].sort(([, a], [, b]) => b.ms - a.ms).map(([name, row]) => format(name, row)),
    format("total", total),
  ];
}
