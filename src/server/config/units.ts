// Times and sizes as people write them in the configuration: "500 ms", "5 min", "20 GB".

const seconds: Readonly<Record<string, number>> = { ms: 0.001, s: 1, min: 60, h: 3600 };
const bytes: Readonly<Record<string, number>> = { B: 1, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

/** What {@link parseDuration} takes as text. */
export const durationPattern = /^\d{1,15}(\.\d{1,9})? ?(ms|s|min|h)$/;
/** What {@link parseBytes} takes as text. */
export const bytesPattern = /^\d{1,15}(\.\d{1,9})? ?([kK]B|[MGT]?B)$/;

/**
 * A time in seconds.
 * @param value a number of seconds, or a number with its unit: ms, s, min or h
 * @returns undefined if it is neither, or below 0
 */
export function parseDuration(value: number | string): number | undefined {
  return inUnits(value, durationPattern, seconds);
}

/**
 * A size in whole bytes.
 * @param value a number of bytes, or a number with its unit: B, kB, MB, GB or TB, powers of 1000
 * @returns undefined if it is neither, or below 0
 */
export function parseBytes(value: number | string): number | undefined {
  const found = inUnits(value, bytesPattern, bytes);
  return found === undefined ? undefined : Math.round(found);
}

function inUnits(value: number | string, pattern: RegExp, units: Readonly<Record<string, number>>): number | undefined {
  if (typeof value === "number") return value >= 0 ? value : undefined;
  if (!pattern.test(value)) return undefined;
  const unit = value.replace(/[\d. ]/g, "");
  const found = Number.parseFloat(value) * units[unit];
  // Without the rounding error of the product: 2.3 MB are 2,300,000 bytes.
  return Number(found.toPrecision(15));
}
