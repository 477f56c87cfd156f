// Pictures of frames and anomaly maps for a report.
import sharp from "sharp";
import type { DatasetVideo } from "../../data/dataset.js";
import { toBgr } from "../../data/frame.js";
import type { ScoreMap } from "../../detector/token_maps.js";
import type { ReportPicture } from "./data.js";
import { heatmap } from "./heatmap.js";

/** A frame of which a picture is wanted. */
export interface PictureWish {
  /** Position in the video, from 0. */
  index: number;
  /** Of the picture, in pixels, at most. */
  width: number;
}

/**
 * Takes pictures of a video's frames, each with its anomaly map. The video is decoded once.
 * @param mapAt gives the map of a frame, by position
 * @param range the map values that are transparent (low) and opaque (high)
 * @returns the pictures in the order of the wishes
 * @throws InputError as the video does
 */
export async function takePictures(
  video: DatasetVideo,
  wishes: readonly PictureWish[],
  mapAt: (index: number) => ScoreMap,
  range: { low: number; high: number },
  signal?: AbortSignal,
): Promise<ReportPicture[]> {
  const pictures = new Map<PictureWish, ReportPicture>();
  if (wishes.length === 0) return [];
  const last = Math.max(...wishes.map((wish) => wish.index));
  for await (const { index, data, width, height } of (await video.open()).frames(signal)) {
    for (const wish of wishes.filter((w) => w.index === index)) {
      const image = await jpeg(data, width, height, wish.width);
      pictures.set(wish, { index, image, map: await overlay(mapAt(index), range) });
    }
    if (index >= last) break;
  }
  return wishes.flatMap((wish) => pictures.get(wish) ?? []);
}

/** A frame as a JPEG, a data: URL. @param wanted its width in pixels, at most */
export async function jpeg(bgr: Uint8Array, width: number, height: number, wanted: number): Promise<string> {
  const rgb = toBgr(bgr, "rgb"); // the same swap both ways
  const image = sharp(rgb, { raw: { width, height, channels: 3 } });
  const bytes = await image.resize({ width: wanted, withoutEnlargement: true }).jpeg({ quality: 72 }).toBuffer();
  return `data:image/jpeg;base64,${bytes.toString("base64")}`;
}

/** A map as a PNG to put over its frame, a data: URL. */
export async function overlay(map: ScoreMap, { low, high }: { low: number; high: number }): Promise<string> {
  const { width, height, rgba } = heatmap(map, low, high);
  const bytes = await sharp(rgba, { raw: { width, height, channels: 4 } })
    .png()
    .toBuffer();
  return `data:image/png;base64,${bytes.toString("base64")}`;
}
