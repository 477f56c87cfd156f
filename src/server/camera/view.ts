// The usual view of a camera, in daylight and in infrared, and whether the camera still shows it.
import { CameraMoved, hasEdges, isOtherView, ReferencePicture } from "../../watch/camera_moved.js";
import type { LumaPicture } from "../../watch/luma.js";
import type { CameraMode } from "../../watch/scene_change.js";

/** Size of the pictures in pixels. */
export const viewSize = { width: 96, height: 54 } as const;

/** The usual picture in each mode, of {@link viewSize}. */
export type References = Partial<Record<CameraMode, LumaPicture>>;

/** Seconds between pictures of a reference, and how many it needs: those of ten minutes. */
const EVERY = 5;
const PICTURES = 120;
/** A reference of a calibration that is shorter needs this many: those of a minute. */
const LEAST_PICTURES = 12;

/** A reference in the making. */
interface Draft {
  picture: ReferencePicture;
  count: number;
  last: number;
}

/** Learns a camera's usual view, and says when the camera no longer shows it. */
export class UsualView {
  /** Whether the camera is moved or covered now. */
  isMoved = false;
  /** Modes whose usual view is no longer the one that was kept before. */
  readonly changed = new Set<CameraMode>();
  /** Whether there is a view that was not kept yet. */
  hasLearnt = false;
  private kept: References = {};
  private readonly drafts = new Map<CameraMode, Draft>();
  private readonly moved = new Map<CameraMode, CameraMoved>();

  /** What was learnt, now or before. */
  get references(): References {
    return this.kept;
  }

  /**
   * Takes what an earlier process has kept. What was learnt since is newer, and stays.
   * @param isAnew whether it is learnt again: pictures are not compared with what was kept
   */
  begin(references: References, isAnew = false): void {
    const news = Object.entries(references).filter(([mode]) => !this.kept[mode as CameraMode]);
    for (const [key, picture] of news) {
      const mode = key as CameraMode;
      this.kept[mode] = picture;
      if (isAnew) continue;
      this.moved.set(mode, new CameraMoved(picture));
      this.drafts.delete(mode);
    }
  }

  /**
   * Takes the next picture.
   * @param picture of {@link viewSize}
   * @param time seconds; must not fall
   * @returns what happened, if anything did
   */
  push(picture: LumaPicture, mode: CameraMode, time: number): "moved" | "back" | undefined {
    const own = this.moved.get(mode);
    // A cover has no colour, and may come in one mode and go in the other: each looks for its end.
    if (own) own.isMoved = this.isMoved;
    // A covered camera has no colour either. Until infrared has a reference, that of the day serves
    // for pictures without any edge; lamps and shadows make edges of their own.
    const [other] = this.moved.values();
    const isPlain = () => other && (other.isMoved || !hasEdges(picture));
    const change = (own ?? (isPlain() ? other : undefined))?.push(picture, time);
    if (change) this.isMoved = change === "moved";
    if (!own && !this.isMoved) this.add(picture, mode, time);
    return change;
  }

  /** Makes references of what was seen so far, if that was at least a minute. */
  settle(): void {
    for (const [mode, { count }] of this.drafts) if (count >= LEAST_PICTURES) this.finish(mode);
  }

  /** Learns it again. */
  forget(): void {
    this.isMoved = false;
    this.hasLearnt = false;
    this.kept = {};
    this.drafts.clear();
    this.moved.clear();
  }

  private add(picture: LumaPicture, mode: CameraMode, time: number): void {
    const draft = this.drafts.get(mode) ?? {
      picture: new ReferencePicture(),
      ...{ count: 0, last: Number.NEGATIVE_INFINITY },
    };
    this.drafts.set(mode, draft);
    if (time - draft.last < EVERY) return;
    draft.picture.push(picture);
    draft.last = time;
    if (++draft.count >= PICTURES) this.finish(mode);
  }

  private finish(mode: CameraMode): void {
    const found = this.drafts.get(mode)!.picture.finish();
    this.drafts.delete(mode);
    // Nothing could be said by a picture without edges.
    if (!hasEdges(found)) return;
    const before = this.kept[mode];
    if (before && isOtherView(before, found)) this.changed.add(mode);
    this.kept[mode] = found;
    this.hasLearnt = true;
    this.moved.set(mode, new CameraMoved(found));
  }
}
