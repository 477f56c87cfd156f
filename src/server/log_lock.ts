// The lock of a folder, such as that of an event log: a file with the process that writes.
import { readFile, realpath, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../errors.js";
import { cannotWrite, isFull } from "../node/files/atomic.js";

/** Folders whose log this process has open. */
const openFolders = new Set<string>();

/**
 * Locks a folder.
 * @returns what ends the lock
 * @throws LogInUseError if a process that lives has the log open
 */
export async function takeLock(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, "lock");
  const real = await realpath(folder);
  if (openFolders.has(real)) throw new LogInUseError(folder, process.pid);
  const own = JSON.stringify({ pid: process.pid, started: await startOf(process.pid) });
  for (let tries = 0; ; tries++) {
    try {
      await writeFile(path, `${own}\n`, { flag: "wx" });
      openFolders.add(real);
      return async () => {
        openFolders.delete(real);
        await rm(path, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
        // A full disk may leave an empty one.
        if (isFull(error)) await rm(path, { force: true });
        throw cannotWrite(path, error);
      }
    }
    const holder = await readHolder(path);
    if (holder && (tries === 3 || (await isAlive(holder)))) throw new LogInUseError(folder, holder.pid);
    await rm(path, { force: true });
  }
}

/** Another process has the log open, or this one has. */
export class LogInUseError extends InputError {
  constructor(
    folder: string,
    readonly pid: number,
  ) {
    super(`${folder}: process ${pid} writes to it already; end it first, or choose another folder`);
  }
}

interface Holder {
  pid: number;
  started?: string;
}

/** The process that a lock names; undefined if it is unreadable, as a power cut leaves it. */
async function readHolder(path: string): Promise<Holder | undefined> {
  const value = await readFile(path, "utf8")
    .then(JSON.parse)
    .catch(() => undefined);
  const { pid, started } = (value ?? {}) as Partial<Holder>;
  if (typeof pid !== "number" || !Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return { pid, ...(typeof started === "string" && { started }) };
}

async function isAlive({ pid, started }: Holder): Promise<boolean> {
  // This process does not have it open: its number was another process's before.
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const now = await startOf(pid);
  if (now === "ended") return false;
  // Numbers of processes are used again, above all after a reboot and in containers.
  return now === undefined || started === undefined || now === started;
}

/** When a process started, as Linux counts it; "ended" if it only waits to be reaped. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // Behind the program's name, which may hold anything: the state, and 19 fields on the start.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return /^[ZX]$/.test(fields[0]) ? "ended" : `${boot} ${fields[19]}`;
  } catch {
    return undefined;
  }
}
