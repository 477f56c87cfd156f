import { Command, CommanderError } from "commander";
import { GpuError, InputError } from "../errors.js";
import { oneLine } from "../node/messages.js";
import { adaptersCommand } from "./adapters.js";
import { boundsCommand } from "./bounds.js";
import { checkFixtureCommand } from "./check_fixture.js";
import { compareCommand } from "./compare.js";
import { convertCheckpointCommand } from "./convert.js";
import { createAnomaliesCommand } from "./create_anomalies.js";
import { datasetCommand } from "./dataset.js";
import { demoCommand } from "./demo.js";
import { evalCommand } from "./eval.js";
import { exportCheckpointCommand } from "./export_checkpoint.js";
import { exportNetwork, exportOnnxCommand } from "./export_onnx.js";
import { extractGradientsCommand } from "./extract_gradients.js";
import { fpsCommand, type PeerMissing, type RunPeer } from "./fps.js";
import { Interrupted } from "./interrupt.js";
import { kernelsCommand } from "./kernels.js";
import { makeSceneCommand } from "./make_scene.js";
import { scoreCommand } from "./score.js";
import { streamsBenchCommand } from "./streams_bench.js";
import { trainCommand } from "./train.js";
import { trainBenchCommand } from "./train_bench.js";
import { tuneCommand } from "./tune.js";

// What the benchmarks' peers need of the engine.
export { exportPth } from "../checkpoint/pth_write.js";
export { adapterEnvironment } from "../node/adapter_environment.js";
export { exportNetwork };

/** Every command, by its name; `tools/NAME.js` runs one of them by itself. */
const commands: Record<string, () => Command> = {
  score: scoreCommand,
  eval: evalCommand,
  train: trainCommand,
  dataset: datasetCommand,
  demo: demoCommand,
  adapters: adaptersCommand,
  tune: tuneCommand,
  "make-scene": makeSceneCommand,
  "create-anomalies": createAnomaliesCommand,
  "extract-gradients": extractGradientsCommand,
  "convert-checkpoint": convertCheckpointCommand,
  "export-checkpoint": exportCheckpointCommand,
  "check-fixture": checkFixtureCommand,
  "export-onnx": exportOnnxCommand,
};

/**
 * Runs `sdmae`.
 * @returns the exit code: 0, 1 where a check failed or something broke, 2 where the input, an option or the machine is at fault
 */
export function runCli(args: readonly string[]): Promise<number> {
  const program = new Command("sdmae").description(
    "Video anomaly detection with self-distilled masked auto-encoders, in WebGPU.",
  );
  program.option("--list-adapters", "list the WebGPU adapters here, as `adapters` does");
  for (const make of Object.values(commands)) program.addCommand(make());
  if (args[0] === "--list-adapters") return run(program, ["adapters"]);
  return run(program, args);
}

/** Runs one command by itself; exit codes as {@link runCli}. */
export function runTool(name: string, args: readonly string[]): Promise<number> {
  const make = commands[name];
  if (!make) throw new Error(`no command is named ${name}`);
  return run(make(), args);
}

/**
 * Runs a benchmark by itself, with the peers that it may be measured against; exit codes as {@link runCli}.
 * @param peerMissing tells which of them cannot be measured here
 */
export function runBenchmark(
  name: "fps" | "train" | "compare" | "streams" | "kernels" | "bounds",
  args: readonly string[],
  peers: readonly string[] = [],
  runPeer?: RunPeer,
  peerMissing?: PeerMissing,
): Promise<number> {
  const benchmarks = {
    fps: () => fpsCommand(peers, runPeer, peerMissing),
    train: trainBenchCommand,
    streams: streamsBenchCommand,
    kernels: kernelsCommand,
    bounds: boundsCommand,
    compare: () => compareCommand(peers, runPeer, peerMissing),
  };
  return run(benchmarks[name]().name(`node bench/${name}.js`), args);
}

/** A pipe that is closed early must not end the process with a stack: whoever writes learns of it. */
function seenByWriter(): void {}

function withChildren(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withChildren)];
}

async function run(program: Command, args: readonly string[]): Promise<number> {
  for (const command of withChildren(program)) {
    // Errors of options in one line too; the second line that commander may add asks whether another option was meant.
    const outputError = (text: string, write: (text: string) => void) => write(`${oneLine(text)} (see --help)\n`);
    command.exitOverride().configureOutput({ outputError });
  }
  process.stdout.off("error", seenByWriter).on("error", seenByWriter);
  try {
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof Interrupted) return 130;
    // Names of files may hold line breaks.
    const message = (error instanceof Error ? error.message : String(error)).replace(/\s*[\r\n]\s*/g, " ");
    process.stderr.write(`error: ${message}\n`);
    if (error instanceof InputError || error instanceof GpuError) return 2;
    if (error instanceof Error && process.env.SDMAE_DEBUG) process.stderr.write(`${error.stack}\n`);
    return 1;
  }
}
