// The gradient of token_errors.wgsl (squared differences) by one prediction. The teacher's (TARGET)
// has the target's error and, if there is a student, the student's; the student's has only the
// latter, with the opposite sign. One workgroup per row, whose lanes run over pixels. The row in
// front is the cls token's, which no error uses.
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const NORMALIZE_TARGET: bool = false;  // norm_pix_loss: by the token's mean and unbiased variance
const WORKGROUP: u32 = 64u;
alias Act = f32;  // what activations are stored as
alias Sum = f32;

//#include "common/sample.wgsl"

// [samples, 1 + TOKENS, P*P, 4]
@group(0) @binding(0) var<storage, read> teacher: array<vec4<Act>>;
//#if STUDENT
@group(0) @binding(1) var<storage, read> student: array<vec4<Act>>;
//#endif
//#if TARGET
@group(0) @binding(2) var<storage, read> targets: array<u32>;  // [slots, H, W]
@group(0) @binding(3) var<storage, read> samples: array<Sample>;
//#endif
// [samples, TOKENS] (student, target)
@group(0) @binding(4) var<storage, read> dErrors: array<vec2<f32>>;
// [samples, 1 + TOKENS, P*P, 4]
@group(0) @binding(5) var<storage, read_write> dPrediction: array<vec4<Act>>;

const PIXELS = PATCH * PATCH;
const COUNT = f32(PIXELS * 4u);

//#if TARGET
//#include "common/workgroup_sum.wgsl"

fn target_at(origin: u32, pixel: u32) -> vec4<f32> {
  return unpack4x8unorm(targets[origin + (pixel / PATCH) * GRID_WIDTH * PATCH + pixel % PATCH]) * 2.0 - 1.0;
}
//#endif

@compute @workgroup_size(WORKGROUP)
fn tokenErrorsBackward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * (1u + TOKENS) + group.x) * PIXELS;
  if (group.x == 0u) {
    for (var i = lane; i < PIXELS; i += WORKGROUP) { dPrediction[row + i] = vec4<Act>(); }
    return;
  }
  let token = group.x - 1u;
  let slope = dErrors[group.y * TOKENS + token] * (2.0 / COUNT);
  //#if TARGET
  let grid = vec2<u32>(token % GRID_WIDTH, token / GRID_WIDTH);
  let origin = samples[group.y].target_ * TOKENS * PIXELS + (grid.y * GRID_WIDTH * PATCH + grid.x) * PATCH;
  var mean = 0.0;
  var scale = 1.0;
  if (NORMALIZE_TARGET) {
    var sum = 0.0;
    for (var i = lane; i < PIXELS; i += WORKGROUP) { sum += dot(target_at(origin, i), vec4<f32>(1.0)); }
    mean = workgroup_sum(sum, lane) / COUNT;
    var squares = 0.0;
    for (var i = lane; i < PIXELS; i += WORKGROUP) {
      let d = target_at(origin, i) - mean;
      squares += dot(d, d);
    }
    scale = inverseSqrt(workgroup_sum(squares, lane) / (COUNT - 1.0) + 1e-6);
  }
  //#endif
  for (var i = lane; i < PIXELS; i += WORKGROUP) {
    var gradient = vec4<f32>(0.0);
    //#if TARGET
    gradient += slope.y * (vec4<f32>(teacher[row + i]) - (target_at(origin, i) - mean) * scale);
    //#endif
    //#if STUDENT
    var diff = vec4<f32>(student[row + i]) - vec4<f32>(teacher[row + i]);
    //#if TARGET
    diff = -diff;
    //#endif
    gradient += slope.x * diff;
    //#endif
    dPrediction[row + i] = vec4<Act>(gradient);
  }
}
