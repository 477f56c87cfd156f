// Changes how the three frames of a sample look, and its target alike: light, contrast, noise and
// shaking of the camera. What is abnormal stays so. One invocation makes one pixel of all four
// images.
//
// - A pixel comes from `x`, `y` pixels further; beyond the border, the border's pixel stands
//   in.
// - Colours become value * gain + bias.
// - Noise is about normal: the sum of four bytes of a hash of seed, frame and pixel. It is gray.
//   The target has none, because it cannot be predicted.
const HEIGHT: u32 = 320u;
const WIDTH: u32 = 640u;
const FOUR_BYTES: f32 = 147.8;  // the standard deviation of the sum of four bytes

struct Frame { gain: f32, bias: f32, x: i32, y: i32 }
struct Augmentation {
  frames: array<Frame, 3>,
  noise: f32,  // standard deviation, in grey levels
  seed: u32,
  unused: vec2<u32>,
}

@group(0) @binding(0) var<storage, read> frames: array<u32>;  // [samples, 3, H, W] packed B, G, R
// [samples, H, W] packed B, G, R, mask
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> augmentations: array<Augmentation>;  // [samples]
// [samples, 3, H, W] packed B, G, R
@group(0) @binding(3) var<storage, read_write> augmented: array<u32>;
// [samples, H, W] packed B, G, R, mask
@group(0) @binding(4) var<storage, read_write> changed: array<u32>;

//#include "common/pcg4d.wgsl"
fn source(id: vec3<u32>, frame: Frame) -> u32 {
  let x = u32(clamp(i32(id.x) + frame.x, 0, i32(WIDTH) - 1));
  let y = u32(clamp(i32(id.y) + frame.y, 0, i32(HEIGHT) - 1));
  return y * WIDTH + x;
}

fn lit(color: u32, frame: Frame, noise: f32) -> u32 {
  let value = unpack4x8unorm(color).xyz * 255.0 * frame.gain + frame.bias + noise;
  let bytes = vec3<u32>(clamp(floor(value + 0.5), vec3<f32>(0.0), vec3<f32>(255.0)));
  return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (color & 0xff000000u);
}

@compute @workgroup_size(64)
fn augment(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= WIDTH) { return; }
  let size = HEIGHT * WIDTH;
  let here = id.y * WIDTH + id.x;
  let noise = augmentations[id.z].noise;
  for (var t = 0u; t < 3u; t++) {
    let frame = augmentations[id.z].frames[t];
    let hash = pcg4d(vec4<u32>(augmentations[id.z].seed, t, here, 0u)).x;
    let bytes = unpack4x8unorm(hash) * 255.0;
    let normal = (bytes.x + bytes.y + bytes.z + bytes.w - 510.0) / FOUR_BYTES;
    let at = id.z * 3u + t;
    augmented[at * size + here] = lit(frames[at * size + source(id, frame)], frame, noise * normal);
  }
  let current = augmentations[id.z].frames[1];
  changed[id.z * size + here] = lit(targets[id.z * size + source(id, current)], current, 0.0);
}
