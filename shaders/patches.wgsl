// The pixels of kept tokens as rows of a matrix, for a patch embedding that is a matmul with the
// convolution's own weight [D, 9, P, P]: nine channels (frame, then B, G, R), each by row and
// column, (v - 127.5) / 127.5. An invocation makes four pixels of one frame.
const PATCH: u32 = 16u;  // a multiple of 4
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;
alias Act = f32;  // what activations are stored as

//#include "common/sample.wgsl"

@group(0) @binding(0) var<storage, read> frames: array<vec4<u32>>;  // [slots, H, W] packed B, G, R
@group(0) @binding(1) var<storage, read> samples: array<Sample>;
@group(0) @binding(2) var<storage, read> idsKeep: array<u32>;  // [samples, KEEP]
// [samples, KEEP, 3 frames, 3 channels, P, P]
@group(0) @binding(3) var<storage, read_write> patches: array<vec4<Act>>;

@compute @workgroup_size(64)
fn patchRows(@builtin(global_invocation_id) id: vec3<u32>) {
  const P4 = PATCH / 4u;
  const AREA4 = PATCH * P4;  // vec4s of a channel
  const W4 = GRID_WIDTH * P4;
  if (id.x >= KEEP * 3u * AREA4) { return; }
  let row = id.y * KEEP + id.x / (3u * AREA4);
  let frame = id.x / AREA4 % 3u;
  let pixel = id.x % AREA4;
  let token = idsKeep[row];
  let slot = select(select(samples[id.y].next, samples[id.y].current, frame == 1u), samples[id.y].previous, frame == 0u);
  let origin = slot * TOKENS * AREA4 + token / GRID_WIDTH * PATCH * W4 + token % GRID_WIDTH * P4;
  let words = frames[origin + pixel / P4 * W4 + pixel % P4];
  let values = mat4x4<f32>(
    unpack4x8unorm(words.x),
    unpack4x8unorm(words.y),
    unpack4x8unorm(words.z),
    unpack4x8unorm(words.w),
  );
  let channels = transpose(values);
  let out = (row * 3u + frame) * 3u * AREA4 + pixel;
  patches[out] = vec4<Act>(channels[0] * 2.0 - 1.0);
  patches[out + AREA4] = vec4<Act>(channels[1] * 2.0 - 1.0);
  patches[out + 2u * AREA4] = vec4<Act>(channels[2] * 2.0 - 1.0);
}
