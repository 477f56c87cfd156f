// Parsers of option values, which throw InvalidArgumentError; and which options were given.
import { type Command, InvalidArgumentError } from "commander";
import { type SceneAnomaly, sceneAnomalies } from "../../data/scene/actors.js";
import type { Size } from "../../ops/resize.js";

/** Parses `HEIGHTxWIDTH`. */
export function parseSize(text: string): Size {
  const match = /^(\d{1,5})x(\d{1,5})$/i.exec(text);
  if (!match) throw new InvalidArgumentError("A size is HEIGHTxWIDTH in pixels, such as 320x640.");
  return { height: Number(match[1]), width: Number(match[2]) };
}

/** A parser of whole numbers from `least` to `most`. */
export function wholeNumber(least: number, most = 0xffffffff): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`Give a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}

/** A parser of numbers from `least` to `most`. */
export function numberIn(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= least && value <= most)) {
      throw new InvalidArgumentError(`Give a number from ${least} to ${most}.`);
    }
    return value;
  };
}

/** A parser of numbers above `limit`, up to `most`. */
export function numberAbove(limit: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value > limit && value <= most)) {
      throw new InvalidArgumentError(`Give a number above ${limit}, at most ${most}.`);
    }
    return value;
  };
}

/** A parser of numbers from 0 to below `limit`. */
export function numberBelow(limit: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= 0 && value < limit)) {
      throw new InvalidArgumentError(`Give a number from 0 to below ${limit}.`);
    }
    return value;
  };
}

/** Parses the scene's anomalies, separated by commas. */
export function anomalyNames(text: string): SceneAnomaly[] {
  const names = text.split(",");
  const known = (name: string): name is SceneAnomaly => (sceneAnomalies as readonly string[]).includes(name);
  if (!names.every(known) || new Set(names).size < names.length) {
    throw new InvalidArgumentError(`Give some of ${sceneAnomalies.join(",")}, each once.`);
  }
  return names;
}

/** Whether an option was given on the command line, by its attribute's name. */
export type IsGiven = (name: string) => boolean;

/** Tells which options of a command were given, once it has parsed its arguments. */
export function givenOn(command: Command): IsGiven {
  return (name) => command.getOptionValueSource(name) === "cli";
}
