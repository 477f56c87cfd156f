// Both prediction heads and both errors in one pass; no prediction is stored. A workgroup takes
// ROWS tokens. Its lanes run over pixels (a vec4 of columns is one pixel: B, G, R, anomaly),
// compute the teacher's and the student's prediction, and add up |teacher - student| and
// |target - teacher| (squared, or absolute).
//
// The ladder of this family. Instructions of the main loop: RTX 3090, 320x640, batch 16
// (bench/kernels.js). An HMMA is 2048 multiply-adds of a warp.
//   head_errors.wgsl           plain: all pixels of 4 tokens per workgroup. 2.1 per multiply-add.
//                              Runs anywhere; the default if no other variant fits.
//   head_errors_subgroup.wgsl  a subgroup shares its features by broadcasts. The default on
//                              software adapters: 37 GFLOP/s on two cores with lavapipe at 320x640.
//   head_errors_tiled.wgsl     tiles in workgroup memory. 1.3 per multiply-add (float16: 1.5). The
//                              default on GPUs.
//   head_errors_matrix.wgsl    matrix units, float16: 4.4 per HMMA; 128 registers.
//   head_errors_split.wgsl     float32 on the same units: 3.2 per HMMA, of which three make one
//                              product; 128 registers.
// Matrix units are used only if the tuner has checked them on the adapter.
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const WIDTH: u32 = 128u;
const ROWS: u32 = 4u;
const ABSOLUTE: bool = false;
const WORKGROUP: u32 = 64u;
alias Act = f32;  // what features and weights are stored as

//#include "common/sample.wgsl"

// [samples, 1 + TOKENS, WIDTH] normalised
@group(0) @binding(0) var<storage, read> teacher: array<vec4<Act>>;
// [1 or 2 (teacher, student), WIDTH, P*P, 4]
@group(0) @binding(1) var<storage, read> weight: array<vec4<Act>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [1 or 2, P*P, 4]
//#if STUDENT
@group(0) @binding(3) var<storage, read> student: array<vec4<Act>>;
//#endif
@group(0) @binding(6) var<storage, read> targets: array<u32>;  // [slots, H, W]
@group(0) @binding(7) var<storage, read> samples: array<Sample>;
// [samples, TOKENS] (student, target)
@group(0) @binding(8) var<storage, read_write> errors: array<vec2<f32>>;

var<workgroup> partial: array<array<vec2<f32>, ROWS>, WORKGROUP>;

//#include "common/difference.wgsl"

@compute @workgroup_size(WORKGROUP)
fn headErrors(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const PIXELS = PATCH * PATCH;
  const W4 = WIDTH / 4u;
  let width = GRID_WIDTH * PATCH;
  let image = samples[group.y].target_ * TOKENS * PIXELS;
  var error: array<vec2<f32>, ROWS>;
  var row: array<u32, ROWS>;
  var origin: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    let token = min(group.x * ROWS + r, TOKENS - 1u);
    row[r] = (group.y * (1u + TOKENS) + 1u + token) * W4;
    origin[r] = image + (token / GRID_WIDTH) * PATCH * width + (token % GRID_WIDTH) * PATCH;
  }
  for (var pixel = lane; pixel < PIXELS; pixel += WORKGROUP) {
    var prediction: array<vec4<f32>, ROWS>;
    for (var r = 0u; r < ROWS; r++) { prediction[r] = bias[pixel]; }
    for (var k = 0u; k < W4; k++) {
      let w = k * 4u * PIXELS + pixel;
      let w0 = vec4<f32>(weight[w]);
      let w1 = vec4<f32>(weight[w + PIXELS]);
      let w2 = vec4<f32>(weight[w + 2u * PIXELS]);
      let w3 = vec4<f32>(weight[w + 3u * PIXELS]);
      for (var r = 0u; r < ROWS; r++) {
        let a = vec4<f32>(teacher[row[r] + k]);
        prediction[r] += a.x * w0 + a.y * w1 + a.z * w2 + a.w * w3;
      }
    }
    for (var r = 0u; r < ROWS; r++) {
      let target_pixel = unpack4x8unorm(targets[origin[r] + (pixel / PATCH) * width + pixel % PATCH]) * 2.0 - 1.0;
      error[r].y += difference(target_pixel, prediction[r]);
    }
    //#if STUDENT
    for (var r = 0u; r < ROWS; r++) { prediction[r] -= bias[PIXELS + pixel]; }
    for (var k = 0u; k < W4; k++) {
      let w = (WIDTH + k * 4u) * PIXELS + pixel;
      let w0 = vec4<f32>(weight[w]);
      let w1 = vec4<f32>(weight[w + PIXELS]);
      let w2 = vec4<f32>(weight[w + 2u * PIXELS]);
      let w3 = vec4<f32>(weight[w + 3u * PIXELS]);
      for (var r = 0u; r < ROWS; r++) {
        let a = vec4<f32>(student[row[r] + k]);
        prediction[r] -= a.x * w0 + a.y * w1 + a.z * w2 + a.w * w3;
      }
    }
    for (var r = 0u; r < ROWS; r++) { error[r].x += difference(prediction[r], vec4<f32>(0.0)); }
    //#endif
  }
  partial[lane] = error;
  workgroupBarrier();
  if (lane < ROWS && group.x * ROWS + lane < TOKENS) {
    var sum = vec2<f32>(0.0);
    for (var i = 0u; i < WORKGROUP; i++) { sum += partial[i][lane]; }
    errors[group.y * TOKENS + group.x * ROWS + lane] = sum / f32(PIXELS * 4u);
  }
}
