// Reads the frames of a local video file one by one, from a <video> element.

/** Usual frame rates. A measured rate that is close to one of them is replaced by it. */
const usualRates = [5, 10, 12, 12.5, 15, 20, 23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60, 120];

/** An error that the user can fix; its message is shown. */
export class VideoError extends Error {}

/** Loads a file into the element, up to its first frame. */
export async function loadVideo(video, file) {
  if (video.src) URL.revokeObjectURL(video.src);
  const unreadable = () => {
    const why = video.error?.message ? ` (${video.error.message.trim()})` : "";
    const rest = "Every browser plays WebM, and MP4 with H.264: ffmpeg -i in.avi out.mp4 makes one.";
    return new VideoError(`This browser cannot play ${file.name}${why}. ${rest}`);
  };
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(unreadable());
    video.src = URL.createObjectURL(file);
  }).finally(() => {
    video.onloadeddata = null;
    video.onerror = null;
  });
  if (!video.videoWidth) throw new VideoError(`${file.name} has no picture, only sound.`);
  // Videos that a browser recorded have no duration until they are sought to the end.
  if (!Number.isFinite(video.duration)) await seek(video, 1e9);
  if (!Number.isFinite(video.duration)) throw new VideoError(`${file.name} does not say how long it is.`);
}

/** Frames per second, measured while a second or two are played; undefined if that fails. */
export async function measureRate(video) {
  if (!video.requestVideoFrameCallback) return undefined;
  const times = [];
  const seen = new Promise((resolve) => {
    const note = (_, { mediaTime }) => {
      times.push(mediaTime);
      if (times.length < 30) video.requestVideoFrameCallback(note);
      else resolve();
    };
    video.requestVideoFrameCallback(note);
    video.onended = resolve;
    setTimeout(resolve, 2500);
  });
  // Slowly, so that few frames are dropped. Dropped ones do not matter: the shortest step is a
  // frame.
  video.playbackRate = 0.5;
  await video.play().then(
    () => seen,
    () => {},
  );
  video.onended = null;
  video.pause();
  const steps = times.slice(1).map((time, i) => time - times[i]);
  const forward = steps.filter((step) => step > 1 / 250);
  if (forward.length < 3) return undefined;
  const shortest = Math.min(...forward);
  const frames = forward.reduce((sum, step) => sum + Math.round(step / shortest), 0);
  const rate = frames / forward.reduce((sum, step) => sum + step, 0);
  const usual = usualRates.reduce((a, b) => (Math.abs(b - rate) < Math.abs(a - rate) ? b : a));
  return Math.abs(usual - rate) < 0.01 * rate ? usual : Number(rate.toFixed(3));
}

/** How many frames a video has at a rate. */
export function frameCount(video, rate) {
  return Math.max(1, Math.round(video.duration * rate));
}

/**
 * All frames in order, for `fromIterable(…, { format: "rgba" })`. It seeks to the middle of each
 * frame, since playing would drop frames if scoring is slower than the video.
 * @param onFrame receives the canvas with the frame, and its index, before the frame is yielded
 */
export async function* framesOf(video, rate, onFrame) {
  const { videoWidth: width, videoHeight: height } = video;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const count = frameCount(video, rate);
  for (let i = 0; i < count; i++) {
    await seek(video, (i + 0.5) / rate);
    context.drawImage(video, 0, 0, width, height);
    await onFrame(canvas, i);
    const { data } = context.getImageData(0, 0, width, height);
    yield { data, width, height, time: i / rate };
  }
}

/** Shows the frame at a time, in seconds; returns when it can be drawn. */
export function seek(video, time) {
  return new Promise((resolve, reject) => {
    let [painted, sought] = [!video.requestVideoFrameCallback || document.hidden, false];
    let timer = 0;
    const end = (settle, value) => {
      clearTimeout(timer);
      video.cancelVideoFrameCallback?.(request);
      video.onseeked = null;
      video.onerror = null;
      settle(value);
    };
    const request = video.requestVideoFrameCallback?.(() => {
      painted = true;
      if (sought) end(resolve);
    });
    video.onseeked = () => {
      sought = true;
      if (painted) end(resolve);
      // A browser may not paint a frame that it shows already.
      else timer = setTimeout(() => end(resolve), 200);
    };
    video.onerror = () => {
      end(reject, new VideoError(`The video cannot be decoded at ${time.toFixed(2)} s: ${video.error?.message ?? ""}`));
    };
    video.currentTime = time;
  });
}
