// SwiftShader, a Vulkan driver on the CPU, as npm brings it: finds its archive and unpacks it once.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { brotliDecompressSync } from "node:zlib";
import { extract } from "tar-stream";
import { mkdirs } from "../files/atomic.js";

/** SwiftShader, unpacked: paths. */
export interface SwiftShader {
  /** The driver's manifest, for VK_DRIVER_FILES. */
  icd: string;
  /** The Vulkan loader that comes with it, for machines that have none. */
  loader: string;
}

const files = ["libvk_swiftshader.so", "libvulkan.so.1", "vk_swiftshader_icd.json"];

/**
 * Finds the archive in npm's optional package; undefined if that is not installed, or if this is
 * not Linux x64.
 */
export function findSwiftShaderArchive(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  try {
    let folder = dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium"));
    while (folder !== dirname(folder)) {
      const archive = join(folder, "bin", "swiftshader.tar.br");
      if (existsSync(archive)) return archive;
      folder = dirname(folder);
    }
  } catch {
    // Not installed: it is an optional dependency.
  }
  return undefined;
}

/**
 * The folder for things that are made once and used again: SDMAE_CACHE, else the user's cache
 * folder.
 */
export function cacheFolder(): string {
  return process.env.SDMAE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "sdmae");
}

/**
 * Unpacks the archive, once: into the cache folder, or into a temporary folder if that cannot be
 * written.
 * @throws Error if the archive lacks one of the files
 */
export async function unpackSwiftShader(archive: string): Promise<SwiftShader> {
  const packageJson = await readFile(join(dirname(archive), "..", "package.json"), "utf8");
  const { version } = JSON.parse(packageJson) as { version: string };
  const folder = join(cacheFolder(), `swiftshader-${version}`);
  if (isComplete(folder)) return locate(folder);
  let scratch: string;
  try {
    await mkdirs(cacheFolder());
    scratch = await mkdtemp(join(cacheFolder(), "unpacking-"));
  } catch {
    scratch = await mkdtemp(join(tmpdir(), "sdmae-swiftshader-"));
    await unpackInto(archive, scratch);
    return locate(scratch);
  }
  try {
    await unpackInto(archive, scratch);
    // Another process may have been faster. It unpacked the same files.
    await rename(scratch, folder).catch((error: unknown) => {
      if (!isComplete(folder)) throw error;
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return locate(folder);
}

function isComplete(folder: string): boolean {
  return files.every((file) => existsSync(join(folder, file)));
}

function locate(folder: string): SwiftShader {
  return { icd: join(folder, "vk_swiftshader_icd.json"), loader: join(folder, "libvulkan.so.1") };
}

async function unpackInto(archive: string, folder: string): Promise<void> {
  const entries = Readable.from([brotliDecompressSync(await readFile(archive))]).pipe(extract());
  for await (const entry of entries) {
    if (!files.includes(entry.header.name)) {
      entry.resume();
      continue;
    }
    const parts: Uint8Array[] = [];
    for await (const part of entry) parts.push(part as Uint8Array);
    await writeFile(join(folder, entry.header.name), Buffer.concat(parts), { mode: 0o755 });
  }
  if (!isComplete(folder)) throw new Error(`${archive} does not contain ${files.join(", ")}`);
}
