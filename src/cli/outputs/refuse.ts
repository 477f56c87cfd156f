import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { InputError } from "../../errors.js";
import { AtomicFile } from "../../node/files/atomic.js";

/**
 * Checks, before minutes of measuring, that files can be written.
 * @param out the file of a plot
 * @throws InputError if one cannot be written, or `out` is not named *.html
 */
export async function refuseOutputs({ json, out }: { json?: string; out?: string }): Promise<void> {
  if (out !== undefined && !/\.html?$/i.test(out)) throw new InputError(`${out}: the plot's file must be named *.html`);
  for (const path of [out, json]) {
    if (path === undefined) continue;
    const folder = dirname(resolve(path));
    const isFolder = await stat(folder).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (!isFolder) throw new InputError(`${path}: there is no folder ${folder} to write it to`);
    const there = await stat(path).catch(() => undefined);
    if (there?.isDirectory()) throw new InputError(`${path}: cannot be written (it is a folder)`);
    await (await AtomicFile.create(path)).discard();
  }
}
