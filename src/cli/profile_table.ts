import type { NodeProfile } from "../graph/program.js";

/** A table of where a step's GPU time goes: a row each op (or each node), the slowest first. */
export function profileTable(profiles: readonly NodeProfile[], by: "op" | "name" = "op"): string[] {
  const rows = new Map<string, { calls: number; ms: number; flops: number; bytes: number }>();
  for (const p of profiles) {
    const row = rows.get(p[by]) ?? { calls: 0, ms: 0, flops: 0, bytes: 0 };
    rows.set(p[by], {
      calls: row.calls + 1,
      ms: row.ms + p.ms,
      flops: row.flops + p.flops,
      bytes: row.bytes + p.bytes,
    });
  }
  const totalMs = profiles.reduce((sum, p) => sum + p.ms, 0);
  const width = Math.max(...[...rows.keys()].map((k) => k.length), 5);
  const line = (cells: string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(width) : cell.padStart(10))).join("  ");
  const format = (name: string, r: { calls: number; ms: number; flops: number; bytes: number }) =>
    line([
      name,
      String(r.calls),
      r.ms.toFixed(3),
      `${totalMs > 0 ? ((100 * r.ms) / totalMs).toFixed(1) : "-"} %`,
      (r.flops / r.ms / 1e6).toPrecision(3),
      (r.bytes / r.ms / 1e6).toPrecision(3),
    ]);
  const total = profiles.reduce(
    (sum, p) => ({ calls: sum.calls + 1, ms: sum.ms + p.ms, flops: sum.flops + p.flops, bytes: sum.bytes + p.bytes }),
    { calls: 0, ms: 0, flops: 0, bytes: 0 },
  );
  return [
    line(["", "dispatches", "ms", "share", "GFLOP/s", "GB/s"]),
    ...[...rows].sort(([, a], [, b]) => b.ms - a.ms).map(([name, row]) => format(name, row)),
    format("total", total),
  ];
}
