// Writes a checkpoint's network as ONNX: node tools/export-onnx.js CHECKPOINT [STUDENT] OUT.onnx
import { runTool } from "../dist/cli.js";

process.exitCode = await runTool("export-onnx", process.argv.slice(2));
