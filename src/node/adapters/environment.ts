import { dirname } from "node:path";
import { NoAdapterError } from "../../errors.js";
import type { AdapterDescription } from "../../gpu/gpu.js";
import { findLavapipe, lavapipeEnvironment } from "./lavapipe.js";
import { findSwiftShaderArchive, unpackSwiftShader } from "./swiftshader.js";
import { hasVulkanLoader } from "./vulkan.js";

/**
 * The environment variables with which another process, with its own Dawn, finds an adapter of this
 * kind on Linux. On other systems there is nothing to choose, so there are none. With `gpu` the
 * process finds what the system has, in Dawn's order.
 * @throws NoAdapterError if the driver is missing
 */
export async function adapterEnvironment(kind: AdapterDescription["kind"]): Promise<Record<string, string>> {
  if (process.platform !== "linux") return {};
  // The same vectors and threads as here. What is already set is inherited.
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
    if (!icd) throw new NoAdapterError(`the driver of the adapter ${kind} is not installed`);
    // If both are set, VK_DRIVER_FILES wins; old loaders know VK_ICD_FILENAMES only.
    environment.VK_DRIVER_FILES = icd;
    environment.VK_ICD_FILENAMES = icd;
  }
  return environment;
}
