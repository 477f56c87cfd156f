import { type Command, CommanderError } from "commander";
import { GpuError, InputError, InputErrors } from "../errors.js";
import { oneLine } from "../node/files/messages.js";
import { withoutLogins } from "../node/media/address.js";
import { Interrupted } from "./terminal/interrupt.js";
import { messageOf } from "./terminal/message.js";

/**
 * Listens to errors of the standard output, so that a pipe that closes early does not end the
 * process with a stack. The writer gets the error as well.
 */
function seenByWriter(): void {}

function withChildren(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withChildren)];
}

/**
 * Runs a command line.
 * @returns the exit code: 0; 1 if a check failed or there is a bug; 2 if the input, an option or
 *   the machine is at fault; 130 after Ctrl-C
 */
export async function run(program: Command, args: readonly string[]): Promise<number> {
  for (const command of withChildren(program)) {
    // One line for errors of options too. Commander may add a second one with a similar option.
    const outputError = (text: string, write: (text: string) => void) =>
      write(`${withoutLogins(oneLine(text))} (see --help)\n`);
    command.exitOverride().configureOutput({ outputError });
  }
  // Others of this machine can read the command line, which may hold a camera's password.
  if (args.some((arg) => arg.includes("://"))) process.title = "sdmae";
  process.stdout.off("error", seenByWriter).on("error", seenByWriter);
  try {
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof Interrupted) return 130;
    const lines = error instanceof InputErrors ? error.lines : [messageOf(error)];
    // File names may contain line breaks.
    for (const line of lines) process.stderr.write(`error: ${withoutLogins(line.replace(/\s*[\r\n]\s*/g, " "))}\n`);
    if (error instanceof InputError || error instanceof GpuError) return 2;
    if (error instanceof Error && process.env.SDMAE_DEBUG)
      process.stderr.write(`${withoutLogins(error.stack ?? "")}\n`);
    return 1;
  }
}
