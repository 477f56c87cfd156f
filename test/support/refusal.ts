// How tests see that an input was refused: by an InputError of one line.
import { expect } from "vitest";
import { InputError } from "../../src/errors.js";

/** The message of an InputError. Checks that it is one and that it is one line. */
function messageOf(error: unknown): string {
  expect(error).toBeInstanceOf(InputError);
  const { message } = error as InputError;
  expect(message).not.toMatch(/[\r\n]/);
  return message;
}

/** The message of the InputError that a promise must fail with. */
export async function refusal(promise: Promise<unknown> | undefined): Promise<string> {
  const error = await Promise.resolve(promise).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return messageOf(error);
}

/** The message of the InputError that `run` must throw. Checks that it is ASCII. */
export function inputErrorOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    const message = messageOf(error);
    expect(message).toMatch(/^[\x20-\x7e]+$/);
    return message;
  }
  throw new Error("no error was thrown");
}
