// Mesa's software driver lavapipe: where it is, its vector width and its number of threads.
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism, homedir } from "node:os";
import { join } from "node:path";

/** The path of lavapipe's manifest, found where Vulkan loaders look; undefined if there is none. */
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

/** The variable for the bits of lavapipe's vectors. The driver reads it once, when it is loaded. */
const variable = "LP_NATIVE_VECTOR_WIDTH";

/**
 * Mesa 25.1, whose manifest says Vulkan 1.4.309, gathers with one instruction, and loads a value
 * that a subgroup shares once. Older Mesas do both lane by lane: they are slower with 16 lanes than
 * with 8.
 */
const firstPatch = 309;

/** What the settings depend on. */
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
 * The environment variables with which lavapipe computes with 512-bit vectors, if that pays. None
 * if the user has set the width, or wants kernels that need narrower vectors.
 */
export function wideVectors({ platform, arch, environment, processor, manifest }: Host): Record<string, string> {
  if (platform !== "linux" || arch !== "x64" || environment[variable] !== undefined) return {};
  // Its matrix units need narrow vectors.
  if (/^(matrix|split)$/.test(environment.SDMAE_KERNELS ?? "")) return {};
  try {
    const flags = /^flags\s*:(.*)$/m.exec(processor())?.[1]?.split(" ") ?? [];
    if (!["avx512f", "avx512bw", "avx512dq", "avx512vl"].every((flag) => flags.includes(flag))) return {};
    const { ICD } = JSON.parse(manifest() ?? "null") as { ICD: { api_version: string } };
    const [major = 0, minor = 0, patch = 0] = ICD.api_version.split(".").map(Number);
    const isNew = major > 1 || (major === 1 && (minor > 4 || (minor === 4 && patch >= firstPatch)));
    return isNew ? { [variable]: "512" } : {};
  } catch {
    // No /proc, or a manifest without a version. lavapipe's own width is never wrong.
    return {};
  }
}

/**
 * Two threads per processor were measured on two processors (docs/performance.md); with many,
 * nothing is known.
 */
const fewProcessors = 4;

/**
 * The environment variables for two threads per processor, if there are few processors. None if the
 * user has set the number of threads. lavapipe divides a dispatch evenly among its threads before
 * it runs. So with one thread per processor, a thread that has to wait delays the whole dispatch.
 */
export function threads({ platform, environment, processors }: Host): Record<string, string> {
  const isSet = environment.LP_NUM_THREADS !== undefined;
  return platform !== "linux" || isSet || processors > fewProcessors ? {} : { LP_NUM_THREADS: `${2 * processors}` };
}

/** The environment variables of {@link wideVectors} and {@link threads} for this machine. */
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
