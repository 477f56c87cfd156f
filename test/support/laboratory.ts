import { existsSync } from "node:fs";
import { join } from "node:path";

/** The folder of the driver laboratory (tools/gpu-lab.sh). */
export const laboratory = process.env.SDMAE_GPU_LAB || process.env.GPU_LAB || "/opt/gpu-lab";

/** Why nothing can be run in the laboratory, if nothing can. */
export function laboratoryMissing(): string | undefined {
  if (!existsSync(join(laboratory, ".ready"))) return `the driver laboratory is not set up in ${laboratory}`;
  return process.getuid?.() === 0 ? undefined : "only root can run commands in the driver laboratory";
}
