import { InvalidArgumentError, Option } from "commander";
import { type PseudoAnomalyOptions, pseudoAnomalyDefaults } from "../../data/anomalies/pseudo_anomaly.js";
import { InputError } from "../../errors.js";
import { numberIn } from "./parse.js";

/**
 * The options behind {@link PseudoAnomalyOptions}, without defaults: what was not given is absent.
 * @param presets those whose defaults may differ from the usual ones, which is said then
 */
export function pseudoOptions(presets: Readonly<Record<string, PseudoAnomalyOptions>> = {}): Option[] {
  const option = (
    flags: string,
    description: string,
    name: keyof PseudoAnomalyOptions,
    parser: (text: string) => unknown,
  ) => {
    const usual = shown(pseudoAnomalyDefaults[name]);
    const others = Object.entries(presets).flatMap(([preset, options]) => {
      const own = shown(options[name]);
      return own === usual ? [] : [`${preset}: ${own}`];
    });
    return new Option(flags, `${description} (default: ${[usual, ...others].join("; ")})`).argParser(parser);
  };
  const share = numberIn(0, 1);
  return [
    option("--speedup <share>", "share of speed-ups; the rest are cut-outs", "speedup", share),
    option("--pieces <share>", "share of small pieces of what moves, as if thrown", "pieces", share),
    option("--piece-size <least-most>", "size of a piece against what it is cut from", "pieceSize", rangeIn(0.02, 1)),
    option("--speed <least-most>", "how many times as fast a speed-up runs, whole numbers", "speed", rangeIn(2, 6, 1)),
    option("--scale <least-most>", "size of a cut-out against its own", "scale", rangeIn(0.1, 10)),
    option("--shift <least-most>", "a cut-out's way in 3 frames, in frame heights", "shift", rangeIn(0, 1)),
    option("--rotation <degrees>", "largest angle that a cut-out is turned by", "rotation", numberIn(0, 180)),
    option("--gain <least-most>", "factor on a cut-out's colours", "gain", rangeIn(0, 10)),
    option("--bias <levels>", "grey levels that are added or taken off at most", "bias", numberIn(0, 255)),
  ];
}

function shown(value: number | readonly [number, number]): string {
  return typeof value === "number" ? String(value) : value.map((one) => Number(one.toFixed(3))).join("-");
}

/** The options that were given, over others. @throws InputError for shares of more than 1 */
export function pseudoOf(options: Partial<PseudoAnomalyOptions>, usual: PseudoAnomalyOptions): PseudoAnomalyOptions {
  const given = Object.entries(options).filter(([name, value]) => Object.hasOwn(usual, name) && value !== undefined);
  const how = { ...usual, ...Object.fromEntries(given) };
  if (how.speedup + how.pieces > 1) {
    throw new InputError(`--speedup ${how.speedup} and --pieces ${how.pieces} are shares of more than 1 together`);
  }
  return how;
}

/** A parser of two numbers in a range. */
function rangeIn(lowest: number, highest: number, step?: number): (text: string) => [number, number] {
  return (text) => {
    const match = /^([\d.]+)-([\d.]+)$/.exec(text);
    const [from, to] = match ? [Number(match[1]), Number(match[2])] : [Number.NaN, Number.NaN];
    if (!(from >= lowest && to >= from && to <= highest) || (step && (from % step !== 0 || to % step !== 0))) {
      const example = `${lowest}-${Math.min(highest, 2 * lowest + 1)}`;
      throw new InvalidArgumentError(`Two numbers from ${lowest} to ${highest} are needed, such as ${example}.`);
    }
    return [from, to];
  };
}
