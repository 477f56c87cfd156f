// Writes a data set's motion gradients as the authors' code reads them: node tools/extract-gradients.js ROOT [--out DIR]
import { runTool } from "../dist/cli.js";

process.exitCode = await runTool("extract-gradients", process.argv.slice(2));
