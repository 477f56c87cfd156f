import { dirname } from "node:path";
import { NoAdapterError } from "../../errors.js";
import type { AdapterDescription } from "../../gpu/gpu.js";
import { findLavapipe, lavapipeEnvironment } from "./lavapipe.js";
import { findSwiftShaderArchive, hasVulkanLoader, unpackSwiftShader } from "./swiftshader.js";

/**
 * Environment variables with which another process with a Dawn of its own finds an adapter of this kind, on Linux; elsewhere there is
 * nothing to choose. For `gpu` it finds what the system has, in the order that Dawn prefers.
 * @throws NoAdapterError where the driver is not here
 */
export async function adapterEnvironment(kind: AdapterDescription["kind"]): Promise<Record<string, string>> {
  if (process.platform !== "linux") return {};
  // The same vectors and threads as here: what is set by now is inherited.
  const environment: Record<string, string> = kind === "lavapipe" ? lavapipeEnvironment() : {};
  const archive = findSwiftShaderArchive();
  const swiftShader =
    archive && (kind === "swiftshader" || !hasVulkanLoader()) ? await unpackSwiftShader(archive) : undefined;
  if (swiftShader && !hasVulkanLoader()) {
    const paths = [dirname(swiftShader.loader), process.env.LD_LIBRARY_PATH];
    environment.LD_LIBRARY_PATH = paths.filter(Boolean).join(":");
  }
  if (kind === "swiftshader" || kind === "lavapipe") {
    const icd = kind === "swiftshader" ? swiftShader?.icd : findLavapipe();
    if (!icd) throw new NoAdapterError(`the driver of the adapter ${kind} is not here`);
    // VK_DRIVER_FILES goes before VK_ICD_FILENAMES where both are set; old loaders know the latter only.
    environment.VK_DRIVER_FILES = icd;
    environment.VK_ICD_FILENAMES = icd;
  }
  return environment;
}
