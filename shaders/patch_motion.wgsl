// The largest motion of a token: the maximum of the motion gradient over its P x P pixels and 3
// channels.
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;

@group(0) @binding(0) var<storage, read> gradient: array<u32>;  // [samples, H, W] packed B, G, R
@group(0) @binding(1) var<storage, read_write> motion: array<f32>;  // [samples, TOKENS] 0..255

@compute @workgroup_size(64)
fn maximum(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= TOKENS) { return; }
  let width = GRID_WIDTH * PATCH;
  let origin = id.y * TOKENS * PATCH * PATCH + (id.x / GRID_WIDTH) * PATCH * width + (id.x % GRID_WIDTH) * PATCH;
  var largest = vec4<f32>(0.0);
  for (var y = 0u; y < PATCH; y++) {
    for (var x = 0u; x < PATCH; x++) {
      largest = max(largest, unpack4x8unorm(gradient[origin + y * width + x]));
    }
  }
  motion[id.y * TOKENS + id.x] = max(max(largest.x, largest.y), largest.z) * 255.0;
}
