// Converts checkpoints of the authors' PyTorch code:
// node tools/convert-checkpoint.js IN.pth [STUDENT.pth] OUT.safetensors
import { runTool } from "../dist/cli.js";

process.exitCode = await runTool("convert-checkpoint", process.argv.slice(2));
