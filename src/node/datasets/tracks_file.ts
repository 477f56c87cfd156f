import type { TrackBox } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import type { Clip } from "./clip.js";
import { numbersOf, readLines } from "./text_file.js";

/**
 * Reads the ground-truth regions of a video: rows `track,frame,x1,y1,x2,y2`, frames by position
 * from 0, corners in pixels, inclusive. An empty file has none. A box may reach beyond the frame's
 * edge, as some published ones do (`dataset --verify` reports them), but not lie outside of it.
 * @throws InputError that names file and line, if a row is anything else or the video lacks its
 * frame
 */
export async function readTracks(path: string, clip: Clip): Promise<TrackBox[]> {
  const boxes: TrackBox[] = [];
  const lines = await readLines(path);
  if (lines.length === 0) return boxes;
  const { width, height } = await clip.size();
  for (const line of lines) {
    const values = numbersOf(line);
    if (values.length !== 6) {
      throw new InputError(`${line.where} has ${values.length} values; a row is track,frame,x1,y1,x2,y2`);
    }
    const [track, frame, x1, y1, x2, y2] = values;
    if (!Number.isSafeInteger(track) || !Number.isSafeInteger(frame)) {
      throw new InputError(`${line.where}: track ${track} and frame ${frame} must be whole numbers`);
    }
    if (frame < 0 || frame >= (clip.frameCount ?? Number.POSITIVE_INFINITY)) {
      const range = clip.frameCount === undefined ? "from 0 on" : `0 to ${clip.frameCount - 1}`;
      throw new InputError(`${line.where}: there is no frame ${frame}; the video's frames are ${range}`);
    }
    if (x2 < x1 || y2 < y1) {
      throw new InputError(`${line.where}: the box ${x1},${y1},${x2},${y2} ends before it begins`);
    }
    if (x2 < 0 || y2 < 0 || x1 >= width || y1 >= height) {
      throw new InputError(
        `${line.where}: the box ${x1},${y1},${x2},${y2} lies outside of the frame, ${width}×${height} pixels`,
      );
    }
    boxes.push({ track, frame, x1, y1, x2, y2 });
  }
  return boxes;
}
