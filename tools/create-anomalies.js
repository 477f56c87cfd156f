// Writes training frames with pasted anomalies:
// node tools/create-anomalies.js pseudo ROOT --out OUT
// node tools/create-anomalies.js ubnormal UBNORMAL_ROOT --dataset-root ROOT --out OUT
import { runTool } from "../dist/cli.js";

process.exitCode = await runTool("create-anomalies", process.argv.slice(2));
