// Mesa's software driver lavapipe: where it is, and with which vectors and threads it should compute.
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism, homedir } from "node:os";
import { join } from "node:path";

/** Lavapipe's manifest, where Vulkan loaders look. */
export function findLavapipe(): string | undefined {
  const given = (process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES ?? "").split(":");
  const roots = [
    process.env.XDG_CONFIG_HOME ?? join(homedir(), ".config"),
    "/etc/xdg",
    "/etc",
    process.env.XDG_DATA_HOME ?? join(homedir(), ".local", "share"),
    ...(process.env.XDG_DATA_DIRS || "/usr/local/share:/usr/share").split(":"),
  ];
  const manifests = roots.flatMap((root) => {
    const folder = join(root, "vulkan", "icd.d");
    try {
      return readdirSync(folder).map((name) => join(folder, name));
    } catch {
      return [];
    }
  });
  return [...given, ...manifests].find((path) => /[\\/]lvp_icd[^\\/]*\.json$/.test(path));
}

/** The variable that sets the bits of lavapipe's vectors. It counts if it is set before the driver is loaded. */
const variable = "LP_NATIVE_VECTOR_WIDTH";

/**
 * The patch of the first Vulkan 1.4 in the manifest of a Mesa (25.1) that gathers by one instruction and loads what is the same for a
 * subgroup once. Older ones do both lane by lane: with 16 lanes they are slower than with 8.
 */
const firstPatch = 309;

/** What the settings go by. */
export interface Host {
  platform: string;
  arch: string;
  environment: Readonly<Record<string, string | undefined>>;
  /** Processors that this process may use. */
  processors: number;
  /** The text of /proc/cpuinfo. */
  processor: () => string;
  /** The text of lavapipe's manifest. */
  manifest: () => string | undefined;
}

/**
 * Environment variables for lavapipe to compute with 512-bit vectors where that pays: none where the user has set the width, or asks for
 * kernels that need narrower ones.
 */
export function wideVectors({ platform, arch, environment, processor, manifest }: Host): Record<string, string> {
  if (platform !== "linux" || arch !== "x64" || environment[variable] !== undefined) return {};
  // Its matrix units go with narrow vectors only.
  if (/^(matrix|split)$/.test(environment.SDMAE_KERNELS ?? "")) return {};
  try {
    const flags = /^flags\s*:(.*)$/m.exec(processor())?.[1]?.split(" ") ?? [];
    if (!["avx512f", "avx512bw", "avx512dq", "avx512vl"].every((flag) => flags.includes(flag))) return {};
    const { ICD } = JSON.parse(manifest() ?? "null") as { ICD: { api_version: string } };
    const [major = 0, minor = 0, patch = 0] = ICD.api_version.split(".").map(Number);
    const isNew = major > 1 || (major === 1 && (minor > 4 || (minor === 4 && patch >= firstPatch)));
    return isNew ? { [variable]: "512" } : {};
  } catch {
    // No /proc, or no manifest that says what it is of: lavapipe's own width is never wrong.
    return {};
  }
}

/** Two threads a processor were measured on two (docs/performance.md). With more than so many, nothing is known. */
const fewProcessors = 4;

/**
 * Environment variables for two threads a processor, where there are few: none where the user has set their number. lavapipe divides a
 * dispatch evenly among its threads before it runs. With one thread a processor, a thread that has to wait delays the whole dispatch.
 */
export function threads({ platform, environment, processors }: Host): Record<string, string> {
  const isSet = environment.LP_NUM_THREADS !== undefined;
  return platform !== "linux" || isSet || processors > fewProcessors ? {} : { LP_NUM_THREADS: `${2 * processors}` };
}

/** Environment variables for lavapipe in this process and its children, to be set before the driver is loaded. */
export function lavapipeEnvironment(): Record<string, string> {
  const host: Host = {
    platform: process.platform,
    arch: process.arch,
    environment: process.env,
    processors: availableParallelism(),
    processor: () => readFileSync("/proc/cpuinfo", "utf8"),
    manifest: () => {
      const path = findLavapipe();
      return path === undefined ? undefined : readFileSync(path, "utf8");
    },
  };
  return { ...wideVectors(host), ...threads(host) };
}
