// What processes take of the processor and of memory, by Linux's /proc.
import { readdir, readFile } from "node:fs/promises";

/** What some processes took. */
export interface Taken {
  /** Seconds of the processor since they began. */
  cpu: number;
  /** Bytes of memory that are theirs or shared. */
  rss: number;
}

/** Of the supervisor, the engine, and all runs of ffmpeg. */
export interface ProcessesTaken {
  supervisor: Taken;
  engine: Taken;
  ffmpeg: Taken;
}

/** Ticks per second in /proc/PID/stat, and bytes of a page in it. */
const TICKS = 100;
const PAGE = 4096;

/**
 * What a watch process and its children took so far. Children that have ended are runs of ffmpeg.
 * @returns undefined if the system does not tell
 */
export async function processesTaken(
  supervisor: number,
  engines: readonly number[],
): Promise<ProcessesTaken | undefined> {
  const own = await statOf(supervisor);
  if (!own) return undefined;
  const taken = { supervisor: own, engine: { cpu: 0, rss: 0 }, ffmpeg: { cpu: own.ended, rss: 0 } };
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    const stat = Number.isInteger(pid) ? await statOf(pid) : undefined;
    if (stat?.parent !== supervisor) continue;
    const part = engines.includes(pid) ? taken.engine : taken.ffmpeg;
    part.cpu += stat.cpu;
    part.rss += stat.rss;
  }
  return taken;
}

/** What one process took so far. @returns undefined if the system does not tell */
export async function takenBy(pid: number): Promise<Taken | undefined> {
  const stat = await statOf(pid);
  return stat && { cpu: stat.cpu, rss: stat.rss };
}

/** @returns `ended`: seconds of its children that are gone; undefined without such a process */
async function statOf(pid: number): Promise<(Taken & { parent: number; ended: number }) | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // Behind the name, which may hold anything, are the state, the parent, …
  const fields = text
    ?.slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  if (!fields) return undefined;
  const [, parent] = fields;
  const [user, system, endedUser, endedSystem] = fields.slice(11, 15);
  return { parent, cpu: (user + system) / TICKS, ended: (endedUser + endedSystem) / TICKS, rss: PAGE * fields[21] };
}
