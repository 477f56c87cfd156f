// Compares the engine with a fixture: node tools/check-fixture.js [CHECKPOINT [STUDENT]] CASE
import { runTool } from "../dist/cli.js";

process.exitCode = await runTool("check-fixture", process.argv.slice(2));
