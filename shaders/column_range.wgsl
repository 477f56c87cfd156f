// The least and the largest motion of each image column, gray (mean of the three channels): what the map clean-up normalises by.
const HEIGHT: u32 = 320u;
const WIDTH: u32 = 640u;

//#if FLOATS
@group(0) @binding(0) var<storage, read> gradient: array<f32>;  // [samples, 3, HEIGHT, WIDTH]
//#endif
//#if !FLOATS
@group(0) @binding(1) var<storage, read> packed: array<u32>;  // [samples, HEIGHT, WIDTH] B, G, R
//#endif
@group(0) @binding(2) var<storage, read_write> ranges: array<vec2<f32>>;  // [samples, WIDTH] least, largest; 0..255

fn motionAt(image: u32, pixel: u32) -> f32 {
  var channels = vec3<f32>(0.0);
  //#if FLOATS
  let at = image * 3u * HEIGHT * WIDTH + pixel;
  channels = vec3<f32>(gradient[at], gradient[at + HEIGHT * WIDTH], gradient[at + 2u * HEIGHT * WIDTH]);
  //#endif
  //#if !FLOATS
  channels = unpack4x8unorm(packed[image * HEIGHT * WIDTH + pixel]).xyz * 255.0;
  //#endif
  return (channels.x + channels.y + channels.z) / 3.0;
}

@compute @workgroup_size(64)
fn columnRange(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= WIDTH) { return; }
  var least = motionAt(id.y, id.x);
  var largest = least;
  for (var y = 1u; y < HEIGHT; y++) {
    let motion = motionAt(id.y, y * WIDTH + id.x);
    least = min(least, motion);
    largest = max(largest, motion);
  }
  ranges[id.y * WIDTH + id.x] = vec2<f32>(least, largest);
}
