// LayerNorm's gradient with respect to x. With n = (x - mean)/std and g = gamma dy: dx = (g - mean(g) - n mean(g n)) / std.
// Mean and deviation are computed anew. Once the mean is known one pass gives all other sums, since those of g n only want 1/std after it.
// LANES invocations share a row; with more than one they add up in workgroup memory (SHARED). FRONT is 1 where the forward
// kernel put a token in front of each sample: dy has that row more.
const WIDTH: u32 = 256u;
const ROWS: u32 = 400u;  // all rows of x
const SAMPLE_ROWS: u32 = 400u;  // rows of a sample in x
const FRONT: u32 = 0u;
const EPSILON: f32 = 1e-6;
const LANES: u32 = 16u;
const WORKGROUP: u32 = 64u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;
@group(0) @binding(1) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<Act>>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<Act>>;

//#if SHARED
var<workgroup> partial: array<vec3<f32>, WORKGROUP>;

fn rowSum(value: vec3<f32>, lane: u32, local: u32) -> vec3<f32> {
  partial[local] = value;
  workgroupBarrier();
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[local] += partial[local + stride]; }
    workgroupBarrier();
  }
  let sum = partial[local - lane];
  workgroupBarrier();
  return sum;
}
//#endif
//#if !SHARED
fn rowSum(value: vec3<f32>, lane: u32, local: u32) -> vec3<f32> { return value; }
//#endif

@compute @workgroup_size(WORKGROUP)
fn layerNormBackward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  const ONE = vec4<f32>(1.0);
  let W4 = min(WIDTH / 4u, arrayLength(&gamma));  // known at run time only: unrolled loops take lavapipe seconds to compile
  let lane = local % LANES;
  let ownRow = group.x * (WORKGROUP / LANES) + local / LANES;
  let row = min(ownRow, ROWS - 1u);  // lanes past the end work along with the last row, so that barriers stay uniform
  let first = row * W4;
  let firstDy = (row + FRONT * (row / SAMPLE_ROWS + 1u)) * W4;
  var sum = vec4<f32>(0.0);
  for (var i = lane; i < W4; i += LANES) { sum += vec4<f32>(x[first + i]); }
  let mean = rowSum(vec3<f32>(dot(sum, ONE), 0.0, 0.0), lane, local).x / f32(WIDTH);
  var squares = vec4<f32>(0.0);
  var gs = vec4<f32>(0.0);
  var products = vec4<f32>(0.0);
  for (var i = lane; i < W4; i += LANES) {
    let d = vec4<f32>(x[first + i]) - mean;
    let g = gamma[i] * vec4<f32>(dy[firstDy + i]);
    squares += d * d;
    gs += g;
    products += g * d;
  }
  let means = rowSum(vec3<f32>(dot(squares, ONE), dot(gs, ONE), dot(products, ONE)), lane, local) / f32(WIDTH);
  if (ownRow >= ROWS) { return; }
  let scale = inverseSqrt(means.x + EPSILON);
  let slope = means.z * scale * scale;  // mean(g n) / std
  for (var i = lane; i < W4; i += LANES) {
    let g = gamma[i] * vec4<f32>(dy[firstDy + i]);
    dx[first + i] = vec4<Act>(scale * (g - means.y - (vec4<f32>(x[first + i]) - mean) * slope));
  }
}
