// Options about pseudo-anomalies, which `train` and `create-anomalies` share.
import { InvalidArgumentError, Option } from "commander";
import { mostObjects, type PseudoAnomalyOptions, pseudoAnomalyDefaults } from "../../data/anomalies/pseudo_anomaly.js";
import { InputError } from "../../errors.js";
import { numberIn, wholeNumber } from "./parse.js";

/**
 * The options behind {@link PseudoAnomalyOptions}. An option that was not given is absent.
 * @param presets their defaults are named if they differ from the usual ones
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
    option("--speedup <share>", "share of speed-ups, windows in which time runs faster", "speedup", share),
    option("--drawn <share>", "share of drawn objects: vehicles, riders, boxes and others", "drawn", share),
    option("--pieces <share>", "share of small pieces that fly; the rest are cut-outs", "pieces", share),
    option("--frozen <share>", "share of the cut-outs that glide in a frozen posture", "frozen", share),
    option(
      "--decoys <share>",
      "share of the normal samples in which somebody is pasted who walks as people do",
      "decoys",
      share,
    ),
    option(
      "--objects <n>",
      "most objects that are pasted into a sample; further ones are anomalies or decoys",
      "objects",
      wholeNumber(1, mostObjects),
    ),
    option("--speed <least-most>", "speed-up: factor on the speed, whole numbers", "speed", rangeIn(2, 6, 1)),
    option("--piece-size <least-most>", "piece: size relative to what it is cut from", "pieceSize", rangeIn(0.02, 1)),
    option("--scale <least-most>", "cut-out: factor on the size", "scale", rangeIn(0.1, 10)),
    option("--shift <least-most>", "movement in 3 frames, in frame heights", "shift", rangeIn(0, 1)).conflicts("walk"),
    option(
      "--walk <least-most>",
      "movement relative to a walk in these videos, in place of --shift; 0-0: as --shift says",
      "walk",
      rangeIn(0, 100),
    ),
    option("--rotation <degrees>", "cut-out: largest rotation", "rotation", numberIn(0, 180)),
    option("--gain <least-most>", "cut-out: factor on the colours", "gain", rangeIn(0, 10)),
    option("--bias <levels>", "cut-out: largest change of brightness, in grey levels", "bias", numberIn(0, 255)),
  ];
}

function shown(value: number | readonly [number, number]): string {
  return typeof value === "number" ? String(value) : value.map((one) => Number(one.toFixed(3))).join("-");
}

/** The usual values, replaced by given options. @throws InputError for shares above 1 in total */
export function pseudoOf(options: Partial<PseudoAnomalyOptions>, usual: PseudoAnomalyOptions): PseudoAnomalyOptions {
  const given = Object.entries(options).filter(([name, value]) => Object.hasOwn(usual, name) && value !== undefined);
  // The movement that was given counts, in place of a preset's.
  const movement = options.shift ? { walk: [0, 0] as const } : {};
  const how = { ...usual, ...movement, ...Object.fromEntries(given) };
  const { speedup, drawn, pieces } = how;
  if (speedup + drawn + pieces > 1) {
    throw new InputError(
      `--speedup ${speedup}, --drawn ${drawn} and --pieces ${pieces} are shares: their sum is above 1`,
    );
  }
  return how;
}

/** A parser of `least-most`: two numbers in a range, multiples of `step` if it is given. */
function rangeIn(lowest: number, highest: number, step?: number): (text: string) => [number, number] {
  return (text) => {
    const match = /^([\d.]+)-([\d.]+)$/.exec(text);
    const [from, to] = match ? [Number(match[1]), Number(match[2])] : [Number.NaN, Number.NaN];
    if (!(from >= lowest && to >= from && to <= highest) || (step && (from % step !== 0 || to % step !== 0))) {
      const example = `${lowest}-${Math.min(highest, 2 * lowest + 1)}`;
      throw new InvalidArgumentError(
        `Give two numbers from ${lowest} to ${highest}, the smaller one first, such as ${example}.`,
      );
    }
    return [from, to];
  };
}
