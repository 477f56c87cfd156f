// The last pictures of a camera: a frame's score comes later than its picture.

/** Seconds for which pictures are kept: a score comes within them, or its frame was dropped. */
const KEPT = 3;
/** Pictures that are kept at most: those of a file that is read fast come fast. */
const MOST = 32;

/** The last pictures of a camera. */
export class RecentPictures {
  private kept: { jpeg: Uint8Array; time: number }[] = [];

  /** @param time seconds; a picture is older than those before if a file was begun again */
  add(jpeg: Uint8Array, time: number): void {
    this.kept = this.kept.filter((one) => Math.abs(time - one.time) < KEPT);
    this.kept.push({ jpeg, time });
    this.kept = this.kept.slice(-MOST);
  }

  /** The picture that came nearest to a time; undefined if there is none. */
  near(time: number): Uint8Array | undefined {
    let [nearest] = this.kept;
    for (const one of this.kept) if (Math.abs(one.time - time) <= Math.abs(nearest.time - time)) nearest = one;
    return nearest?.jpeg;
  }
}
