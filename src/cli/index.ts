// The program sdmae: all commands by name. tools/*.js run single ones.
import { Command } from "commander";
import { versions } from "../node/files/versions.js";
import { adaptersCommand } from "./commands/adapters.js";
import { calibrateCommand } from "./commands/calibrate.js";
import { camerasCommand } from "./commands/cameras.js";
import { checkFixtureCommand } from "./commands/check_fixture.js";
import { clusterDemoCommand } from "./commands/cluster_demo.js";
import { convertCheckpointCommand } from "./commands/convert_checkpoint.js";
import { createAnomaliesCommand } from "./commands/create_anomalies.js";
import { datasetCommand } from "./commands/dataset.js";
import { demoCommand } from "./commands/demo.js";
import { evalCommand } from "./commands/eval.js";
import { eventsCommand } from "./commands/events.js";
import { exportCheckpointCommand } from "./commands/export_checkpoint.js";
import { exportOnnxCommand } from "./commands/export_onnx.js";
import { extractGradientsCommand } from "./commands/extract_gradients.js";
import { jobsCommand } from "./commands/jobs.js";
import { learnCommand } from "./commands/learn.js";
import { makeSceneCommand } from "./commands/make_scene.js";
import { scoreCommand } from "./commands/score.js";
import { submitCommand } from "./commands/submit.js";
import { trainCommand } from "./commands/train.js";
import { tuneCommand } from "./commands/tune.js";
import { watchCommand } from "./commands/watch.js";
import { watchDemoCommand } from "./commands/watch_demo.js";
import { workerCommand } from "./commands/worker.js";
import { run } from "./run.js";

/** Every command by its name. `tools/NAME.js` runs some of them directly. */
const commands: Record<string, () => Command> = {
  score: scoreCommand,
  watch: watchCommand,
  events: eventsCommand,
  learn: learnCommand,
  calibrate: calibrateCommand,
  cameras: camerasCommand,
  submit: submitCommand,
  worker: workerCommand,
  jobs: jobsCommand,
  eval: evalCommand,
  train: trainCommand,
  dataset: datasetCommand,
  demo: demoCommand,
  "watch-demo": watchDemoCommand,
  "cluster-demo": clusterDemoCommand,
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
 * @returns the exit code, see {@link run}
 */
export function runCli(args: readonly string[]): Promise<number> {
  const program = new Command("sdmae").description(
    "Finds abnormal events in video, with self-distilled masked auto-encoders (SD-MAE) in WebGPU.",
  );
  program.version(`sdmae ${versions().sdmae}`, "-V, --version", "print the version");
  program.option("--list-adapters", "list the WebGPU adapters of this machine, as `adapters` does");
  for (const make of Object.values(commands)) program.addCommand(make());
  if (args[0] === "--list-adapters") return run(program, ["adapters"]);
  return run(program, args);
}

/** Runs one command directly; exit codes as {@link runCli}. */
export function runTool(name: string, args: readonly string[]): Promise<number> {
  const make = commands[name];
  if (!make) throw new Error(`there is no command ${name}`);
  return run(make(), args);
}
