// The two errors of a token from stored predictions: mean over its P*P*4 values of the difference between teacher and student, and
// between target and teacher; squared (L2) or absolute. A workgroup works on one token, its lanes on pixels; a prediction's
// vec4 is one pixel (B, G, R, anomaly), as a target's word is (B, G, R, mask).
const PATCH: u32 = 16u;
const GRID_WIDTH: u32 = 40u;
const TOKENS: u32 = 800u;
const PREDICTION_ROWS: u32 = 801u;  // rows of a sample in the predictions: a row in front where the cls token has one
const ABSOLUTE: bool = false;
const NORMALIZE_TARGET: bool = false;  // norm_pix_loss: by the token's mean and unbiased variance
const WORKGROUP: u32 = 64u;
alias Act = f32;  // what activations are stored as

struct Sample { previous: u32, current: u32, next: u32, before: u32, after: u32, target_: u32, frame: u32, unused: u32 }

@group(0) @binding(0) var<storage, read> teacher: array<vec4<Act>>;  // [samples, PREDICTION_ROWS, P*P, 4]
//#if STUDENT
@group(0) @binding(1) var<storage, read> student: array<vec4<Act>>;
//#endif
@group(0) @binding(2) var<storage, read> targets: array<u32>;  // [slots, H, W]
@group(0) @binding(3) var<storage, read> samples: array<Sample>;
@group(0) @binding(4) var<storage, read_write> errors: array<vec2<f32>>;  // [samples, TOKENS] (student, target)

var<workgroup> partial: array<vec2<f32>, WORKGROUP>;

fn workgroupSum(value: vec2<f32>, lane: u32) -> vec2<f32> {
  partial[lane] = value;
  workgroupBarrier();
  for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  let sum = partial[0];
  workgroupBarrier();
  return sum;
}

fn difference(a: vec4<f32>, b: vec4<f32>) -> f32 {
  let d = a - b;
  if (ABSOLUTE) { return dot(abs(d), vec4<f32>(1.0)); }
  return dot(d, d);
}

@compute @workgroup_size(WORKGROUP)
fn tokenErrors(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const PIXELS = PATCH * PATCH;
  const COUNT = f32(PIXELS * 4u);
  let width = GRID_WIDTH * PATCH;
  let token = group.x;
  let corner = samples[group.y].target_ * TOKENS * PIXELS + (token / GRID_WIDTH) * PATCH * width + (token % GRID_WIDTH) * PATCH;
  let row = group.y * PREDICTION_ROWS + token + PREDICTION_ROWS - TOKENS;
  var mean = 0.0;
  var scale = 1.0;
  if (NORMALIZE_TARGET) {
    var sum = 0.0;
    for (var i = lane; i < PIXELS; i += WORKGROUP) {
      sum += dot(unpack4x8unorm(targets[corner + (i / PATCH) * width + i % PATCH]) * 2.0 - 1.0, vec4<f32>(1.0));
    }
    mean = workgroupSum(vec2<f32>(sum, 0.0), lane).x / COUNT;
    var squares = 0.0;
    for (var i = lane; i < PIXELS; i += WORKGROUP) {
      let d = unpack4x8unorm(targets[corner + (i / PATCH) * width + i % PATCH]) * 2.0 - 1.0 - mean;
      squares += dot(d, d);
    }
    scale = inverseSqrt(workgroupSum(vec2<f32>(squares, 0.0), lane).x / (COUNT - 1.0) + 1e-6);
  }
  var error = vec2<f32>(0.0);
  for (var i = lane; i < PIXELS; i += WORKGROUP) {
    let goal = (unpack4x8unorm(targets[corner + (i / PATCH) * width + i % PATCH]) * 2.0 - 1.0 - mean) * scale;
    let prediction = vec4<f32>(teacher[row * PIXELS + i]);
    error.y += difference(goal, prediction);
    //#if STUDENT
    error.x += difference(prediction, vec4<f32>(student[row * PIXELS + i]));
    //#endif
  }
  let total = workgroupSum(error, lane);
  if (lane == 0u) { errors[group.y * TOKENS + token] = total / COUNT; }
}
