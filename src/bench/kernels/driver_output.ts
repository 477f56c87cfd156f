// Makes Mesa's drivers print the machine code that they make of a kernel, and reads its figures.
import { parseAco } from "./listings/aco.js";
import { parseAgx } from "./listings/agx.js";
import { parseIr3 } from "./listings/ir3.js";
import { parseNak } from "./listings/nak.js";
import type { KernelStats } from "./stats.js";

/**
 * Environment variables that make the drivers print statistics. They are read when a driver loads.
 */
export const statisticsSwitches: Readonly<Record<string, string>> = {
  MESA_SHADER_CACHE_DISABLE: "true",
  NAK_DEBUG: "print",
  RADV_DEBUG: "shaderstats,nocache",
  IR3_SHADER_DEBUG: "cs",
  AGX_MESA_DEBUG: "shaderdb",
};

/** Environment variables that make them print the machine code too. */
export const driverSwitches: Readonly<Record<string, string>> = {
  ...statisticsSwitches,
  RADV_DEBUG: "shaderstats,shaders,nocache",
  AGX_MESA_DEBUG: "shaders,shaderdb",
};

/** The figures of the last kernel that a driver printed; undefined if it printed none. */
export function parseDriverOutput(text: string): KernelStats | undefined {
  return parseNak(text) ?? parseAco(text) ?? parseIr3(text) ?? parseAgx(text);
}
