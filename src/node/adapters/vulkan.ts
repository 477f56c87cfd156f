// Vulkan on Linux: what the system has of it, and what must be set before Dawn loads it.
import { readdirSync } from "node:fs";
import { constants, homedir } from "node:os";
import { join } from "node:path";
import { lavapipeEnvironment } from "./lavapipe.js";
import { findSwiftShaderArchive, type SwiftShader, unpackSwiftShader } from "./swiftshader.js";

/**
 * Whether the system has any Vulkan driver. Without one, asking Dawn for adapters prints warnings
 * and finds none. True on systems other than Linux.
 */
export function hasVulkanDriver(): boolean {
  if (process.platform !== "linux") return true;
  if (["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"].some((name) => process.env[name])) return true;
  const home = process.env.XDG_DATA_HOME ?? join(homedir(), ".local", "share");
  const shared = (process.env.XDG_DATA_DIRS || "/usr/local/share:/usr/share").split(":");
  const config = (process.env.XDG_CONFIG_DIRS || "/etc/xdg").split(":");
  return [home, ...shared, ...config, "/etc"].some((folder) => {
    try {
      return readdirSync(join(folder, "vulkan", "icd.d")).some((file) => file.endsWith(".json"));
    } catch {
      return false;
    }
  });
}

/** Whether the system's own Vulkan loader can be loaded. */
export function hasVulkanLoader(): boolean {
  return loadLibrary("libvulkan.so.1");
}

/**
 * Loads a shared library and keeps it loaded. Dawn's later dlopen of its name then finds it
 * although it is on no search path: glibc looks among the loaded libraries by soname first.
 * `process.dlopen` fails because the library is not a Node addon, but it is loaded all the same.
 */
function loadLibrary(path: string): boolean {
  const nodelete = 0x1000; // RTLD_NODELETE: Node closes a library that is not an addon
  try {
    process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL | nodelete);
    return true;
  } catch (error) {
    return /did not self-register/.test(String(error));
  }
}

/**
 * Sets the environment that drivers read when they are loaded, and makes sure that Dawn finds a
 * Vulkan loader on Linux. Call it before Dawn is created.
 * @param archive SwiftShader's; undefined: looked for, null: none
 * @returns a function that unpacks SwiftShader; it gives undefined if there is no archive
 */
export async function prepareVulkan(archive?: string | null): Promise<() => Promise<SwiftShader | undefined>> {
  Object.assign(process.env, lavapipeEnvironment());
  const found = archive === undefined ? findSwiftShaderArchive() : (archive ?? undefined);
  const unpack = async () => (found ? await unpackSwiftShader(found) : undefined);
  if (process.platform === "linux" && !hasVulkanLoader()) {
    const swiftShader = await unpack();
    if (swiftShader) loadLibrary(swiftShader.loader);
  }
  return unpack;
}

/**
 * Runs `use` while Vulkan is restricted to one driver.
 * @param icd path of the driver's manifest
 */
export async function withDriver<T>(icd: string, use: () => Promise<T>): Promise<T> {
  // If both are set, VK_DRIVER_FILES wins; old loaders know VK_ICD_FILENAMES only.
  const names = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] as const;
  const before = names.map((name) => process.env[name]);
  for (const name of names) process.env[name] = icd;
  try {
    return await use();
  } finally {
    names.forEach((name, i) => {
      const value = before[i];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    });
  }
}
