// Notices training videos of several cameras: their usual pictures do not match.
import { counted } from "../counted.js";
import type { Frame, FrameSource } from "../data/frame.js";
import { hasEdges, ReferencePicture, similarity } from "../watch/camera_moved.js";
import { type LumaPicture, lumaPicture } from "../watch/luma.js";

/** The usual size of pictures that are compared. */
const [width, height] = [96, 54];
/** Frames of a video that its usual picture is made of, about. */
const wantedFrames = 16;
/** Between two of these if the length of a video is not known. */
const usualStride = 25;
/**
 * From this similarity on, two videos show the same view. Videos of one camera reached 0.68 and
 * more, also if the light, shadows and lamps of some were changed; other cameras stayed below 0.2.
 * (Drawn streets through the same camera have kerbs in common and are alike: 0.43 to 0.78.)
 */
const sameView = 0.4;
/** Below this similarity a picture shows its view in another light, which is kept as well. */
const sameLook = 0.8;
/** Most pictures of a view that are kept. */
const mostLooks = 6;
/** With more views than this, nobody wants to know how many. */
const mostViews = 8;
/** Names that are shown of a view. */
const mostNames = 4;

/** Makes the usual picture of a video, while its frames pass. */
export class UsualPicture {
  private readonly reference = new ReferencePicture();
  private readonly stride: number;

  constructor({ frameCount, estimatedFrameCount }: Pick<FrameSource, "frameCount" | "estimatedFrameCount">) {
    const count = frameCount ?? estimatedFrameCount;
    this.stride = count === undefined ? usualStride : Math.max(1, Math.floor(count / wantedFrames));
  }

  add({ data, width: from, height: lines, index }: Frame): void {
    if (index % this.stride === 0) this.reference.push(lumaPicture(data, from, lines, width, height));
  }

  /** @throws InputError if there was no frame */
  finish(): LumaPicture {
    return this.reference.finish();
  }
}

/** A video, by the last part of its path, and its usual picture. */
export interface ViewedVideo {
  name: string;
  picture: LumaPicture;
}

/** Videos of one view: their places in the list, and the looks that the view has. */
interface View {
  videos: number[];
  looks: LumaPicture[];
}

/**
 * Says that videos show several views, and which ones. The light does not matter: day and night of
 * one camera are one view. Pictures without edges (see {@link hasEdges}) say nothing.
 * @returns one line; undefined if all videos may be of one camera
 */
export function severalViews(videos: readonly ViewedVideo[]): string | undefined {
  let views: View[] = [];
  for (const [i, { picture }] of videos.entries()) {
    if (!hasEdges(picture)) continue;
    const alike = views.map(({ looks }) => Math.max(...looks.map((look) => likeness(look, picture))));
    // A picture at dusk may show that those of the day and of the night are of one camera.
    const own = views.filter((_, v) => alike[v] >= sameView);
    const isNew = Math.max(0, ...alike) < sameLook;
    const looks = [...own.flatMap((view) => view.looks), ...(isNew ? [picture] : [])].slice(-mostLooks);
    const merged = { videos: [...own.flatMap((view) => view.videos), i].sort((a, b) => a - b), looks };
    views = [...views.filter((view) => !own.includes(view)), merged];
    if (views.length > mostViews) break;
  }
  if (views.length < 2) return undefined;
  views.sort((a, b) => a.videos[0] - b.videos[0]);
  const names = (view: View) => {
    const shown = view.videos.slice(0, mostNames).map((i) => videos[i].name);
    const more = view.videos.length - shown.length;
    return `${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  };
  const count = views.length > mostViews ? `over ${counted(mostViews, "view")}` : counted(views.length, "view");
  return (
    `the training videos show ${count} (${views.map(names).join("; ")}), ` +
    "but a model is for one camera that does not move: train one for each view"
  );
}

/** How well two usual pictures match, 0…1, whichever of them has more edges. */
function likeness(one: LumaPicture, other: LumaPicture): number {
  return Math.max(similarity(one, other), similarity(other, one));
}
