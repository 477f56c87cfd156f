// Finds a stream that is frozen: it goes on, but its picture does not change.

/** Seconds without any change of the picture after which the stream is frozen. */
export const FROZEN = 20;

/** Looks at the frames of a camera, over connections too. */
export class FrozenPicture {
  private since = Number.NaN;
  private sample = 0;

  /**
   * @param data of a frame, in bytes
   * @param now seconds of a steady clock
   * @returns whether the picture has been the same for too long
   */
  push(data: Uint8Array, now: number): boolean {
    let sample = 0;
    for (let at = 0; at < data.length; at += 97) sample = (Math.imul(sample, 31) + data[at]) | 0;
    if (sample !== this.sample || Number.isNaN(this.since)) {
      this.since = now;
      this.sample = sample;
    }
    return now - this.since > FROZEN;
  }
}
