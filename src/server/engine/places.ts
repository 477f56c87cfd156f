// The places of an engine: each is for the frames of one camera at a time.

/** Numbers between the frames of two cameras in one place: they are no neighbours. */
const GAP = 1000;

interface Place<C> {
  camera?: C;
  /** What is added to its camera's frame numbers, which must rise within a place. */
  offset: number;
  /** The number after those of all frames that were sent. */
  end: number;
}

/** Which camera has which place of an engine. */
export class Places<C> {
  private readonly places: Place<C>[];

  /** @param count how many cameras the engine can score */
  constructor(count: number) {
    this.places = Array.from({ length: count }, () => ({ offset: 0, end: 0 }));
  }

  get isFull(): boolean {
    return this.places.every(({ camera }) => camera !== undefined);
  }

  /** Those that have a place. */
  get cameras(): C[] {
    return this.places.flatMap(({ camera }) => (camera === undefined ? [] : [camera]));
  }

  /** Gives a camera the first free place. */
  take(camera: C): void {
    const place = this.places.find((one) => one.camera === undefined);
    if (!place) throw new Error("all places of the engine are taken");
    place.camera = camera;
    place.offset = place.end === 0 ? 0 : place.end + GAP;
  }

  /** Frees a camera's place, if it has one. */
  leave(camera: C): void {
    const place = this.places.find((one) => one.camera === camera);
    if (place) place.camera = undefined;
  }

  /** A frame's place, and its number there; undefined if its camera has none. */
  sent(camera: C, number: number): { camera: number; number: number } | undefined {
    const index = this.places.findIndex((one) => one.camera === camera);
    if (index < 0) return undefined;
    const place = this.places[index];
    place.end = number + place.offset + 1;
    return { camera: index, number: number + place.offset };
  }

  /**
   * Whose score it is, and the number by which its camera knows the frame; undefined if that camera
   * has left.
   */
  scored(index: number, number: number): { camera: C; number: number } | undefined {
    const { camera, offset } = this.places[index] ?? {};
    if (camera === undefined || number < offset!) return undefined;
    return { camera, number: number - offset! };
  }
}
