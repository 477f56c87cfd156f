import { InvalidArgumentError, Option } from "commander";
import { type PseudoAnomalyOptions, pseudoAnomalyDefaults } from "../data/pseudo_anomaly.js";
import { InputError } from "../errors.js";
import { numberIn } from "./options.js";

/** The options behind {@link PseudoAnomalyOptions}, without defaults: what was not given is absent. */
export function pseudoOptions(): Option[] {
  const { speed, scale, shift, gain, speedup, rotation, bias, pieces, pieceSize } = pseudoAnomalyDefaults;
  return [
    new Option("--speedup <share>", `share of speed-ups; the rest are cut-outs (default: ${speedup})`).argParser(
      numberIn(0, 1),
    ),
    new Option("--pieces <share>", `share of small pieces of what moves, as if thrown (default: ${pieces})`).argParser(
      numberIn(0, 1),
    ),
    rangeOption("--piece-size <least-most>", "size of a piece against what it is cut from", pieceSize, 0.02, 1),
    rangeOption("--speed <least-most>", "how many times as fast a speed-up runs, whole numbers", speed, 2, 6, 1),
    rangeOption("--scale <least-most>", "size of a cut-out against its own", scale, 0.1, 10),
    rangeOption("--shift <least-most>", "a cut-out's way in 3 frames, in frame heights", shift, 0, 1),
    new Option("--rotation <degrees>", `largest angle that a cut-out is turned by (default: ${rotation})`).argParser(
      numberIn(0, 180),
    ),
    rangeOption("--gain <least-most>", "factor on a cut-out's colours", gain, 0, 10),
    new Option("--bias <levels>", `grey levels that are added or taken off at most (default: ${bias})`).argParser(
      numberIn(0, 255),
    ),
  ];
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

function rangeOption(
  flags: string,
  description: string,
  usual: readonly [number, number],
  lowest: number,
  highest: number,
  step?: number,
): Option {
  const shown = usual.map((value) => Number(value.toFixed(3))).join("-");
  const parse = (text: string): [number, number] => {
    const match = /^([\d.]+)-([\d.]+)$/.exec(text);
    const [from, to] = match ? [Number(match[1]), Number(match[2])] : [Number.NaN, Number.NaN];
    if (!(from >= lowest && to >= from && to <= highest) || (step && (from % step !== 0 || to % step !== 0))) {
      throw new InvalidArgumentError(`Two numbers from ${lowest} to ${highest} are needed, such as ${shown}.`);
    }
    return [from, to];
  };
  return new Option(flags, `${description} (default: ${shown})`).argParser(parse);
}
