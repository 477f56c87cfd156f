// Numbers as the pages show them.
const MINUS = "\u2212";
const NONE = "\u2013";

/** Replaces the hyphen by a true minus sign. */
const signed = (text: string) => text.replace(/^-/, MINUS);

/** Two decimals, "87.31". @param value in percent */
export function percent(value: number | null | undefined): string {
  return value == null ? NONE : signed(value.toFixed(2));
}

/** {@link percent} of a share, 0…1. */
export function share(value: number | null | undefined): string {
  return percent(value == null ? null : 100 * value);
}

/** A difference in percentage points, "+1.20". */
export function difference(value: number): string {
  const text = value.toFixed(2);
  return Number(text) === 0 ? "\u00b10.00" : signed(value > 0 ? `+${text}` : text);
}

/** A score, with four significant digits. */
export function score(value: number | null | undefined): string {
  if (value == null) return NONE;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) return signed(value.toExponential(3));
  return signed(size >= 1000 ? value.toFixed(0) : value.toPrecision(4));
}

/** Seconds as "12.3 s" or "2:03.4". */
export function time(seconds: number | null | undefined): string {
  if (seconds == null) return NONE;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const tenths = Math.round(seconds * 10);
  const [minutes, rest] = [Math.floor(tenths / 600), ((tenths % 600) / 10).toFixed(1)];
  return `${minutes}:${rest.padStart(4, "0")}`;
}

/** Seconds in the two largest units, "1 h 23 min". */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null) return NONE;
  const units = [
    ["d", 86_400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ] as const;
  const rounded = seconds < 3600 ? Math.round(seconds) : 60 * Math.round(seconds / 60);
  const first = units.findIndex(([, size]) => rounded >= size);
  if (first < 0) return "0 s";
  let rest = rounded;
  const parts = units.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count > 0 ? `${count} ${unit}` : "";
  });
  return parts.filter((part) => part !== "").join(" ");
}

/**
 * The values of an axis, with as many decimals as needed to distinguish them.
 * @param step their distance
 */
export function ticks(values: readonly number[], step: number): string[] {
  if (step < 1e-5)
    return values.map((value) => signed(value === 0 ? "0" : Number(value.toPrecision(6)).toExponential()));
  // 0.25 needs two decimals, though it is above 0.1.
  let decimals = 0;
  while (decimals < 6 && Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-6) decimals++;
  return values.map((value) => signed(value.toFixed(decimals)));
}

/** The name of a label. @param value 0 or 1 */
export function label(value: number | null | undefined): string {
  return value == null ? NONE : value === 1 ? "abnormal" : "normal";
}
