// Options about the NATS server and the shared folder, which the commands of a cluster share.
import { realpath } from "node:fs/promises";
import { relative, resolve, sep } from "node:path";
import { type Command, Option } from "commander";
import type { NatsOptions } from "../../cluster/connection.js";
import { isInside } from "../../cluster/messages.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";

/** The values of {@link addNatsOptions}. */
export interface NatsCommandOptions {
  nats: string;
  natsCreds?: string;
  natsCa?: string;
}

/**
 * `--nats` and what belongs to it.
 * @param optional of commands that work without a server: what it is for. The environment alone
 * does not turn it on.
 */
export function addNatsOptions(command: Command, optional?: string): Command {
  const servers = "nats://HOST:4222 or tls://HOST:4222, several with commas";
  return command
    .addOption(
      optional === undefined
        ? new Option("--nats <url>", `the NATS server: ${servers}`).env("SDMAE_NATS").makeOptionMandatory()
        : new Option("--nats <url>", optional),
    )
    .addOption(new Option("--nats-creds <file>", "log in with a credentials file (.creds)").env("SDMAE_NATS_CREDS"))
    .addOption(
      new Option("--nats-ca <file>", "use TLS, and trust the certificates that this file vouches for (PEM)").env(
        "SDMAE_NATS_CA",
      ),
    );
}

/** The text behind the options of a command: where logins come from. */
export const natsLogins =
  "\nA login comes from the address, from SDMAE_NATS_USER and SDMAE_NATS_PASSWORD, from\nSDMAE_NATS_TOKEN, or from --nats-creds.";

/** How the server is reached. */
export function natsOf({ nats: url, natsCreds: creds, natsCa: ca }: NatsCommandOptions): NatsOptions {
  const { SDMAE_NATS_USER: user, SDMAE_NATS_PASSWORD: password, SDMAE_NATS_TOKEN: token } = process.env;
  return {
    url,
    ...(creds !== undefined && { creds }),
    ...(ca !== undefined && { ca }),
    ...(user && { user }),
    ...(password && { password }),
    ...(token && { token }),
  };
}

/** `--share`. */
export function shareOption(isNeeded = true): Option {
  return new Option(
    "--share <dir>",
    "the folder that all machines share, wherever it is mounted: videos and results lie in it",
  )
    .env("SDMAE_SHARE")
    .makeOptionMandatory(isNeeded);
}

/** The shared folder's real path. @throws InputError if there is none */
export async function shareOf(share: string): Promise<string> {
  try {
    return await realpath(share);
  } catch (error) {
    throw new InputError(`--share ${oneLine(share)}: ${reasonOf(error)}`);
  }
}

/**
 * A path as other machines know it: below the shared folder, with "/".
 * @throws InputError if it lies elsewhere
 */
export async function sharedPath(share: string, path: string): Promise<string> {
  const real = await realpath(path).catch(() => resolve(path));
  const below = relative(share, real).split(sep).join("/");
  if (below === "" || !isInside(below)) {
    throw new InputError(`${oneLine(path)} is not below the shared folder ${oneLine(share)}: no other machine has it`);
  }
  return below;
}
