// Values of a configuration that lead outside: paths, secrets and addresses.
import { z } from "zod";
import { InputError } from "../../errors.js";
import { reasonOf } from "../../node/files/messages.js";
import {
  checkAddress,
  type LoginParts,
  listed,
  pathOf,
  secretsOfAddress,
  sourceOf,
  splitLogin,
  withLoginParts,
} from "./address.js";
import { map, read, text } from "./values.js";

/** What a configuration is read in. */
export interface Surroundings {
  /** Absolute; relative paths start from here. */
  folder: string;
  /** Ids of all cameras. */
  cameras: readonly string[];
  /** The values of variables, by the texts that hold them. */
  variables: ReadonlyMap<string, readonly string[]>;
  /** Reads a file with a secret. @throws Error with the reason */
  readSecret(path: string): string;
  /** Checks a schedule. @throws InputError */
  checkSchedule?(schedule: string): void;
  /** Takes what must not be shown. */
  hide(secret: string): void;
}

/** A path, which becomes absolute. */
export function path({ folder }: Surroundings) {
  return read(text("a path"), "a path", (value) => pathOf(value, folder));
}

/** Text that must not be shown, or the file that holds it. */
export function secret(around: Surroundings) {
  const what = `text in quotes, a variable such as \${PASSWORD}, or { file: PATH }`;
  const visible = text(what).refine((value) => around.variables.has(value) || !isShellVariable(value), {
    error: `a variable is written with braces: \${NAME}`,
  });
  return read(z.union([visible, secretFile(around)], { error: what }), what, (value) => {
    around.hide(value);
    return value;
  });
}

const isShellVariable = (text: string): boolean => /^\$[A-Z][A-Z0-9_]*$/.test(text);

/** A file with a secret in one line, which it becomes. */
export function secretFile(around: Surroundings) {
  return map({ file: path(around) }, "{ file: PATH }").transform(({ file }, context): string => {
    try {
      const value = around.readSecret(file);
      if (value === "") throw new InputError("it is empty");
      if (/\p{Cc}/u.test(value)) throw new InputError("it holds more than one line of text");
      around.hide(value);
      return value;
    } catch (error) {
      const message = `the file of the secret cannot be used: ${reasonOf(error)}`;
      context.addIssue({ code: "custom", message, path: ["file"] });
      return z.NEVER;
    }
  });
}

/** Hides the variables that a text was made of. */
export function hideVariables({ variables, hide }: Surroundings, value: string): string {
  for (const one of variables.get(value) ?? []) hide(one);
  return value;
}

/** A camera's source, as sourceOf gives it. */
export function source(around: Surroundings) {
  const what = "an address, device:/dev/video0 or a path, or { url: ..., user: ..., password: ... }";
  const url = () => read(text(what), what, (value) => checkedSource(around, value));
  const apart = map({ url: url(), user: text().optional(), password: secret(around).optional() }, what);
  const joined = read(apart, what, ({ url, ...login }: LoginParts & { url: string }) => withLoginParts(url, login));
  return z.union([url(), joined], { error: what });
}

function checkedSource(around: Surroundings, value: string): string {
  const source = sourceOf(value, around.folder);
  if (/^[a-z]+:\/\//i.test(source)) {
    for (const one of secretsOfAddress(source, around.variables.get(value) ?? [])) around.hide(one);
  }
  return source;
}

/** An address of a receiver, without its login, which stands beside it. */
export function receiver(around: Surroundings, schemes: readonly string[]) {
  const what = `an address that begins with ${listed(schemes.map((name) => `${name}://`))}`;
  return read(text(what), what, (value) => {
    const address = checkAddress(value, schemes);
    for (const one of secretsOfAddress(value, around.variables.get(value) ?? [])) around.hide(one);
    return splitLogin(address);
  });
}
