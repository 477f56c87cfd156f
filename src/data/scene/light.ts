// Light and sensor: brightness over time, noise, exposure.

import { mix, uniformGenerator } from "../../random.js";
import { Draw } from "./draw.js";

/** The sky's light, and the sun's at its brightest, as shares of full light. */
const [SKY, SUN] = [0.5, 0.5];

/** How bright it is, as shares of full light. */
export interface Brightness {
  /** The sky's light, which is also in the shade. */
  sky: number;
  /** What the sun adds outside the shade. */
  sun: number;
}

/** The weather of a video, and the camera's sensor. */
export class Light {
  private readonly waves: { amplitude: number; frequency: number; phase: number }[];
  private readonly mean: number;
  private readonly drift: number;

  constructor(private readonly seed: number) {
    const draw = new Draw(seed, 21);
    this.mean = draw.number(0.6, 0.95);
    this.drift = draw.number(0, 100);
    // Clouds that take 8 to 40 seconds to pass.
    this.waves = [8, 15, 40].map((period) => ({
      amplitude: draw.number(0.02, 0.06),
      frequency: (2 * Math.PI) / (period * draw.number(0.8, 1.2)),
      phase: draw.number(0, 2 * Math.PI),
    }));
  }

  /** The brightness at a time in seconds. */
  at(time: number): Brightness {
    let sun = this.mean;
    for (const { amplitude, frequency, phase } of this.waves) sun += amplitude * Math.sin(frequency * time + phase);
    return { sky: SKY, sun: SUN * sun };
  }

  /**
   * Makes the sensor's image. Adds drifting clouds, a flickering exposure, a lens that is darker
   * towards the corners, and noise that grows with the brightness.
   * @param color B, G, R, 0 to 255, in full precision
   * @param frame the frame's number, which determines its noise
   * @param time in seconds
   * @returns 8-bit B, G, R, interleaved, row-major
   */
  expose(color: Float32Array, width: number, height: number, frame: number, time: number): Uint8Array {
    const out = new Uint8Array(color.length);
    const draw = new Draw(this.seed, 22, frame);
    const exposure = 1.04 + 0.012 * Math.sin(time * 0.9 + this.drift) + draw.number(-0.004, 0.004);
    const columns = Float32Array.from({ length: width }, (_, x) => {
      const u = (x + 0.5) / width - 0.5;
      return 1 + 0.025 * Math.sin(5 * u + 0.35 * time + this.drift) - 0.22 * u * u;
    });
    let state = mix(this.seed, 23, frame) || 1;
    for (let row = 0, at = 0; row < height; row++) {
      const v = (row + 0.5) / height - 0.5;
      const rowGain = exposure * (1 + 0.02 * Math.sin(4 * v - 0.25 * time + 2 * this.drift) - 0.16 * v * v);
      for (let column = 0; column < width; column++) {
        // Xorshift: 32 bits per pixel, ten for each channel.
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        const gain = rowGain * columns[column];
        for (let channel = 0; channel < 3; channel++, at++) {
          const value = color[at] * gain;
          const noise = GAUSSIAN[(state >>> (channel * 10)) & 1023] * (1.1 + 0.007 * value);
          out[at] = Math.min(255, Math.max(0, value + noise + 0.5));
        }
      }
    }
    return out;
  }
}

/** 1024 normally distributed numbers, by the Box–Muller method. */
const GAUSSIAN = normalNumbers(1024);

function normalNumbers(count: number): Float32Array {
  const next = uniformGenerator(24);
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    return radius * Math.cos(2 * Math.PI * next());
  });
}
