// Writes a data set's motion gradients, which the authors' code reads:
// node tools/extract-gradients.js ROOT [--out DIR]
import { runTool } from "../dist/cli.js";

process.exitCode = await runTool("extract-gradients", process.argv.slice(2));
