// The cleaned-up anomaly map: (teacher - student)^2 as an image, times the motion normalised by its
// column's range, eroded 2x2, dilated 3x3 twice, then the mean of each token. B, G and R are eroded
// and dilated as one channel: the least, the largest of the three, which counts three times in the
// mean. The anomaly channel is the fourth. Two 3x3 dilations are one of 5x5. Beyond the image is 0,
// so the last row and column erode to 0. A workgroup makes one token, with a margin of 2 pixels
// before and 3 after.
const PATCH: u32 = 16u;
const GRID_HEIGHT: u32 = 20u;
const GRID_WIDTH: u32 = 40u;
// rows of a sample in the predictions: one in front if the cls token has one
const PREDICTION_ROWS: u32 = 801u;
const WORKGROUP: u32 = 64u;
const BEFORE: u32 = 2u;
const SIDE: u32 = PATCH + 5u;
const ERODED_SIDE: u32 = PATCH + 4u;
const HEIGHT: u32 = GRID_HEIGHT * PATCH;
const WIDTH: u32 = GRID_WIDTH * PATCH;
alias Act = f32;  // what activations are stored as
alias Sum = f32;

// [samples, PREDICTION_ROWS, P*P, 4]
@group(0) @binding(0) var<storage, read> teacher: array<vec4<Act>>;
@group(0) @binding(1) var<storage, read> student: array<vec4<Act>>;
//#if FLOATS
@group(0) @binding(2) var<storage, read> gradient: array<f32>;  // [samples, 3, HEIGHT, WIDTH]
//#endif
//#if !FLOATS
@group(0) @binding(3) var<storage, read> packed: array<u32>;  // [samples, HEIGHT, WIDTH] B, G, R
//#endif
@group(0) @binding(4) var<storage, read> ranges: array<vec2<f32>>;  // [samples, WIDTH]
@group(0) @binding(5) var<storage, read_write> cleaned: array<f32>;  // [samples, tokens]

// squared difference times motion: (least of B, G, R; anomaly)
var<workgroup> moving: array<vec2<f32>, SIDE * SIDE>;
var<workgroup> eroded: array<vec2<f32>, ERODED_SIDE * ERODED_SIDE>;
//#include "common/workgroup_sum.wgsl"

//#include "common/mean_motion.wgsl"

fn moving_difference(image: u32, y: u32, x: u32) -> vec2<f32> {
  let token = (y / PATCH) * GRID_WIDTH + x / PATCH;
  let row = image * PREDICTION_ROWS + token + PREDICTION_ROWS - GRID_HEIGHT * GRID_WIDTH;
  let at = row * PATCH * PATCH + (y % PATCH) * PATCH + x % PATCH;
  let d = vec4<f32>(teacher[at]) - vec4<f32>(student[at]);
  let range = ranges[image * WIDTH + x];
  // A column in which nothing moves is 0/0 in the original; here it is 0.
  let motion = select(0.0, (mean_motion(image, y * WIDTH + x) - range.x) / (range.y - range.x), range.y > range.x);
  let squares = d * d * motion;
  return vec2<f32>(min(min(squares.x, squares.y), squares.z), squares.w);
}

@compute @workgroup_size(WORKGROUP)
fn cleanMap(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let top = (group.x / GRID_WIDTH) * PATCH;
  let left = (group.x % GRID_WIDTH) * PATCH;
  for (var i = lane; i < SIDE * SIDE; i += WORKGROUP) {
    // Before the first row or column the unsigned difference wraps to a number beyond the image.
    let y = top + i / SIDE - BEFORE;
    let x = left + i % SIDE - BEFORE;
    var value = vec2<f32>(0.0);
    if (y < HEIGHT && x < WIDTH) { value = moving_difference(group.y, y, x); }
    moving[i] = value;
  }
  workgroupBarrier();
  for (var i = lane; i < ERODED_SIDE * ERODED_SIDE; i += WORKGROUP) {
    let at = (i / ERODED_SIDE) * SIDE + i % ERODED_SIDE;
    eroded[i] = min(min(moving[at], moving[at + 1u]), min(moving[at + SIDE], moving[at + SIDE + 1u]));
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = lane; i < PATCH * PATCH; i += WORKGROUP) {
    let at = (i / PATCH) * ERODED_SIDE + i % PATCH;
    var largest = vec2<f32>(0.0);
    for (var j = 0u; j < 25u; j++) { largest = max(largest, eroded[at + (j / 5u) * ERODED_SIDE + j % 5u]); }
    sum += 0.75 * largest.x + 0.25 * largest.y;
  }
  let total = workgroup_sum(sum, lane);
  if (lane == 0u) { cleaned[group.y * GRID_HEIGHT * GRID_WIDTH + group.x] = total / f32(PATCH * PATCH); }
}
