// Draws the score over time, and a frame with its token map.

/**
 * The context of a canvas with a bitmap for every pixel of the screen; drawing is in CSS pixels.
 */
function fitted(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return { context, width, height };
}

/** Round numbers from `low` to `high`, at least `least` steps, with as many decimals as needed. */
function ticks(low, high, least) {
  const widest = (high - low) / least;
  const power = 10 ** Math.floor(Math.log10(widest));
  const step = [5, 2, 1].map((factor) => factor * power).find((size) => size <= widest * 1.001) ?? power;
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: count }, (_, i) => ((first + i) * step).toFixed(decimals));
}

/** Space around the plot for its numbers, in CSS pixels. */
export const margin = { left: 52, right: 12, top: 22, bottom: 24 };

/**
 * Draws scores over time.
 * @param scores one per frame, so far
 * @param count number of frames of the whole video
 * @param rate frames per second
 * @param selected index of the marked frame
 */
export function drawCurve(canvas, scores, count, rate, selected) {
  const { context, width, height } = fitted(canvas);
  const style = getComputedStyle(canvas);
  const color = (name) => style.getPropertyValue(name);
  const [right, bottom] = [width - margin.right, height - margin.bottom];
  const lowest = scores.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const highest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (scores.length === 0) return;
  const slack = (highest - lowest) * 0.06 || Math.abs(highest) * 0.05 || 1;
  const [low, high] = [lowest - slack, highest + slack];
  const duration = count / rate;
  const x = (time) => margin.left + (time / duration) * (right - margin.left);
  const y = (score) => bottom - ((score - low) / (high - low)) * (bottom - margin.top);

  context.font = `12px ${style.fontFamily}`;
  context.lineWidth = 1;
  context.strokeStyle = color("--grid");
  context.fillStyle = color("--faint");
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const tick of ticks(low, high, 3)) {
    const at = Math.round(y(Number(tick))) + 0.5;
    context.beginPath();
    context.moveTo(margin.left, at);
    context.lineTo(right, at);
    context.stroke();
    context.fillText(tick, margin.left - 8, at);
  }
  context.textBaseline = "top";
  for (const tick of ticks(0, duration, Math.max(2, Math.min(4, width / 170)))) {
    const label = `${tick} s`;
    const half = context.measureText(label).width / 2;
    context.textAlign = "center";
    context.fillText(label, Math.min(x(Number(tick)), width - half), bottom + 7);
  }
  context.textAlign = "left";
  context.fillText("score", 0, 0);

  context.strokeStyle = color("--line");
  context.lineWidth = 1.75;
  context.lineJoin = "round";
  context.beginPath();
  for (const [i, score] of scores.entries()) context.lineTo(x(i / rate), y(score));
  context.stroke();
  if (selected < scores.length) {
    const [markX, markY] = [x(selected / rate), y(scores[selected])];
    context.strokeStyle = context.fillStyle = color("--mark");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(markX, margin.top);
    context.lineTo(markX, bottom);
    context.stroke();
    context.beginPath();
    context.arc(markX, markY, 4, 0, 2 * Math.PI);
    context.fill();
  }
}

/** The mean and spread of all tokens so far, which a token is compared with. */
export class TokenScale {
  #count = 0;
  #sum = 0;
  #squares = 0;

  add(values) {
    for (const value of values) {
      this.#count++;
      this.#sum += value;
      this.#squares += value * value;
    }
  }

  /** From 0 for a token at the mean or below, to 1 at four standard deviations above it. */
  heat(value) {
    const mean = this.#sum / this.#count;
    const spread = Math.sqrt(Math.max(0, this.#squares / this.#count - mean * mean));
    return spread > 0 ? Math.min(1, Math.max(0, (value - mean) / (4 * spread))) : 0;
  }
}

/** Draws a frame, and over it a token map (rows, columns, data) if one is given. */
export function drawPicture(canvas, picture, map, scale) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  if (!map) return;
  const { rows, columns, data } = map;
  const image = new ImageData(columns, rows);
  for (const [i, value] of data.entries()) image.data.set([255, 32, 16, 200 * scale.heat(value)], 4 * i);
  const tokens = new OffscreenCanvas(columns, rows);
  tokens.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(tokens, 0, 0, picture.width, picture.height);
}
