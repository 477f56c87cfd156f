/** Thrown when a check finds something wrong, so that the exit code is 1. */
export class CheckFailed extends Error {
  override readonly name = "CheckFailed";
}
