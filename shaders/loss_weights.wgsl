// Weights of the gradient-weighted loss, not yet divided by their sum. G is the motion gradient
// plus A on all three channels, with A = clip(anomaly channel of the target, 0, 1) * max(128,
// largest motion of the sample). A is as large where something normal was pasted: nothing moves
// there in the gradient, which is that of the video. A token's weight is the mean over the channels
// of G's maximum over its P x P pixels.
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const LEAST: f32 = 0.0;  // the least weight

//#include "common/sample.wgsl"
//#include "common/mask.wgsl"

@group(0) @binding(0) var<storage, read> gradient: array<u32>;  // [samples, H, W] packed B, G, R
// [samples, TOKENS] the largest motion of each token
@group(0) @binding(1) var<storage, read> motion: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;  // [slots, H, W] packed B, G, R, mask
@group(0) @binding(3) var<storage, read> samples: array<Sample>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;  // [samples, TOKENS]

@compute @workgroup_size(64)
fn lossWeights(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= TOKENS) { return; }
  var max_motion = 128.0;
  for (var i = 0u; i < TOKENS; i++) { max_motion = max(max_motion, motion[id.y * TOKENS + i]); }
  let width = GRID_WIDTH * PATCH;
  let origin = (id.x / GRID_WIDTH) * PATCH * width + (id.x % GRID_WIDTH) * PATCH;
  let image = TOKENS * PATCH * PATCH;
  var token_max = vec3<f32>(0.0);
  for (var i = 0u; i < PATCH * PATCH; i++) {
    let at = origin + (i / PATCH) * width + i % PATCH;
    let mask = targets[samples[id.y].target_ * image + at] >> 24u;
    let share = select(max(f32(mask) / 127.5 - 1.0, 0.0), 1.0, mask == NORMAL);
    token_max = max(token_max, unpack4x8unorm(gradient[id.y * image + at]).xyz * 255.0 + share * max_motion);
  }
  weights[id.y * TOKENS + id.x] = max(LEAST, (token_max.x + token_max.y + token_max.z) / 3.0);
}
