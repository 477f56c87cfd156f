// Writes events to a folder: a JSON file each, and copies of their pictures and clips.
import { createReadStream } from "node:fs";
import { extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { AtomicFile, makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";
import type { CameraEvent, Sink } from "../records.js";

/** Settings of a {@link folderSink}. */
export interface FolderOptions {
  /** In logs and metrics. */
  name: string;
  /** Made if it is missing. */
  folder: string;
  /** The data folder, which the files of events are in. Absent: they are not copied. */
  dataFolder?: string;
  /** Hears in one line of files that cannot be copied since they are not there. */
  onWarning?(message: string): void;
}

/**
 * A sink that writes `CAMERA/ID.json`, the latest state of each event. Once an event has ended or
 * its clip is there, its files are copied beside it: `ID.jpg`, `ID.mp4`. Each file appears whole or
 * not at all. Files that are gone or lie outside of the data folder are left out, with a warning.
 */
export function folderSink({ name, folder, dataFolder, onWarning = () => {} }: FolderOptions): Sink {
  return {
    name,
    async send({ change, event }, signal) {
      signal.throwIfAborted();
      const own = join(folder, fileName(event.camera));
      await makeFolder(own);
      if (dataFolder !== undefined && (change === "clip" || change === "end")) {
        for (const file of filesOf(event)) {
          const target = join(own, `${fileName(event.id)}${extname(file)}`);
          await copyInside(dataFolder, file, target, signal).catch((error: unknown) => {
            if (!(error instanceof Missing)) throw error;
            onWarning(`${name}: ${oneLine(file)}: ${error.message}`);
          });
        }
      }
      // Last, so that who sees it finds the files.
      await writeFileAtomic(join(own, `${fileName(event.id)}.json`), `${JSON.stringify(event, null, 2)}\n`);
    },
  };
}

/** A file that will not be there later either. */
class Missing extends Error {}

const filesOf = ({ snapshot, clip }: CameraEvent): string[] => [snapshot, clip].filter((file) => file !== undefined);

/** A name without what file systems refuse or give a meaning to. */
const fileName = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it replaces.
  text.replace(/[/\\:*?"<>|\u0000-\u001f]|^\.+/g, "_") || "_";

/**
 * Copies a file of the data folder.
 * @throws Missing if it is not there, or its path leads outside
 * @throws InputError if the copy cannot be written
 */
async function copyInside(dataFolder: string, file: string, target: string, signal: AbortSignal): Promise<void> {
  const path = resolve(dataFolder, file);
  const inside = relative(resolve(dataFolder), path);
  if (inside === "" || inside === ".." || inside.startsWith(`..${sep}`) || isAbsolute(inside)) {
    throw new Missing("is outside of the data folder");
  }
  const copy = await AtomicFile.create(target);
  try {
    for await (const chunk of createReadStream(path, { signal })) await copy.write(chunk as Buffer);
    await copy.commit();
  } catch (error) {
    if (/^(ENOENT|ENOTDIR|EISDIR)$/.test((error as NodeJS.ErrnoException).code ?? "")) {
      throw new Missing(reasonOf(error));
    }
    throw error;
  } finally {
    await copy.discard();
  }
}
