// Live pictures as multipart/x-mixed-replace, which browsers and video recorders show like a video.
import { setTimeout as sleep } from "node:timers/promises";
import type { SeenCamera } from "./watched.js";

const BOUNDARY = "sdmae-picture";
/** The content type of {@link livePictures}. */
export const livePicturesType = `multipart/x-mixed-replace; boundary=${BOUNDARY}`;

/** Milliseconds between looks for a new picture. */
const LOOK = 50;

/**
 * A camera's pictures, one after another, until it is gone. Whoever reads slowly skips pictures:
 * only the newest one is sent.
 * @param camera finds it: an edited configuration may have replaced it
 * @param onEnd called once, when the reader or the camera is gone
 */
export function livePictures(
  camera: () => Pick<SeenCamera, "picture"> | undefined,
  onEnd: () => void,
): ReadableStream<Uint8Array> {
  const gone = new AbortController();
  let sent: Uint8Array | undefined;
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const picture = await nextPicture(camera, sent, gone.signal);
        if (!picture) {
          if (gone.signal.aborted) return;
          controller.close();
          onEnd();
          return;
        }
        // Browsers show a part when the next boundary comes: it stands behind each picture.
        const begin = sent ? "" : `--${BOUNDARY}\r\n`;
        const head = `${begin}Content-Type: image/jpeg\r\nContent-Length: ${picture.length}\r\n\r\n`;
        controller.enqueue(Buffer.concat([Buffer.from(head), picture, Buffer.from(`\r\n--${BOUNDARY}\r\n`)]));
        sent = picture;
      },
      cancel: () => {
        gone.abort();
        onEnd();
      },
    },
    // No picture waits for a reader.
    { highWaterMark: 0 },
  );
}

/** The next picture; undefined if the camera or the reader is gone. */
async function nextPicture(
  camera: () => Pick<SeenCamera, "picture"> | undefined,
  last: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  while (!signal.aborted) {
    const found = camera();
    if (!found) return undefined;
    const { picture } = found;
    if (picture && picture !== last) return picture;
    await sleep(LOOK, undefined, { signal, ref: false }).catch(() => {});
  }
  return undefined;
}
