// Weights of the gradient-weighted loss, not yet divided by their sum: G = motion gradient + A on all three channels, where
// A = clip(anomaly channel of the target, 0, 1) * max(128, largest motion of the sample); a token's weight is the mean over the
// channels of its P x P maximum of G.
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;

struct Sample { previous: u32, current: u32, next: u32, before: u32, after: u32, target_: u32, frame: u32, unused: u32 }

@group(0) @binding(0) var<storage, read> gradient: array<u32>;  // [samples, H, W] packed B, G, R
@group(0) @binding(1) var<storage, read> motion: array<f32>;  // [samples, TOKENS] the largest motion of each token
@group(0) @binding(2) var<storage, read> targets: array<u32>;  // [slots, H, W] packed B, G, R, mask
@group(0) @binding(3) var<storage, read> samples: array<Sample>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;  // [samples, TOKENS]

@compute @workgroup_size(64)
fn lossWeights(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= TOKENS) { return; }
  var strongest = 128.0;
  for (var i = 0u; i < TOKENS; i++) { strongest = max(strongest, motion[id.y * TOKENS + i]); }
  let width = GRID_WIDTH * PATCH;
  let corner = (id.x / GRID_WIDTH) * PATCH * width + (id.x % GRID_WIDTH) * PATCH;
  let image = TOKENS * PATCH * PATCH;
  var largest = vec3<f32>(0.0);
  for (var i = 0u; i < PATCH * PATCH; i++) {
    let at = corner + (i / PATCH) * width + i % PATCH;
    let anomaly = clamp(unpack4x8unorm(targets[samples[id.y].target_ * image + at]).w * 2.0 - 1.0, 0.0, 1.0);
    largest = max(largest, unpack4x8unorm(gradient[id.y * image + at]).xyz * 255.0 + anomaly * strongest);
  }
  weights[id.y * TOKENS + id.x] = (largest.x + largest.y + largest.z) / 3.0;
}
