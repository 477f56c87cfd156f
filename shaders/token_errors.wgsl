// The two errors of a token from stored predictions: means over its P*P*4 values of the difference
// between teacher and student, and between target and teacher; squared (L2) or absolute. One
// workgroup per token, whose lanes run over pixels. A prediction's vec4 is one pixel (B, G, R,
// anomaly), as a target's word is (B, G, R, mask).
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
// rows of a sample in the predictions: one in front if the cls token has one
const PREDICTION_ROWS: u32 = 801u;
const ABSOLUTE: bool = false;
const NORMALIZE_TARGET: bool = false;  // norm_pix_loss: by the token's mean and unbiased variance
const WORKGROUP: u32 = 64u;
alias Act = f32;  // what activations are stored as
alias Sum = vec2<f32>;

//#include "common/sample.wgsl"

// [samples, PREDICTION_ROWS, P*P, 4]
@group(0) @binding(0) var<storage, read> teacher: array<vec4<Act>>;
//#if STUDENT
@group(0) @binding(1) var<storage, read> student: array<vec4<Act>>;
//#endif
@group(0) @binding(2) var<storage, read> targets: array<u32>;  // [slots, H, W]
@group(0) @binding(3) var<storage, read> samples: array<Sample>;
// [samples, TOKENS] (student, target)
@group(0) @binding(4) var<storage, read_write> errors: array<vec2<f32>>;

//#include "common/workgroup_sum.wgsl"

//#include "common/difference.wgsl"

@compute @workgroup_size(WORKGROUP)
fn tokenErrors(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const PIXELS = PATCH * PATCH;
  const COUNT = f32(PIXELS * 4u);
  let width = GRID_WIDTH * PATCH;
  let token = group.x;
  let origin = samples[group.y].target_ * TOKENS * PIXELS + (token / GRID_WIDTH) * PATCH * width + (token % GRID_WIDTH) * PATCH;
  let row = group.y * PREDICTION_ROWS + token + PREDICTION_ROWS - TOKENS;
  var mean = 0.0;
  var scale = 1.0;
  if (NORMALIZE_TARGET) {
    var sum = 0.0;
    for (var i = lane; i < PIXELS; i += WORKGROUP) {
      sum += dot(unpack4x8unorm(targets[origin + (i / PATCH) * width + i % PATCH]) * 2.0 - 1.0, vec4<f32>(1.0));
    }
    mean = workgroup_sum(vec2<f32>(sum, 0.0), lane).x / COUNT;
    var squares = 0.0;
    for (var i = lane; i < PIXELS; i += WORKGROUP) {
      let d = unpack4x8unorm(targets[origin + (i / PATCH) * width + i % PATCH]) * 2.0 - 1.0 - mean;
      squares += dot(d, d);
    }
    scale = inverseSqrt(workgroup_sum(vec2<f32>(squares, 0.0), lane).x / (COUNT - 1.0) + 1e-6);
  }
  var error = vec2<f32>(0.0);
  for (var i = lane; i < PIXELS; i += WORKGROUP) {
    let target_pixel = (unpack4x8unorm(targets[origin + (i / PATCH) * width + i % PATCH]) * 2.0 - 1.0 - mean) * scale;
    let prediction = vec4<f32>(teacher[row * PIXELS + i]);
    error.y += difference(target_pixel, prediction);
    //#if STUDENT
    error.x += difference(prediction, vec4<f32>(student[row * PIXELS + i]));
    //#endif
  }
  let total = workgroup_sum(error, lane);
  if (lane == 0u) { errors[group.y * TOKENS + token] = total / COUNT; }
}
