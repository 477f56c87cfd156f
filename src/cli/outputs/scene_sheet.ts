import { type SceneDatasetSettings, sceneVideos } from "../../data/scene/dataset.js";
import type { Scene, SceneFrame, SceneVideo } from "../../data/scene/scene.js";
import { encodePng } from "../../node/media/png_write.js";

/** Pictures per row, most rows of test videos, and pixels between pictures. */
const [COLUMNS, ROWS, GAP] = [4, 12, 4];

/**
 * A contact sheet as a PNG: a row per video, training videos first. Test videos show their abnormal
 * moments, with anomalies tinted and outlined in red.
 */
export async function sceneSheet(scene: Scene, settings: SceneDatasetSettings): Promise<Uint8Array> {
  const { width, height } = scene;
  const rows = [
    ...sceneVideos(scene, "train", { ...settings, train: Math.min(settings.train, 2) }),
    ...[...sceneVideos(scene, "test", settings)].slice(0, ROWS),
  ];
  const sheetWidth = COLUMNS * (width + GAP) + GAP;
  const sheetHeight = rows.length * (height + GAP) + GAP;
  const sheet = new Uint8Array(sheetWidth * sheetHeight * 3).fill(32);
  for (const [row, { video }] of rows.entries()) {
    for (const [column, frame] of moments(video).entries()) {
      const image = marked(video.render(frame), width);
      const [left, top] = [GAP + column * (width + GAP), GAP + row * (height + GAP)];
      for (let y = 0; y < height; y++) {
        const line = image.subarray(y * width * 3, (y + 1) * width * 3);
        sheet.set(line, ((top + y) * sheetWidth + left) * 3);
      }
    }
  }
  return encodePng(sheet, sheetWidth, sheetHeight);
}

/** Frames spread over the abnormal ones of a video, or over all if none is abnormal. */
function moments(video: SceneVideo): number[] {
  const all = Array.from({ length: video.frameCount }, (_, frame) => frame);
  const abnormal = all.filter((frame) => video.truth(frame).label === 1);
  const from = abnormal.length > 0 ? abnormal : all;
  return Array.from({ length: COLUMNS }, (_, i) => from[Math.floor(((i + 0.5) / COLUMNS) * from.length)]);
}

function marked({ image, mask }: SceneFrame, width: number): Uint8Array {
  for (let pixel = 0; pixel < mask.length; pixel++) {
    if (!mask[pixel]) continue;
    const isEdge = ![-1, 1, -width, width].every((step) => mask[pixel + step]);
    const strength = isEdge ? 1 : 0.25;
    for (const [channel, value] of [30, 30, 255].entries()) {
      image[pixel * 3 + channel] += (value - image[pixel * 3 + channel]) * strength;
    }
  }
  return image;
}
