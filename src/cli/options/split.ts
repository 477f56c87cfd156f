import { Option } from "commander";
import { testSplits } from "../../data/dataset.js";

/** `--split`: which videos a model is tested on. */
export function splitOption(what: string): Option {
  return new Option("--split <name>", `${what}; only UBnormal has a validation split`)
    .choices([...testSplits])
    .default("test");
}
