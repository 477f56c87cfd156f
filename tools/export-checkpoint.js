// Writes a checkpoint as a .pth file for PyTorch:
// node tools/export-checkpoint.js MODEL.safetensors OUT.pth [--student FILE]
import { runTool } from "../dist/cli.js";

process.exitCode = await runTool("export-checkpoint", process.argv.slice(2));
