import { GpuError, InputError } from "../../errors.js";

/**
 * An error's message, with options as the command line spells them.
 * @param error whatever was thrown
 */
export function messageOf(error: unknown): string {
  if (error instanceof InputError || error instanceof GpuError) return error.onCommandLine;
  return error instanceof Error ? error.message : String(error);
}
