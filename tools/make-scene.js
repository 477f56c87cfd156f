// Writes a data set of a procedurally drawn street:
// node tools/make-scene.js OUT [--seed 1] [--preview FILE.png]
import { runTool } from "../dist/cli.js";

process.exitCode = await runTool("make-scene", process.argv.slice(2));
