// Finds numbers in what drivers print.
import type { KernelStats } from "../stats.js";

/** The number after a name and a colon. */
export function numberAfter(text: string, name: string): number | undefined {
  const found = new RegExp(`^\\s*${name}:\\s*(-?\\d+)`, "m").exec(text);
  return found ? Number(found[1]) : undefined;
}

/** The number before a word. */
export function numberBefore(text: string, word: string): number | undefined {
  const found = new RegExp(`(\\d+) ${word}\\b`).exec(text);
  return found ? Number(found[1]) : undefined;
}

/** The lines that every driver prints about a shader before it compiles it. */
export function shaderHead(text: string): Pick<KernelStats, "workgroupBytes" | "invocations"> {
  const size = /^workgroup_size: (\d+), (\d+), (\d+)/m.exec(text);
  return {
    workgroupBytes: numberAfter(text, "shared_size") ?? 0,
    ...(size && { invocations: Number(size[1]) * Number(size[2]) * Number(size[3]) }),
  };
}
