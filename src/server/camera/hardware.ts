// Whether the hardware decodes a camera's stream: it is given up once it is known to fail.

/** So often the hardware must fail where the processor succeeds at once. */
const STRIKES = 2;

/**
 * A connection that gives no frame may fail because of the hardware, or because the camera is away.
 * So the next one is made without the hardware. If that gives frames twice, the hardware is given
 * up; if it gives none either, the hardware is tried again.
 */
export class HardwareDecoding {
  /** Why a connection with the hardware gave no frame: then this one is without. */
  private doubt: string | undefined;
  private strikes = 0;

  /**
   * @param wanted "off", "auto", or a name that ffmpeg knows
   * @param warn takes in a line when the processor takes over
   */
  constructor(
    private wanted: string,
    private readonly warn: (line: string) => void,
  ) {}

  /** For the next connection: "off", "auto", or a name that ffmpeg knows. */
  get setting(): string {
    return this.doubt === undefined ? this.wanted : "off";
  }

  /** The connection has given its first frame. */
  works(): void {
    const { doubt, wanted } = this;
    this.doubt = undefined;
    if (doubt === undefined) {
      this.strikes = 0;
      return;
    }
    this.strikes++;
    if (this.strikes === STRIKES) this.wanted = "off";
    const until = this.wanted === "off" ? "it is given up" : "the processor decodes until the next connection";
    this.warn(`decoding by hardware (${wanted}) has failed, ${until}: ${doubt}`);
  }

  /** The connection has ended without a frame. */
  failed(why: string): void {
    if (this.wanted === "off") return;
    this.doubt = this.doubt === undefined ? why : undefined;
  }
}
