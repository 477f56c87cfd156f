// The inputs that a user names on a command line.
import { InputError } from "../../errors.js";
import { isAddress } from "../../node/media/address.js";

/**
 * An input with the login filled in: `${NAME}` in the name or the password of an address stands for
 * a variable of the environment. So the command line and the shell's history hold no password.
 * @throws InputError if the variable is not set
 */
export function withLogin(input: string, environment: NodeJS.ProcessEnv = process.env): string {
  if (!isAddress(input)) return input;
  return input.replace(/^[^/]+:\/\/[^/]*@/, (login) =>
    login.replace(/\$\{(\w+)\}/g, (_, name: string) => {
      const value = environment[name];
      if (value === undefined) {
        throw new InputError(`the address holds \${${name}}, and the environment has no variable ${name}`);
      }
      return encodeURIComponent(value);
    }),
  );
}
