// Patch embedding of kept tokens only. A convolution with stride P is a matmul whose rows are
// gathered from the 8-bit frames and normalised as they are read: (v - 127.5) / 127.5. An
// invocation makes ROWS tokens of 4 columns; the lanes of a workgroup share the tokens.
//
// The ladder of this family. Instructions of the main loop: RTX 3090, 320x640, batch 16
// (bench/kernels.js). An HMMA is 2048 multiply-adds of a warp.
//   patch_embed.wgsl           plain: 4 tokens by 4 columns per invocation. 2.3 per multiply-add.
//                              Runs anywhere; the default if no other variant fits.
//   patch_embed_subgroup.wgsl  a subgroup shares its pixels by broadcasts. The default on software
//                              adapters: 52 GFLOP/s on two cores with lavapipe at 320x640.
//   patch_embed_tiled.wgsl     tiles in workgroup memory. 1.1 per multiply-add (float16: 1.4). The
//                              default on GPUs.
//   patch_embed_matrix.wgsl    matrix units, float16: 4.8 per HMMA; 136 registers.
//   patch_embed_split.wgsl     float32 on the same units: 3.0 per HMMA, of which two make one
//                              product; 128 registers.
// Matrix units are used only if the tuner has checked them on the adapter.
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const KEEP: u32 = 400u;
const WIDTH: u32 = 256u;
const ROWS: u32 = 4u;
const LANES: u32 = 64u;
alias Act = f32;  // what weights and activations are stored as

//#include "common/sample.wgsl"

@group(0) @binding(0) var<storage, read> frames: array<u32>;  // [slots, H, W] packed B, G, R
@group(0) @binding(1) var<storage, read> samples: array<Sample>;
@group(0) @binding(2) var<storage, read> idsKeep: array<u32>;  // [samples, KEEP]
// [3 frames, P, P, 3 channels, WIDTH]
@group(0) @binding(3) var<storage, read> weight: array<vec4<Act>>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;  // [WIDTH]
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Act>>;  // [samples, KEEP, WIDTH]

@compute @workgroup_size(LANES)
fn patchEmbed(@builtin(global_invocation_id) id: vec3<u32>) {
  const W4 = WIDTH / 4u;
  let width = GRID_WIDTH * PATCH;
  let column = min(id.x, W4 - 1u);
  var origin: array<u32, ROWS>;
  var acc: array<vec4<f32>, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    let token = idsKeep[id.z * KEEP + min(id.y * ROWS + r, KEEP - 1u)];
    origin[r] = (token / GRID_WIDTH) * PATCH * width + (token % GRID_WIDTH) * PATCH;
    acc[r] = bias[column];
  }
  var w = column;
  for (var t = 0u; t < 3u; t++) {
    var slot = samples[id.z].previous;
    if (t == 1u) { slot = samples[id.z].current; }
    if (t == 2u) { slot = samples[id.z].next; }
    let image = slot * TOKENS * PATCH * PATCH;
    for (var y = 0u; y < PATCH; y++) {
      for (var x = 0u; x < PATCH; x++) {
        let blue = vec4<f32>(weight[w]);
        let green = vec4<f32>(weight[w + W4]);
        let red = vec4<f32>(weight[w + 2u * W4]);
        w += 3u * W4;
        for (var r = 0u; r < ROWS; r++) {
          let pixel = unpack4x8unorm(frames[image + origin[r] + y * width + x]) * 2.0 - 1.0;
          acc[r] += pixel.x * blue + pixel.y * green + pixel.z * red;
        }
      }
    }
  }
  if (id.x >= W4) { return; }
  for (var r = 0u; r < ROWS; r++) {
    let row = id.y * ROWS + r;
    if (row < KEEP) { y[(id.z * KEEP + row) * W4 + column] = vec4<Act>(acc[r]); }
  }
}
