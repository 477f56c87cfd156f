import { type Command, CommanderError } from "commander";
import { GpuError, InputError } from "../errors.js";
import { oneLine } from "../node/files/messages.js";
import { Interrupted } from "./terminal/interrupt.js";

/** A pipe that is closed early must not end the process with a stack: whoever writes learns of it. */
function seenByWriter(): void {}

function withChildren(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withChildren)];
}

/**
 * Runs a command line.
 * @returns the exit code: 0; 1 if a check failed or something broke; 2 if the input, an option or the machine is at fault;
 * 130 after Ctrl-C
 */
export async function run(program: Command, args: readonly string[]): Promise<number> {
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
