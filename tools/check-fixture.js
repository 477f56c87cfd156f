// Holds the engine against a fixture: `node tools/check-fixture.js [CHECKPOINT [STUDENT]] CASE.safetensors`.
import { runTool } from "../dist/cli.js";

process.exitCode = await runTool("check-fixture", process.argv.slice(2));
