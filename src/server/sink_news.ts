/**
 * What a log says of a sink: once why it fails, again only if the reason changes, and once when it
 * works again. Attempts are many; news are few.
 */
export class SinkNews {
  private failure: string | undefined;

  /** @param say takes a line without the sink's name */
  constructor(private readonly say: (level: "info" | "warn", line: string) => void) {}

  /** @param reason in one line */
  fails(reason: string): void {
    if (reason === this.failure) return;
    this.failure = reason;
    this.say("warn", reason);
  }

  /** It is there, or took something. */
  works(): void {
    if (this.failure === undefined) return;
    this.failure = undefined;
    this.say("info", "works again");
  }
}
