// The least and the largest motion of each image column, as the mean of the three channels:
// clean_map.wgsl normalises by them.
const HEIGHT: u32 = 320u;
const WIDTH: u32 = 640u;

//#if FLOATS
@group(0) @binding(0) var<storage, read> gradient: array<f32>;  // [samples, 3, HEIGHT, WIDTH]
//#endif
//#if !FLOATS
@group(0) @binding(1) var<storage, read> packed: array<u32>;  // [samples, HEIGHT, WIDTH] B, G, R
//#endif
// [samples, WIDTH] least, largest; 0..255
@group(0) @binding(2) var<storage, read_write> ranges: array<vec2<f32>>;

//#include "common/mean_motion.wgsl"

@compute @workgroup_size(64)
fn columnRange(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= WIDTH) { return; }
  var least = mean_motion(id.y, id.x);
  var largest = least;
  for (var y = 1u; y < HEIGHT; y++) {
    let motion = mean_motion(id.y, y * WIDTH + id.x);
    least = min(least, motion);
    largest = max(largest, motion);
  }
  ranges[id.y * WIDTH + id.x] = vec2<f32>(least, largest);
}
