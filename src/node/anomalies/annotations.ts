// UBnormal's annotation images and tracks, for cutting out objects.
import { join } from "node:path";
import { InputError } from "../../errors.js";
import { readText } from "../datasets/text_file.js";
import { oneLine } from "../files/messages.js";
import { listFrameFiles } from "../media/frame_folder.js";

/**
 * A track of UBnormal: an object's number in the annotation images, and its frames by position,
 * `last` exclusive.
 */
export interface ObjectTrack {
  object: number;
  first: number;
  last: number;
}

/** The annotations of a video. */
export interface Annotations {
  /** Paths of the annotation images, in order. */
  images: string[];
  tracks: ObjectTrack[];
}

/**
 * Reads a video's annotations: `<video>_annotations/*_gt.png`, and `<video>_tracks.txt` in that
 * folder or beside it. An empty file means no tracks.
 * @param folder `train/annotations` of UBnormal
 * @throws InputError that names the missing file, or the row that is not a track
 */
export async function readAnnotations(folder: string, video: string): Promise<Annotations> {
  const own = join(folder, `${video}_annotations`);
  const images = (await listFrameFiles(own)).filter(({ name }) => /_gt\.png$/i.test(name)).map(({ path }) => path);
  if (images.length === 0) throw new InputError(`${oneLine(own)} holds no annotation image (*_gt.png)`);
  const paths = [join(own, `${video}_tracks.txt`), join(folder, `${video}_tracks.txt`)] as const;
  const text = await readText(paths[0]).catch((error: unknown) =>
    readText(paths[1]).catch(() => {
      throw error;
    }),
  );
  return { images, tracks: parseTracks(text, paths[0]) };
}

function parseTracks(text: string, path: string): ObjectTrack[] {
  const tracks: ObjectTrack[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const row = line.replace(/#.*/, "").trim();
    if (row === "") continue;
    // Whole numbers, which the data set writes as floats.
    const cells = row.split(",").map((cell) => (cell.trim() === "" ? Number.NaN : Math.trunc(Number(cell))));
    const [object, first, last] = cells;
    if (cells.length < 3 || ![object, first, last].every(Number.isSafeInteger) || first < 0) {
      throw new InputError(
        `${oneLine(path)}, line ${i + 1}: "${oneLine(row)}" is not a track; a row is object,first,last`,
      );
    }
    tracks.push({ object, first, last });
  }
  return tracks;
}
