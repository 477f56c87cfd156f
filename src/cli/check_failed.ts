/** Thrown when a check finds something wrong; the exit code is 1 then. */
export class CheckFailed extends Error {
  override readonly name = "CheckFailed";
}
