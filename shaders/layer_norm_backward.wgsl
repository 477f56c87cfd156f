// LayerNorm's gradient by x. With n = (x - mean)/std and g = gamma dy: dx = (g - mean(g) - n mean(g
// n)) / std. Mean and deviation are computed again. Once the mean is known, one pass gives all
// other sums; those of g n are divided by std afterwards. LANES invocations share a row; with more
// than one they add up in workgroup memory (SHARED). FRONT is 1 if the forward kernel put a token
// in front of each sample: dy has that row more.
const WIDTH: u32 = 256u;
const ROWS: u32 = 400u;  // all rows of x
const SAMPLE_ROWS: u32 = 400u;  // rows of a sample in x
const FRONT: u32 = 0u;
const EPSILON: f32 = 1e-6;
const LANES: u32 = 16u;
const WORKGROUP: u32 = 64u;
alias Act = f32;  // what activations are stored as
alias Sum = vec3<f32>;

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;
@group(0) @binding(1) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<Act>>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<Act>>;

//#include "common/row_sum.wgsl"

@compute @workgroup_size(WORKGROUP)
fn layerNormBackward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  const ONE = vec4<f32>(1.0);
  // known only at run time: lavapipe compiles unrolled loops for seconds
  let W4 = min(WIDTH / 4u, arrayLength(&gamma));
  let lane = local % LANES;
  let own_row = group.x * (WORKGROUP / LANES) + local / LANES;
  // lanes past the end repeat the last row, so that barriers stay uniform
  let row = min(own_row, ROWS - 1u);
  let first = row * W4;
  let first_dy = (row + FRONT * (row / SAMPLE_ROWS + 1u)) * W4;
  var sum = vec4<f32>(0.0);
  for (var i = lane; i < W4; i += LANES) { sum += vec4<f32>(x[first + i]); }
  let mean = row_sum(vec3<f32>(dot(sum, ONE), 0.0, 0.0), lane, local).x / f32(WIDTH);
  var squares = vec4<f32>(0.0);
  var g_sum = vec4<f32>(0.0);
  var gd_sum = vec4<f32>(0.0);
  for (var i = lane; i < W4; i += LANES) {
    let d = vec4<f32>(x[first + i]) - mean;
    let g = gamma[i] * vec4<f32>(dy[first_dy + i]);
    squares += d * d;
    g_sum += g;
    gd_sum += g * d;
  }
  let means = row_sum(vec3<f32>(dot(squares, ONE), dot(g_sum, ONE), dot(gd_sum, ONE)), lane, local) / f32(WIDTH);
  if (own_row >= ROWS) { return; }
  let scale = inverseSqrt(means.x + EPSILON);
  let slope = means.z * scale * scale;  // mean(g n) / std
  for (var i = lane; i < W4; i += LANES) {
    let g = gamma[i] * vec4<f32>(dy[first_dy + i]);
    dx[first + i] = vec4<Act>(scale * (g - means.y - (vec4<f32>(x[first + i]) - mean) * slope));
  }
}
